"""A destination that is declared once: it decorates handlers, publishes, and is documented."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    ParamSpec,
    TypeVar,
    get_args,
    get_origin,
    overload,
)

from callboard._errors import DeclarationError
from callboard.declare._handler import (
    PUBLISHERS,
    ActorClass,
    Handler,
    Recorder,
    handler_of,
    receive_of,
    where,
)
from callboard.declare._live import Outlet
from callboard.declare._options import PublisherOptions, PublishOptions, RouterOptions
from callboard.declare._takes import sends

if TYPE_CHECKING:
    from unittest.mock import MagicMock

A = TypeVar("A", bound=ActorClass)
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Publisher(Generic[T]):
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
        self.recorder: Recorder | None = None
        """What a test broker put here; None outside of one."""

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
        publishers = publishers_of(owner)
        if any(o.outlet is self.outlet and o.target == self.target for o in publishers):
            raise DeclarationError(
                f"{where(decorated)} publishes to {self.target!r} already; say it once"
            )
        publishers.append(self)
        self.decorated.append((owner.__qualname__.rpartition("<locals>.")[2], callee.returns))
        return owner

    @sends(PublishOptions)
    async def publish(self, message: object, options: PublishOptions) -> object:
        """Send *message* to this destination; return the receipt when the broker has it.

        None where the broker gives none.
        """
        own = self.options
        if own.headers or own.reply_to:
            options = replace(
                options,
                headers={**(own.headers or {}), **(options.headers or {})},
                reply_to=options.reply_to or own.reply_to,
            )
        return await self.outlet.live.publish(self, message, options)

    @property
    def mock(self) -> MagicMock:
        """What a test broker remembers of the messages published here."""
        if self.recorder is None:
            raise DeclarationError(
                f"the publisher to {self.target!r} is not under test: mocks exist inside"
                " `async with TestBroker(broker):`"
            )
        return self.recorder.mock


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
        scopes = all(each.include_in_schema for each in self.scopes)
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
