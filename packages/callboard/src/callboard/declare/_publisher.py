"""A destination that is declared once: it decorates handlers, publishes, and is documented."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Final, Generic, ParamSpec, TypeVar, get_args, get_origin, overload

from callboard._errors import declaring
from callboard.declare._handler import (
    PUBLISHERS,
    ActorClass,
    Handler,
    handler_of,
    receive_of,
)
from callboard.declare._live import Aim, Outlet
from callboard.declare._options import PublisherOptions, PublishOptions, RouterOptions
from callboard.declare._recorded import Recorded
from callboard.declare._takes import refuse
from callboard_brokers import Message

_BESIDE: Final = tuple(each.name for each in fields(PublishOptions))
A = TypeVar("A", bound=ActorClass)
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Publisher(Recorded, Generic[T]):
    """A declared destination.

    Over a handler or an actor class it publishes what that returns, before the message is
    settled; several may be stacked, in any order with `@broker.subscriber`.
    """

    def __init__(self, outlet: Outlet, target: T, options: PublisherOptions) -> None:
        self.outlet = outlet
        self.target = target
        self.options = options
        self.decorated: list[tuple[str, Any]] = []
        """The names of what it decorates, and their return annotations."""
        self.called = f"the publisher to {target!r}"

    def __repr__(self) -> str:
        target: Any = self.target
        return f"<{type(self).__name__} to {target.address!r}>"

    # A class is a callable as well; checkers take the first that fits, which is what is meant.
    @overload
    def __call__(self, decorated: type[A], /) -> type[A]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, decorated: Callable[P, R], /) -> Handler[P, R]: ...
    def __call__(self, decorated: Any, /) -> Any:
        """Publish what *decorated* returns."""
        owner: Any
        if inspect.isclass(decorated):
            owner, callee = decorated, receive_of(decorated)
        else:
            function: Callable[..., Any] = decorated
            owner = handler_of(function)
            callee = owner.callee
        publishers_of(owner).append(self)
        self.decorated.append((owner.__qualname__.rpartition("<locals>.")[2], callee.returns))
        return owner

    async def publish(self, message: object, /, *more: Any, **said: Any) -> object:
        """Send *message* to this destination; return the receipt when the broker has it.

        What the broker's own `publish` takes may be said here too, another destination among it,
        `publish(message, "elsewhere", key=b"7")`, and comes before what the publisher says.
        With `batch=True`, *more* are messages, which are sent together: the elements of a list.
        The receipt is None where the broker gives none.

        Raises:
            DeclarationError: Something is said that the broker's `publish` does not take.
        """
        live = self.outlet.live
        if self.options.batch:
            options, aim = self._said("publish", (), said)
            await live.publish_batch(self, [message, *more], options, aim)
            return None
        options, aim = self._said("publish", more, said)
        return await live.publish(self, message, options, aim)

    async def request(
        self,
        message: object,
        /,
        *more: Any,
        timeout: float = 30.0,  # noqa: ASYNC109 - travels with the request
        **said: Any,
    ) -> Message:
        """Send *message* and return the answer; the rest is as for `publish`.

        Raises:
            RequestTimeout: None came in time.
            RequestFailed: The handler that was asked has failed.
            DeclarationError: Something is said that the broker's `request` does not take.
        """
        options, aim = self._said("request", more, said)
        return await self.outlet.live.request(self, message, options, aim, timeout)

    def _said(
        self, method: str, places: Sequence[Any], said: Mapping[str, Any]
    ) -> tuple[PublishOptions, Aim]:
        """Take apart what is *said* of one message: what travels with it, and where it goes."""
        target: Any = self.target  # a record, whatever its broker
        of_target = [each.name for each in fields(target)]
        first = [each.name for each in fields(target) if not each.kw_only]
        rest = [*(name for name in of_target if name not in first), *_BESIDE]
        refuse(f"Publisher.{method}", first, rest, len(places), said)
        there = {**dict(zip(first, places, strict=False)), **_only(of_target, said)}
        beside, own = _only(_BESIDE, said), self.options
        if own.headers:
            beside["headers"] = {**own.headers, **(beside.get("headers") or {})}
        if own.reply_to and not beside.get("reply_to"):
            beside["reply_to"] = own.reply_to
        return PublishOptions(**beside), partial(_aimed, there)


def _only(names: Collection[str], said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if name in names}


def _aimed(said: Mapping[str, Any], target: Any) -> Any:
    """Return *target* with what is *said* of it."""
    if not said:
        return target
    with declaring():
        return replace(target, **said)


@dataclass(frozen=True, eq=False)
class PlacedPublisher:
    """A publisher, and what the routers around it say of it."""

    declaration: Publisher[Any]
    target: Any
    """As it is called outside of all of them."""
    scopes: Sequence[RouterOptions] = ()
    """What each says, from the nearest outwards; without the broker."""

    @property
    def in_schema(self) -> bool:
        """Whether it is described in documents."""
        scopes = all(each.include_in_schema is not False for each in self.scopes)
        return scopes and self.declaration.options.include_in_schema


def publishers_of(target: object) -> list[Publisher[Any]]:
    """Return the publishers that decorate *target*, a handler or an actor class: a list to add to.

    They are kept on the target itself, since those of several brokers may decorate it.
    """
    owned: list[Publisher[Any]] | None = vars(target).get(PUBLISHERS)
    if owned is None:
        owned = []
        setattr(target, PUBLISHERS, owned)
    return owned


def result_element(returns: Any) -> Any:
    """Return the type of one element; Any, if the annotation does not say one for all."""
    arguments = get_args(returns)
    if get_origin(returns) is tuple:
        return arguments[0] if arguments[1:] == (...,) else Any
    return arguments[0] if len(arguments) == 1 else Any
