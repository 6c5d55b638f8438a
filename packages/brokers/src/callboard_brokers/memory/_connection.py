"""A connection to a broker in memory: publishing, reading, asking."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from anyio import move_on_after
from anyio.lowlevel import checkpoint

from callboard_brokers._errors import (
    ConnectionClosed,
    RequestTimeout,
    Unroutable,
)
from callboard_brokers._message import Message, asking
from callboard_brokers._port import ARRIVED, Capacity, Confirmation
from callboard_brokers.kit._inflow import FAIR
from callboard_brokers.memory._book import Pages
from callboard_brokers.memory._exchange import Exchange, Inbox, Routes
from callboard_brokers.memory._routing import Carrying, Declaring, Routing
from callboard_brokers.memory._subscription import MemorySubscription

S = TypeVar("S")
T = TypeVar("T")


class MemoryConnection(Generic[S, T]):
    """Speaks to a broker in memory by the rules of *routing*; can wait for replies."""

    __slots__ = (
        "_carried",
        "_exchange",
        "_inboxes",
        "_open",
        "_routing",
        "_subscriptions",
        "_turn",
    )

    def __init__(self, exchange: Exchange, routing: Routing[S, T]) -> None:
        self._exchange = exchange
        self._routing = routing
        self._carried: Callable[[Message, T], Message] | None = (
            routing.carried  # pyright: ignore[reportUnknownMemberType] - isinstance can't say of what
            if isinstance(routing, Carrying)
            else None
        )
        self._open = True
        self._turn = 0
        self._subscriptions: set[MemorySubscription] = set()
        self._inboxes: set[Inbox] = set()

    @property
    def lost_at(self) -> None:
        """Return None: what is in this process cannot be away."""

    @asynccontextmanager
    async def subscribe(
        self, source: S, capacity: Capacity, /
    ) -> AsyncGenerator[MemorySubscription]:
        """Read *source*; at most *capacity* is received at once, since nothing waits here.

        Raises:
            ConnectionClosed: The connection has been left.
            DestinationError: *source* cannot be read.
        """
        self._check_open()
        subscription = self._exchange.join(self._routing.source(source), capacity)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
            self._exchange.leave(subscription)

    async def prepare(self, sources: Sequence[S], targets: Sequence[T], /) -> None:
        """Have the groups of *sources*, which keep from now on what they would read."""
        self._check_open()
        await checkpoint()
        if isinstance(self._routing, Declaring):  # else whatever is read can be published to
            self._routing.prepare(sources, targets)  # pyright: ignore[reportUnknownMemberType] - isinstance can't say of what
        for route in map(self._routing.source, sources):
            if route.group is not None and route.keeps:
                self._exchange.open(route)

    async def publish(self, message: Message, target: T, /) -> None:
        """Leave *message* with every group that reads *target*; wait while one of them is full.

        All of them get it at the same moment; if cancelled, none did. Where nobody reads, it is
        dropped and counted.

        Raises:
            ConnectionClosed: The connection has been left.
            DestinationError: *target* cannot be published to.
            Unpublishable: *message* is nothing that the broker of *routing* carries.
        """
        await self.send(message, target)

    async def send(self, message: Message, target: T, /) -> Confirmation:
        """Publish *message*: what is in memory is there at once."""
        where = self._routing.target(target)
        if self._carried is not None:
            message = self._carried(message, target)
        self._turn += 1
        if self._turn % FAIR == 0:
            await checkpoint()
        self._check_open()
        routes = self._exchange.readers(message, target, where.address)
        for group, _ in routes:
            if group.full:
                routes = await self._wait_for_room(message, target, where.address)
                break
        self._exchange.put(message, where, routes)
        return ARRIVED

    async def request(self, message: Message, target: T, timeout: float, /) -> Message:  # noqa: ASYNC109 - the port's
        """Publish *message* with a private address to reply to, and return the reply.

        Raises:
            ConnectionClosed: The connection has been left.
            Unroutable: Nobody reads *target*.
            RequestTimeout: No reply within *timeout*.
        """
        self._check_open()
        address = self._routing.target(target).address
        asked = message if self._carried is None else self._carried(message, target)
        if not self._exchange.readers(asked, target, address):
            raise Unroutable(f"nobody reads {address!r}, so nobody can reply")
        inbox = self._exchange.open_inbox()
        self._inboxes.add(inbox)
        try:
            with move_on_after(timeout):
                await self.publish(asking(message, inbox.address, message.correlation_id), target)
                await inbox.wait()
        finally:
            self._inboxes.discard(inbox)
            self._exchange.close_inbox(inbox)
        if inbox.reply is None:
            self._check_open()
            raise RequestTimeout(f"no reply from {address!r} within {timeout} s")
        return inbox.reply

    @asynccontextmanager
    async def revisit(self, address: str, /) -> AsyncGenerator[Pages]:
        """Look through the dead letters of *address*.

        Raises:
            ConnectionClosed: The connection has been left.
        """
        self._check_open()
        yield Pages(self._exchange.book, address)

    async def ping(self) -> None:
        """Return at once: what is in this process is there.

        Raises:
            ConnectionClosed: The connection has been left.
        """
        self._check_open()
        await checkpoint()

    def close(self) -> None:
        """End what waits here, readers, publishers and requests; called once, by the adapter."""
        self._open = False
        for subscription in self._subscriptions:
            self._exchange.leave(subscription)
        for group in self._exchange.groups:
            group.let_in()
        for inbox in self._inboxes:
            inbox.close()

    def _check_open(self) -> None:
        if not self._open:
            raise ConnectionClosed("this connection to the memory broker was left; connect again")

    async def _wait_for_room(self, message: Message, target: T, address: str) -> Routes:
        while True:
            routes = self._exchange.readers(message, target, address)
            full = next((group for group, _ in routes if group.full), None)
            if full is None:
                return routes
            await full.room()
            self._check_open()
