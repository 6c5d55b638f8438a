"""A subscription as it is declared: where messages come from, and who handles them."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import (
    Any,
    Final,
    Generic,
    ParamSpec,
    Protocol,
    Self,
    TypeAlias,
    overload,
    runtime_checkable,
)

from anyio import move_on_after
from typing_extensions import TypeVar

from callboard._errors import DeclarationError, HasHandler, NotRunning
from callboard.declare._checks import check_codec
from callboard.declare._codec import AnyCodec
from callboard.declare._elements import elements_of
from callboard.declare._handler import (
    ActorClass,
    Handler,
    handler_of,
    receive_of,
    refuse_unbound,
    signature_of,
    where,
)
from callboard.declare._live import Live, Outlet
from callboard.declare._options import (
    Decode,
    Parser,
    RouterOptions,
    SubscriberOptions,
)
from callboard.declare._resolver import AnyResolver
from callboard.declare._takes import refuse
from callboard_brokers import Message
from callboard_di import Callee, Identity, PlanError, plan

A = TypeVar("A", bound=ActorClass)
P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M", bound=Message, default=Any)
Filter: TypeAlias = Callable[[M], bool | Awaitable[bool]]
_OF_A_CALL: Final = ("filter", "parser", "decoder", "codec", "dependencies")


@dataclass(frozen=True)
class Call:
    """One of the handlers of a subscription, and which messages it is for (None: all).

    Signatures are read at the declaration, where the names in annotations can be found.
    """

    target: Callable[..., Any]
    """A `Handler`, or an actor class."""
    callee: Callee
    """The signature of what takes the message: the function, or `receive` of the class."""
    constructor: Callee | None = None
    """The signature of the actor class."""
    filter: Filter[Any] | None = None
    parser: Parser | None = None
    decoder: Decode | None = None
    codec: AnyCodec | None = None
    dependencies: Sequence[Any] = ()

    @property
    def takes(self) -> Callable[..., Any]:
        """What takes the message: the function as it was decorated, or `receive` of the class."""
        return self.callee.call

    @property
    def name(self) -> str:
        """The name of the function or class."""
        return str(self.target.__qualname__).rpartition("<locals>.")[2]


class Subscriber(Generic[M]):
    """The handlers of one source. It decorates them, and runs nothing."""

    def __init__(
        self,
        source: Any,
        options: SubscriberOptions,
        outlet: Outlet,
        siblings: Sequence[object] = (),
    ) -> None:
        self.source = source
        self.options = options
        self.calls: list[Call] = []
        self._siblings = siblings
        self._outlet = outlet

    def __repr__(self) -> str:
        names = ", ".join(call.name for call in self.calls) or "nobody"
        return f"<{type(self).__name__} of {self.source.address!r}, handled by {names}>"

    async def start(self) -> None:
        """Start it alone, on a broker that is connected: it is read by hand, or calls its handlers.

        Raises:
            NotRunning: The broker is not running, or it was stopped meanwhile.
            DeclarationError: It runs already.
        """
        await self._outlet.live.start(self)

    async def stop(self) -> None:
        """Stop it alone: the intake, then the handlers when nothing is left; if it runs.

        If cancelled, it stops hard.
        """
        if (live := self._live) is not None:
            await live.stop(self)

    @property
    def running(self) -> bool:
        """Whether it is up, with its broker or alone, and nobody stops it."""
        live = self._live
        return live is not None and live.running(self)

    async def get_one(self, *, timeout: float | None = 5.0) -> M | None:  # noqa: ASYNC109 - as users know it
        """Return the next message, or None after *timeout* seconds; it has to be settled by hand.

        Raises:
            DeclarationError: It has handlers, which get the messages.
            NotRunning: It is not running, or has been stopped meanwhile.
        """
        take = self._reader()
        with move_on_after(timeout):
            return await take()
        return None

    @property
    def subscription(self) -> Any:
        """What the broker's adapter reads with, for what this broker alone can do, such as `seek`.

        Raises:
            NotRunning: It is not running.
        """
        return self._outlet.live.subscription(self)

    def __aiter__(self) -> AsyncIterator[M]:
        """Go through the messages until it is stopped; each has to be settled by hand."""
        return _Messages(self._reader())

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def _live(self) -> Live | None:
        """What runs its broker; None: that does not run."""
        try:
            return self._outlet.live
        except NotRunning:
            return None

    def _reader(self) -> Callable[[], Awaitable[M]]:
        if self.calls:
            raise HasHandler(
                f"{self.name} has a handler, which gets its messages; read those of a subscriber"
                " without one"
            )
        return self._outlet.live.reader(self)

    @property
    def name(self) -> str:
        """What the log and the supervision tree call it: the first handler and the source."""
        return PlacedSubscriber(self, self.source).name

    # A class is a callable as well; checkers take the first that fits, which is what is meant.
    @overload
    def __call__(self, target: type[A], /) -> type[A]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, target: Callable[P, R], /) -> Handler[P, R]: ...
    @overload
    def __call__(
        self,
        target: None = None,
        /,
        *,
        filter: Filter[M] | None = None,
        parser: Parser | None = None,
        decoder: Decode | None = None,
        codec: AnyCodec | None = None,
        dependencies: Sequence[Any] = (),
    ) -> Callable[[Callable[P, R]], Handler[P, R]]: ...
    def __call__(self, target: Any = None, /, **said: Any) -> Any:
        """Handle the messages of the source by *target*, a function or an actor class.

        With `filter=`, only those for which it is true: the handlers are tried in the order of
        their registration, and the first that fits takes the message. The rest is for this handler
        alone, and comes before what the subscriber says: `parser`, `decoder`, `codec`, and
        `dependencies`, which run after those of the subscriber.

        Raises:
            DeclarationError: It can't be handled so.
        """
        refuse("Subscriber.__call__", (), _OF_A_CALL, 0, said)
        check_codec("a handler", said.get("codec"), said.get("decoder"))
        if target is None:
            return partial(self._add, said)
        return self._add(said, target)

    def _add(self, said: Mapping[str, Any], target: Any) -> Any:
        call = self._call(target, said)
        self._check_room(call)
        self._check_twice(call)
        self.calls.append(call)
        return call.target

    def _check_room(self, call: Call) -> None:
        """An actor class stands alone."""
        if self.calls and (self.calls[0].constructor or call.constructor):
            raise DeclarationError(
                f"the subscriber of {self.source!r} has {where(self.calls[0].target)} already, and"
                f" an actor class shares it with nobody: give {where(call.target)} one of its own"
            )

    def _check_twice(self, call: Call) -> None:
        siblings: list[Subscriber[Any]] = [e for e in self._siblings if isinstance(e, Subscriber)]
        for other in (self, *siblings):
            if other.source == self.source and any(_is_same(each, call) for each in other.calls):
                raise DeclarationError(
                    f"{where(call.target)} is subscribed to {self.source!r} already; say it once"
                )

    def _call(self, target: Any, said: Mapping[str, Any]) -> Call:
        """Read the signatures of *target*, and find what is wrong whatever the context holds."""
        call = replace(_read(target), **said)
        # On a router, a prefix with more parameters may come in front of it.
        address = " ".join(addresses_of(self.source))
        resolver = AnyResolver(address if self._outlet.owner is not None else None)
        try:
            dependencies = [*self.options.dependencies, *call.dependencies]
            planned = plan(call.callee, resolver=resolver, dependencies=dependencies)
            if call.constructor is not None:
                plan(call.constructor, resolver=AnyResolver()).bind_scope()
            if self.options.batch:
                elements_of(planned)
        except PlanError as error:
            raise DeclarationError(str(error)) from error
        return call


@dataclass(frozen=True, eq=False)
class PlacedSubscriber:
    """A subscriber, and what the routers around it say of it."""

    declaration: Subscriber[Any]
    source: Any
    """As it is called outside of all of them."""
    scopes: Sequence[RouterOptions] = ()
    """What each says, from the nearest outwards; without the broker."""

    @property
    def name(self) -> str:
        """What the log and the supervision tree call it: the first handler and the source."""
        calls = self.declaration.calls
        return f"{calls[0].name if calls else 'nobody'}({self.source.address})"

    @property
    def in_schema(self) -> bool:
        """Whether it is described in documents."""
        scopes = all(each.include_in_schema is not False for each in self.scopes)
        return scopes and self.declaration.options.include_in_schema


def addresses_of(source: Any) -> Sequence[str]:
    """Return where the messages of *source* are published, each of which is a channel."""
    return source.addresses if isinstance(source, _Several) else [source.address]


@runtime_checkable
class _Several(Protocol):
    """A source of several addresses, or of one by which it is not called itself."""

    @property
    def addresses(self) -> Sequence[str]: ...


class _Messages(Generic[M]):
    """Goes through what is read by hand."""

    def __init__(self, take: Callable[[], Awaitable[M]]) -> None:
        self._take = take

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> M:
        try:
            return await self._take()
        except NotRunning:
            raise StopAsyncIteration from None


def _is_same(one: Call, other: Call) -> bool:
    return Identity(one.takes) == Identity(other.takes)


def _read(target: Any) -> Call:
    if inspect.isclass(target):
        return Call(target, receive_of(target), signature_of(target))
    if callable(target):
        function: Callable[..., Any] = target
        handler = handler_of(function)
        refuse_unbound(handler)
        return Call(handler, handler.callee)
    raise DeclarationError(f"a subscriber decorates a function or an actor class, not {target!r}")
