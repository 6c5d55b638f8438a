"""A broker in memory that fails where a test wants it to: a real adapter around the real one."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from math import inf
from typing import Any

from anyio import Event, create_task_group, sleep, sleep_forever
from anyio.abc import TaskGroup

from callboard import MemoryBroker, Message
from callboard.memory import MemorySource, MemoryTarget
from callboard_brokers import (
    Adapter,
    BrokerError,
    Capacity,
    Connection,
    ConnectionLost,
    Delivery,
    Features,
    MessageTooLarge,
    PublishFailed,
    Subscription,
)

__all__ = ["Faulty", "FaultyBroker"]


class Faulty:
    """Fails as many times as `faults` says, for a name: an address, "connect", or "receive"."""

    def __init__(self, inner: Adapter[Any, MemoryTarget], features: Features | None = None) -> None:
        self.inner = inner
        self._features = features
        self.faults: Counter[str] = Counter()
        self.attempts: Counter[str] = Counter()
        self.recall: Callable[[], None] = lambda: None
        """Has the reader give back what it has not begun."""
        self.silent: set[str] = set()
        """For what it waits for ever: "connect" or "subscribe"."""
        self.limit: float = inf
        """How many bytes a message may have, its headers included."""
        self.doom: Event | None = None
        """If there is one when it subscribes: the reading ends with a failure when it is set."""
        self.late: dict[str, float] = {}
        """Seconds from sending to an address to the confirmation, or its failure; if there are any."""

    def attempt(self, name: str) -> bool:
        """Count an attempt; return whether it is to fail."""
        self.attempts[name] += 1
        if self.faults[name]:
            self.faults[name] -= 1
            return True
        return False

    def features(self, source: Any, /) -> Features:
        return self._features or self.inner.features(source)

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[FaultyConnection]:
        if "connect" in self.silent:
            await sleep_forever()
        if self.attempt("connect"):
            raise ConnectionLost("nobody answers")
        async with self.inner.connect() as connection, create_task_group() as tasks:
            if self.late:
                yield LateConnection(connection, self, tasks)
            else:
                yield FaultyConnection(connection, self)
            tasks.cancel_scope.cancel()


class FaultyConnection:
    """A connection of the inner adapter, with faults. It can't wait for answers."""

    lost_at: float | None = None

    def __init__(self, inner: Connection[Any, MemoryTarget], adapter: Faulty) -> None:
        self._inner = inner
        self._adapter = adapter

    @asynccontextmanager
    async def subscribe(
        self, source: MemorySource, capacity: Capacity
    ) -> AsyncGenerator[FaultySubscription]:
        if "subscribe" in self._adapter.silent:
            await sleep_forever()
        async with self._inner.subscribe(source, capacity) as subscription:
            if self._adapter.doom is None:
                yield FaultySubscription(subscription, self._adapter)
                return
            async with create_task_group() as tasks:
                tasks.start_soon(die, self._adapter.doom)
                yield FaultySubscription(subscription, self._adapter)
                tasks.cancel_scope.cancel()

    async def publish(self, message: Message, target: MemoryTarget) -> None:
        if self._adapter.attempt(target.address):
            raise PublishFailed(f"{target.address!r} takes nothing at the moment")
        size = len(message.body) + sum(len(str(value)) for value in message.headers.values())
        if size > self._adapter.limit:
            raise MessageTooLarge(f"{size} bytes are more than {self._adapter.limit}")
        await self._inner.publish(message, target)

    async def ping(self) -> None:
        await self._inner.ping()


async def die(doom: Event) -> None:
    """Fail when *doom* is set."""
    await doom.wait()
    raise ConnectionError("the reading has ended")


class LateConnection(FaultyConnection):
    """One that takes more messages while the last ones are not confirmed."""

    def __init__(
        self, inner: Connection[Any, MemoryTarget], adapter: Faulty, tasks: TaskGroup
    ) -> None:
        super().__init__(inner, adapter)
        self._tasks = tasks

    async def send(self, message: Message, target: MemoryTarget) -> Late:
        sent = Late()
        try:
            await super().publish(message, target)
        except PublishFailed as error:
            sent.failure = error
        lag = self._adapter.late.get(target.address, 0.0)
        self._tasks.start_soon(sent.come, lag)
        return sent

    async def publish(self, message: Message, target: MemoryTarget) -> None:
        await (await self.send(message, target)).wait()


class Late:
    """A confirmation that takes its time."""

    def __init__(self) -> None:
        self.failure: BrokerError | None = None
        self._is_there = Event()
        self._calls: list[Callable[[BrokerError | None], None]] = []

    async def come(self, lag: float) -> None:
        await sleep(lag)
        self._is_there.set()
        for call in self._calls:
            call(self.failure)

    async def wait(self) -> None:
        await self._is_there.wait()
        if self.failure is not None:
            raise self.failure

    def then(self, call: Callable[[BrokerError | None], None]) -> None:
        if self._is_there.is_set():
            call(self.failure)
        else:
            self._calls.append(call)


class FaultySubscription:
    """A subscription of the inner adapter, with faults."""

    def __init__(self, inner: Subscription, adapter: Faulty) -> None:
        self._inner = inner
        self._adapter = adapter

    async def receive(self, limit: int, max_bytes: float = inf) -> Sequence[Delivery]:
        if self._adapter.attempt("receive"):
            raise ConnectionLost("the line is dead")
        return await self._inner.receive(limit, max_bytes)

    def on_recall(self, give_back: Callable[[], None]) -> None:
        self._adapter.recall = give_back


class FaultyBroker(MemoryBroker):
    """A `MemoryBroker` on a `Faulty` adapter."""

    def __init__(self, *, features: Features | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.slot.adapter = self.faulty = Faulty(self.slot.adapter, features)
