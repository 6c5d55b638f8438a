"""Microseconds per message from publish to settlement, in memory, beside FastStream in one run.

Callboard: the whole path on its broker in memory (encode, queue, pump, mailbox, worker, decode,
inject, handle, settle). FastStream: its in-memory test broker, which calls the handler inside
`publish` and has no queue, settlement or redelivery. Same models, same handlers, rounds taken in
turn, medians of the rounds. Run by `make bench`.
"""

from __future__ import annotations

import gc
import logging
import statistics
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import version
from time import perf_counter
from typing import Any, TypeAlias

import anyio
import faststream
from faststream.kafka import KafkaBroker, TestKafkaBroker
from pydantic import BaseModel

import callboard
from callboard import MemoryBroker

Round: TypeAlias = Callable[[], Awaitable[float]]

ROUNDS = 7
ORDER = {"id": 7, "customer": "alice", "quantity": 3, "price": 9.5}


class Order(BaseModel):
    """What the handlers take."""

    id: int
    customer: str
    quantity: int
    price: float


def twice(order: Order) -> int:
    """Be a dependency that takes the body's own parameter."""
    return order.quantity * 2


async def session() -> AsyncIterator[str]:
    """Be a dependency with a teardown."""
    yield "session"


def handlers(kit: Any, done: Callable[[], None]) -> dict[str, Callable[..., Any]]:
    """Make the handlers of each case for one framework: *kit* has its Context and Depends."""

    async def plain(order: Order) -> None:
        done()

    async def context(
        order: Order,
        a: Any = kit.Context("message"),
        b: Any = kit.Context("broker"),
        c: Any = kit.Context("logger"),
    ) -> None:
        done()

    async def dependencies(
        order: Order,
        doubled: int = kit.Depends(twice),
        opened: str = kit.Depends(session),
    ) -> None:
        done()

    return {"plain": plain, "three Context values": context, "two dependencies": dependencies}


class Countdown:
    """Tells when the last message of a round has been handled."""

    def __init__(self) -> None:
        self.left = 0
        self.over = anyio.Event()

    def start(self, count: int) -> None:
        """Expect *count* messages."""
        self.left, self.over = count, anyio.Event()

    def __call__(self) -> None:
        self.left -= 1
        if not self.left:
            self.over.set()


async def rounds(
    countdown: Countdown, publish: Callable[[], Awaitable[object]], count: int
) -> float:
    """Publish *count* messages one by one, wait for the last, return microseconds for each."""
    countdown.start(count)
    gc.collect()
    start = perf_counter()
    for _ in range(count):
        await publish()
    await countdown.over.wait()
    return (perf_counter() - start) / count * 1e6


async def ours(case: str, workers: int, count: int) -> float:
    """Measure a round of Callboard."""
    countdown = Countdown()
    broker = MemoryBroker()
    broker.subscriber("orders", max_workers=workers)(handlers(callboard, countdown)[case])
    async with broker:
        await broker.start()
        return await rounds(countdown, lambda: broker.publish(ORDER, "orders"), count)


async def theirs(case: str, count: int) -> float:
    """Measure a round of FastStream, whose test broker knows no workers."""
    countdown = Countdown()
    broker = KafkaBroker(logger=None)
    broker.subscriber("orders")(handlers(faststream, countdown)[case])
    async with TestKafkaBroker(broker) as test:
        return await rounds(countdown, lambda: test.publish(ORDER, "orders"), count)


def main() -> None:
    """Print the table."""
    logging.disable(logging.CRITICAL)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    print(
        f"overhead: {count} messages, FastStream {version('faststream')} with a tenth of them,"
        f" Python {sys.version.split()[0]}"
    )
    print(f"{'microseconds per message':<34}{'Callboard':>12}{'FastStream':>12}{'ratio':>8}")
    medians: dict[tuple[str, int], tuple[float, float]] = {}
    for case in ("plain", "three Context values", "two dependencies"):
        for workers in (1, 8):
            measured: list[tuple[float, float]] = [
                (
                    anyio.run(ours, case, workers, count),
                    anyio.run(theirs, case, count // 10),
                )
                for _ in range(ROUNDS)
            ]
            mine, other = (statistics.median(column) for column in zip(*measured, strict=True))
            medians[case, workers] = mine, other
            name = f"{case}, {workers} worker{'s' * (workers > 1)}"
            print(f"{name:<34}{mine:12.2f}{other:12.1f}{other / mine:8.1f}")
    plain, context = medians["plain", 1], medians["three Context values", 1]
    mine, other = ((context[side] - plain[side]) / 3 for side in (0, 1))
    print(f"{'per Context value':<34}{mine:12.2f}{other:12.1f}{other / mine:8.1f}")


if __name__ == "__main__":
    main()
