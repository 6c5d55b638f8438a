"""CPU microseconds that each middleware and each Context value adds to a message, in memory.

The same measure as `overhead.py`: from publish to settlement on our broker in memory, beside
FastStream's test broker. Three of a kind at once, minima of rounds taken in turn, a third of what
they add. Aims: at most 1 for a middleware, a Context value at least 20 times cheaper. Run by
`make bench`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from functools import partial
from time import process_time
from typing import Any, Final

import anyio
import faststream
from faststream.kafka import KafkaBroker, TestKafkaBroker
from overhead import ORDER, Countdown, handlers, rounds  # type: ignore[import-not-found] # beside this

import callboard
from callboard import MemoryBroker

ROUNDS: Final = 7
MANY: Final = 3


def scope(kit: Any) -> type:
    """Return a middleware that stands around handlers."""

    class Scope(kit.BaseMiddleware):  # type: ignore[misc] # that of either framework
        async def consume_scope(self, call_next: Any, msg: Any) -> Any:
            return await call_next(msg)

    return Scope


def all_hooks(kit: Any) -> type:
    """Return one that has all four hooks; each message is published, and handled."""

    class Hooks(kit.BaseMiddleware):  # type: ignore[misc] # that of either framework
        async def on_receive(self) -> None:
            return None

        async def consume_scope(self, call_next: Any, msg: Any) -> Any:
            return await call_next(msg)

        async def publish_scope(self, call_next: Any, cmd: Any) -> Any:
            return await call_next(cmd)

        async def after_processed(self, *_: Any) -> bool | None:
            return None

    return Hooks


def function(handle: Any) -> Any:
    """Be a middleware that is a function, which only we have."""

    async def passes(message: Any) -> Any:
        return await handle(message)

    return passes


async def ours(case: str, middlewares: Sequence[Any], count: int) -> float:
    """Measure a round of Callboard."""
    countdown = Countdown()
    broker = MemoryBroker(middlewares=middlewares)
    broker.subscriber("orders")(handlers(callboard, countdown)[case])
    async with broker:
        await broker.start()
        publish = partial(broker.publish, ORDER, "orders")
        taken: float = await rounds(countdown, publish, count, process_time)
        return taken


async def theirs(case: str, middlewares: Sequence[Any], count: int) -> float:
    """Measure a round of FastStream."""
    countdown = Countdown()
    broker = KafkaBroker(logger=None, middlewares=middlewares)
    broker.subscriber("orders")(handlers(faststream, countdown)[case])
    async with TestKafkaBroker(broker) as test:
        publish = partial(test.publish, ORDER, "orders")
        taken: float = await rounds(countdown, publish, count, process_time)
        return taken


def main() -> None:
    """Print the table."""
    logging.disable(logging.CRITICAL)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    kinds: dict[str, tuple[str, Callable[[Any], list[Any]]]] = {
        "none": ("plain", lambda _: []),
        "a Context value": ("three Context values", lambda _: []),
        "a middleware around handlers": ("plain", lambda kit: [scope(kit)] * MANY),
        "a middleware with four hooks": ("plain", lambda kit: [all_hooks(kit)] * MANY),
        "a function": ("plain", lambda kit: [function] * MANY if kit is callboard else []),
    }
    mine, others = dict[str, float](), dict[str, float]()
    for _ in range(ROUNDS):
        for name, (case, make) in kinds.items():
            one = anyio.run(ours, case, make(callboard), count)
            other = anyio.run(theirs, case, make(faststream), count // 10)
            mine[name] = min(one, mine.get(name, one))
            others[name] = min(other, others.get(name, other))
    print(
        f"{'added, CPU microseconds per message':<40}{'Callboard':>12}{'FastStream':>12}{'ratio':>8}"
    )
    print(f"{'(nothing)':<40}{mine['none']:12.2f}{others['none']:12.1f}")
    for name in [*kinds][1:]:
        one, other = ((each[name] - each["none"]) / MANY for each in (mine, others))
        ratio = "" if name == "a function" else f"{other / one:8.1f}"
        print(f"{name:<40}{one:12.2f}{other if ratio else 0:12.1f}{ratio}")


if __name__ == "__main__":
    main()
