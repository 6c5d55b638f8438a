"""Microseconds per message from ready deliveries to their settlement, beside validation alone.

Batches of 500 ready deliveries go through pump, mailbox, worker and finish into a handler of a
pydantic model. What the path costs is the difference to `validate_json` in a plain loop.

Run by `make bench`. The figures are medians of several rounds of one run.
"""

from __future__ import annotations

import gc
import statistics
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from math import inf
from time import perf_counter
from typing import Any

import anyio
from pydantic import BaseModel, TypeAdapter

from callboard import MemoryBroker
from callboard_brokers import Capacity, Delivery, Features, Message, Settlement
from callboard_brokers.memory import MemorySource, MemoryTarget

BATCH = 500
ROUNDS = 15
MESSAGES = 20_000


class Order(BaseModel):
    """What the handler takes."""

    id: int
    customer: str
    quantity: int
    price: float


BODY = b'{"id": 7, "customer": "alice", "quantity": 3, "price": 9.5}'


class Ready:
    """An adapter whose deliveries are all there before the clock starts."""

    lost_at: float | None = None

    def features(self, source: MemorySource, /) -> Features:
        """Promise nothing."""
        del source
        return Features()

    def __init__(self, keys: int) -> None:
        self.keys = [f"{n}".encode() for n in range(keys)]
        self.left: list[Delivery] = []
        self.refilled = anyio.Event()
        self.done = anyio.Event()
        self.settled = 0

    def refill(self) -> None:
        """Make the deliveries of a round."""
        keys = self.keys
        self.left = [
            Delivery(Message(BODY, key=keys[n % len(keys)] if keys else None), self)
            for n in range(MESSAGES)
        ]
        self.settled = 0
        self.done = anyio.Event()

    def settle(self, delivery: Delivery, settlement: Settlement, delay: float | None, /) -> None:
        """Count; the last one ends the round."""
        self.settled += 1
        if self.settled == MESSAGES:
            self.done.set()

    def settled_twice(self, delivery: Delivery, /) -> None:
        """Never happens here."""

    async def receive(self, limit: int, max_bytes: float = inf, /) -> Sequence[Delivery]:
        """Hand out up to *limit* of what is ready."""
        while not self.left:
            await self.refilled.wait()
            self.refilled = anyio.Event()
        taken = self.left[-limit:]
        del self.left[-limit:]
        return taken

    async def publish(self, message: Message, target: MemoryTarget, /) -> None:
        """Take nothing."""

    async def ping(self) -> None:
        """Answer."""

    @asynccontextmanager
    async def subscribe(self, source: MemorySource, capacity: Capacity, /) -> AsyncIterator[Any]:
        """Be the subscription too."""
        yield self

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Any]:
        """Be the connection too."""
        yield self


def validation() -> float:
    """Return the microseconds that validating one body takes, in a plain loop."""
    validate = TypeAdapter(Order).validator.validate_json
    rounds: list[float] = []
    for _ in range(ROUNDS):
        start = perf_counter()
        for _ in range(MESSAGES):
            validate(BODY)
        rounds.append((perf_counter() - start) / MESSAGES * 1e6)
    return statistics.median(rounds)


async def path(workers: int, keys: int) -> float:
    """Return the microseconds that one message takes through the whole path."""
    broker = MemoryBroker()
    ready = Ready(keys)
    broker.slot.adapter = ready

    @broker.subscriber("orders", mailbox=BATCH, max_workers=workers)
    async def handle(order: Order) -> None:
        pass

    rounds: list[float] = []
    async with broker:
        await broker.start()
        for _ in range(ROUNDS):
            ready.refill()
            gc.collect()
            start = perf_counter()
            ready.refilled.set()
            await ready.done.wait()
            rounds.append((perf_counter() - start) / MESSAGES * 1e6)
    return statistics.median(rounds)


def main() -> None:
    """Print the table."""
    print(
        f"path: {MESSAGES} ready deliveries in batches of {BATCH}, Python {sys.version.split()[0]}"
    )
    alone = validation()
    print(f"{'validation alone':<34}{alone:8.2f} us")
    for workers, keys in ((1, 0), (1, 100), (8, 0), (8, 100), (8, 10_000)):
        whole = anyio.run(path, workers, keys)
        name = f"{workers} worker{'s' * (workers > 1)}, {keys or 'no'} keys"
        print(f"{name:<34}{whole:8.2f} us   {whole - alone:+6.2f} beyond validation")


if __name__ == "__main__":
    main()
