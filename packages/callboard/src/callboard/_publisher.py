"""A destination that is declared once: it decorates handlers, publishes, and is documented."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import replace
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    get_args,
    get_origin,
    overload,
)

from callboard_brokers import Message

from ._envelope import Wrap, aimed, result_encoder, wrapping
from ._errors import DeclarationError
from ._handler import PUBLISHERS, Handler, handler_of, receive_of, where
from ._options import PublisherOptions, PublishOptions, RouterOptions, prefixed
from ._outcome import Produce
from ._output import Output, Sender
from ._parts import is_batch
from ._takes import sends

if TYPE_CHECKING:
    from unittest.mock import MagicMock

    from ._broker import Broker
    from ._handler import ActorClass, Recorder
    from ._router import Router

__all__ = ["Outlet", "Publisher", "publishers_of", "result_element"]

A = TypeVar("A", bound="ActorClass")
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Outlet(Protocol):
    """What a publisher was declared on: a router, or the broker itself."""

    @property
    def broker(self) -> Broker[Any]:
        """The broker that sends its messages."""
        ...

    @property
    def around(self) -> Sequence[RouterOptions]:
        """What the routers around a declaration say, from the nearest outwards."""
        ...


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
        self.scopes: Sequence[RouterOptions] = ()
        """What the routers around it say, from the nearest outwards; without its broker."""
        self._recorders: list[Recorder] = []

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
    async def publish(self, message: object, options: PublishOptions) -> None:
        """Send *message* to this destination; return when the broker has it."""
        own = self.options
        if own.headers or own.reply_to:
            options = replace(
                options,
                headers={**(own.headers or {}), **(options.headers or {})},
                reply_to=options.reply_to or own.reply_to,
            )
        target = prefixed(self.target, self.outlet.around)
        await self.outlet.broker.send(message, target, options)

    def producing(self, returns: object, broker: Broker[Any]) -> Produce:
        """Return what makes outputs of the results of a handler of *broker*."""
        broker = self.sender(broker)
        seen = self.seen_from(broker)
        annotation = returns if self.options.schema is None else self.options.schema
        if self.options.batch and self.options.schema is None:
            annotation = result_element(returns)
        encode, own = result_encoder(annotation, broker.codec), self.options
        wrap = wrapping(encode, broker.identify, own.headers, own.reply_to)
        target = seen.target
        if self.options.batch:
            return _one_by_one(wrap, broker, target)
        return lambda result, cause: [Output(broker, aimed(result, target), wrap(result, cause))]

    def sender(self, broker: Broker[Any]) -> Broker[Any]:
        """Return by whom the results of a handler of *broker* leave: by that, if it knows this."""
        return broker if self.seen_from(broker).outlet is broker else self.outlet.broker

    def placed(self, scopes: Sequence[RouterOptions], outlet: Outlet) -> Publisher[T]:
        """Return it as it is seen from *outlet*, outside of *scopes*; its mock is the same."""
        seen = copy(self)
        seen.target = prefixed(self.target, scopes)
        seen.outlet = outlet
        seen.scopes = scopes
        return seen

    def seen_from(self, outlet: Router) -> Publisher[T]:
        """Return it as *outlet* sees it; itself, if it is declared elsewhere."""
        seen = (each for each in outlet.publishers if each.decorated is self.decorated)
        return next(seen, self)

    @property
    def in_schema(self) -> bool:
        """Whether it is described in documents."""
        scopes = all(each.include_in_schema for each in self.scopes)
        return scopes and self.options.include_in_schema

    @property
    def recorder(self) -> Recorder | None:
        """What a test broker put here; None outside of one."""
        return self._recorders[0] if self._recorders else None

    @recorder.setter
    def recorder(self, recorder: Recorder | None) -> None:
        self._recorders[:] = [] if recorder is None else [recorder]

    @property
    def mock(self) -> MagicMock:
        """What a test broker remembers of the messages published here."""
        if self.recorder is None:
            raise DeclarationError(
                f"the publisher to {self.target!r} is not under test: mocks exist inside"
                " `async with TestBroker(broker):`"
            )
        return self.recorder.mock


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


def _one_by_one(wrap: Wrap, by: Sender, target: Any) -> Produce:
    """Return what makes an output of each element of a result; none of None.

    Of a batch each element follows from the message in its place, if there are as many. None is a
    result without elements.
    """

    def produce(results: Any, cause: Message[Any]) -> Sequence[Output]:
        if results is None:
            return ()
        if isinstance(results, str | bytes | dict) or not isinstance(results, Iterable):
            raise TypeError(
                f"a publisher with batch=True publishes the elements of a list, not {results!r}"
            )
        elements: list[object] = [*results]
        causes: Sequence[Message[Any]] = cause.parts if is_batch(cause) else [cause]
        if len(causes) != len(elements):
            causes = [cause] * len(elements)
        return [
            Output(by, aimed(each, target), wrap(each, its), "result", its)
            for each, its in zip(elements, causes, strict=True)
        ]

    return produce
