"""A destination that is declared once: it decorates handlers, publishes, and is documented."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, overload

from callboard_validation import Codec

from ._envelope import Wrap, result_encoder, wrapping
from ._errors import DeclarationError
from ._handler import Handler, handler_of, publishers_of, receive_of, where
from ._options import PublisherOptions, PublishOptions
from ._outcome import Way
from ._takes import sends

if TYPE_CHECKING:
    from unittest.mock import MagicMock

    from ._handler import ActorClass, Recorder

__all__ = ["Outlet", "Publisher"]

A = TypeVar("A", bound="ActorClass")
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Outlet(Protocol):
    """Whoever can send a message: the broker that a publisher was declared on."""

    codec: Codec
    identify: Callable[[], str]

    async def send(self, message: object, target: Any, options: PublishOptions) -> None:
        """Encode *message* and publish it to *target*."""
        ...

    def to(self, target: Any) -> Way:
        """Return the way to *target*."""
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
        self.returns: list[Any] = []
        """The return annotations of what it decorates."""
        self.recorder: Recorder | None = None

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
        self.returns.append(callee.returns)
        return owner

    @sends(PublishOptions)
    async def publish(self, message: object, options: PublishOptions) -> None:
        """Send *message* to this destination; return when the broker has it."""
        await self.outlet.send(message, self.target, options)

    def ways(self, returns: object) -> tuple[Wrap, Way]:
        """Return what makes a message of a handler's result, and the way it goes."""
        annotation = returns if self.options.schema is None else self.options.schema
        wrap = wrapping(result_encoder(annotation, self.outlet.codec), self.outlet.identify)
        return wrap, self.outlet.to(self.target)

    @property
    def mock(self) -> MagicMock:
        """What a test broker remembers of the messages published here."""
        if self.recorder is None:
            raise DeclarationError(
                f"the publisher to {self.target!r} is not under test: mocks exist inside"
                " `async with TestBroker(broker):`"
            )
        return self.recorder.mock
