"""What the suite needs of an adapter, and what its tests are told with."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, NoReturn
from uuid import uuid4

import pytest
from anyio import fail_after, move_on_after
from typing_extensions import TypeVar

from callboard_brokers._delivery import Delivery
from callboard_brokers._message import Message
from callboard_brokers._port import Adapter, Capacity, Connection, Subscription

S = TypeVar("S", default=object)
T = TypeVar("T", default=object)


@dataclass(frozen=True, kw_only=True)
class Harness(Generic[S, T]):
    """An adapter, and how to speak to it: all that the suite is told, in a fixture `harness`.

    `source` makes a source from an address and the name of a group, `target` a target from an
    address, and `answer` one from the `reply_to` of a request, if that is another; every test takes an
    address of its own. `stale` and `settled_twice` read the counts
    of settlements that were dropped. `dead_letters` returns the bodies of the rejected messages
    to an address, and `bound` is a number of messages after which publishing waits: for those who
    have these features. `smuggle` sends an empty message with such headers, names and octets, to an
    address, past the adapter: as a program that knows nothing of it may. `cut`
    ends all links to the broker and lets no new one through, until `restore`; `refused` is an adapter
    that the broker does not let in: for those of whom that can be said. `many` is a number of
    messages. `patience` is how long an answer may take, `silence` how long to listen
    before saying that nothing comes.
    """

    adapter: Adapter[S, T]
    source: Callable[[str, str], S]
    target: Callable[[str], T]
    stale: Callable[[], int]
    settled_twice: Callable[[], int]
    answer: Callable[[str], T] | None = None
    dead_letters: Callable[[str], Awaitable[Sequence[bytes]]] | None = None
    bound: int | None = None
    smuggle: Callable[[str, Sequence[tuple[str, bytes | None]]], Awaitable[None]] | None = None
    cut: Callable[[], Awaitable[object]] | None = None
    restore: Callable[[], Awaitable[object]] | None = None
    refused: Adapter[S, T] | None = None
    many: int = 10_000
    patience: float = 10.0
    silence: float = 0.5
    address: str = field(default_factory=lambda: f"conformance.{uuid4().hex}")

    def needs(self, *features: str) -> None:
        """Skip the test if the source lacks one of *features*."""
        there = self.adapter.features(self.source(self.address, "readers"))
        for feature in features:
            if not getattr(there, feature):
                self.lacks(feature)

    def lacks(self, feature: str) -> NoReturn:
        """Skip the test: the adapter has no *feature*."""
        pytest.skip(f"{type(self.adapter).__name__} lacks the feature {feature!r}")

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[Stage[S, T]]:
        """Open a connection."""
        async with self.adapter.connect() as connection:
            yield Stage(self, connection)


class Stage(Generic[S, T]):
    """An open connection and an address that is nobody else's."""

    def __init__(self, harness: Harness[S, T], connection: Connection[S, T]) -> None:
        self.harness = harness
        self.connection = connection

    @asynccontextmanager
    async def read(
        self, group: str = "readers", capacity: int | Capacity = 100
    ) -> AsyncGenerator[Incoming]:
        """Subscribe to the address."""
        bound = Capacity(capacity) if isinstance(capacity, int) else capacity
        source = self.harness.source(self.harness.address, group)
        async with self.connection.subscribe(source, bound) as subscription:
            yield Incoming(subscription, self.harness.patience, self.harness.silence)

    async def publish(self, *bodies: bytes) -> None:
        """Publish *bodies* in this order."""
        for body in bodies:
            await self.send(Message(body))

    async def send(self, message: Message) -> object:
        """Publish *message*; return the receipt."""
        return await self.connection.publish(message, self.harness.target(self.harness.address))


class Incoming:
    """A subscription, with an end to every wait."""

    def __init__(self, subscription: Subscription, patience: float, silence: float) -> None:
        self.subscription = subscription
        self._patience = patience
        self._silence = silence

    async def take(self, count: int) -> list[Delivery]:
        """Return the next *count* deliveries; fail if they do not come."""
        taken: list[Delivery] = []
        with fail_after(self._patience):
            while len(taken) < count:
                taken += await self.subscription.receive(count - len(taken))
        return taken

    async def one(self) -> Delivery:
        """Return the next delivery; fail if none comes."""
        return (await self.take(1))[0]

    async def silent(self) -> bool:
        """Return whether nothing comes."""
        with move_on_after(self._silence):
            await self.subscription.receive(1)
            return False
        return True
