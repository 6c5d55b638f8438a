"""Measure what a tenth of the keys, which fail for ever, cost the others.

    .venv/bin/python benchmarks/fairness.py [--rate 1000] [--seconds 10]

Messages come at a steady rate, whatever is handled, so that what is late counts as late: at half of
what the workers can do. First all keys are good, then a tenth of them fails, with the usual Retry
and with none of what keeps it fair (`retry_share=1`). Latency is from the time at which a message
was due to be published to the end of its handler.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass, field
from statistics import quantiles
from time import perf_counter

import anyio

from callboard import MemoryBroker, Message, Retry

KEYS, WORKERS, TAKES = 100, 8, 0.004
"""How many keys and workers there are; seconds that a handler takes."""
AIM_RATE, AIM_P99 = 0.9, 2.0


@dataclass
class Seen:
    """What became of the good messages of one run."""

    latencies: list[float] = field(default_factory=list[float])
    last: float = 0.0

    @property
    def p99(self) -> float:
        return quantiles(self.latencies, n=100)[-1]

    def rate(self, seconds: float) -> float:
        """Good messages per second, handled while they came."""
        return len(self.latencies) / seconds


async def run(bad: int, rate: float, seconds: float, share: float) -> Seen:
    """Let the first *bad* of all keys fail."""
    logger = logging.getLogger("fairness")
    logger.setLevel(logging.CRITICAL)
    broker, seen = MemoryBroker(logger=logger, dead_letter="dead"), Seen()
    due = dict[int, float]()
    over = False

    @broker.subscriber("jobs", max_workers=WORKERS, retry=Retry(attempts=5), retry_share=share)
    async def handle(number: int, message: Message) -> None:
        await anyio.sleep(TAKES)
        if number % KEYS < bad:
            raise ConnectionError
        if number % KEYS >= KEYS // 10 and not over:  # the same ones in each run
            seen.latencies.append(perf_counter() - due.pop(number))

    async with broker:
        await broker.start()
        start = perf_counter()
        for number in range(int(rate * seconds)):
            at = due[number] = start + number / rate
            if (wait := at - perf_counter()) > 0:
                await anyio.sleep(wait)
            await broker.publish(number, "jobs", key=f"{number % KEYS}")
        over = True
    return seen


def told(name: str, seen: Seen, seconds: float, beside: Seen) -> str:
    rate, p99 = seen.rate(seconds), seen.p99 * 1000
    part, times = rate / beside.rate(seconds), seen.p99 / beside.p99
    return f"{name:<34}{rate:>8.0f}/s {part:>6.0%}   p99 {p99:>8.1f} ms {times:>6.1f} times"


async def measure(rate: float, seconds: float) -> None:
    await run(0, rate, 1.0, 0.3)  # warm
    good = await run(0, rate, seconds, 0.3)
    fair = await run(KEYS // 10, rate, seconds, 0.3)
    unfair = await run(KEYS // 10, rate, seconds, 1.0)
    print(f"{rate:.0f} messages a second for {seconds:.0f} s; those of the 90 good keys of {KEYS}:")
    print(told("all keys are good", good, seconds, good))
    print(told("10 keys fail, retry_share=0.3", fair, seconds, good))
    print(told("10 keys fail, retry_share=1", unfair, seconds, good))
    print(f"aims: at least {AIM_RATE:.0%}, at most {AIM_P99:.0f} times")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--seconds", type=float, default=10)
    given = parser.parse_args()
    anyio.run(measure, given.rate, given.seconds)


if __name__ == "__main__":
    main()
