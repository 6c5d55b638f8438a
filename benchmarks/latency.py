"""Milliseconds from a send to its handler on a real Kafka, and what waiting for one costs.

Each contender is a process of its own that first waits, with nothing to do, and then handles models
that come a hundred a second; each carries the time at which it was given to the producer. Idle is
the processor's time of the process while it waits, in percent of a core. Rounds are taken in turn;
the figures are medians of one run. Needs `make brokers-up`. Run by `make bench`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from time import perf_counter, process_time
from typing import Any, TypeAlias
from uuid import uuid4

import aiokafka
import faststream.kafka
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pydantic import BaseModel

from callboard.kafka import KafkaBroker

SERVERS = os.environ.get("CALLBOARD_KAFKA", "127.0.0.1:19092")
PARTITIONS, RATE = 4, 100


class Tick(BaseModel):
    """What is sent; the clock is the same for all processes of a machine."""

    id: int
    sent: float


class Clock:
    """How late each was handled, in milliseconds."""

    def __init__(self, count: int) -> None:
        self.late: list[float] = []
        self.over = asyncio.Event()
        self._count = count

    def __call__(self, tick: Tick) -> None:
        """Be the work of a handler; the first, for which connections open, is not counted."""
        if tick.id:
            self.late.append((perf_counter() - tick.sent) * 1e3)
            if len(self.late) == self._count:
                self.over.set()


Contender: TypeAlias = Callable[[Clock, str, str, Callable[[], Awaitable[None]]], Awaitable[None]]
"""Handles what comes by a topic in a group; the call says that it is ready, and waits for all."""


async def raw(clock: Clock, topic: str, group: str, waited: Callable[[], Awaitable[None]]) -> None:
    async def read() -> None:
        while True:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    clock(Tick.model_validate_json(record.value))
            await consumer.commit()

    consumer = aiokafka.AIOKafkaConsumer(
        topic, bootstrap_servers=SERVERS, group_id=group, enable_auto_commit=False
    )
    async with consumer:
        reading = asyncio.create_task(read())
        await waited()
        reading.cancel()


async def ours(clock: Clock, topic: str, group: str, waited: Callable[[], Awaitable[None]]) -> None:
    broker = KafkaBroker(SERVERS)

    @broker.subscriber(topic, group_id=group)
    async def handle(tick: Tick) -> None:
        clock(tick)

    async with broker:
        await broker.start()
        await waited()


def theirs(**options: Any) -> Contender:
    async def run(
        clock: Clock, topic: str, group: str, waited: Callable[[], Awaitable[None]]
    ) -> None:
        broker = faststream.kafka.KafkaBroker(SERVERS, logger=None)

        async def handle(tick: Tick) -> None:
            clock(tick)

        broker.subscriber(topic, group_id=group, **options)(handle)
        async with broker:
            await broker.start()
            await waited()

    return run


CONTENDERS: dict[str, Contender] = {
    "aiokafka, commit per batch": raw,
    "Callboard": ours,
    "FastStream, default (ACK_FIRST)": theirs(),
    "FastStream, AckPolicy.ACK": theirs(ack_policy=faststream.AckPolicy.ACK),
}


async def measure(name: str, topic: str, group: str, idle: float, count: int) -> None:
    """Be one contender: print a line when it is ready, and the figures at the end."""
    clock = Clock(count)

    async def waited() -> None:
        await asyncio.sleep(3)  # until its group has settled down
        before = process_time()
        await asyncio.sleep(idle)
        figures["idle"] = (process_time() - before) / idle * 100
        print("ready", flush=True)
        async with asyncio.timeout(count / RATE + 60):
            await clock.over.wait()

    figures: dict[str, float] = {}
    await CONTENDERS[name](clock, topic, group, waited)
    late = sorted(clock.late)
    figures |= {f"p{part}": late[len(late) * part // 100] for part in (50, 99)}
    print(json.dumps(figures))


async def once(name: str, topic: str, idle: float, count: int) -> dict[str, float]:
    """Run one contender in a new process, and send it what it is to handle."""
    words = [sys.executable, __file__, "--measure", name, topic, f"latency.{uuid4().hex}"]
    options = ["--idle", f"{idle}", "--records", f"{count}"]
    child = await asyncio.create_subprocess_exec(*words, *options, stdout=PIPE)
    assert child.stdout is not None
    if await child.stdout.readline() != b"ready\n":
        sys.exit(f"latency: {name} has not come up")
    async with aiokafka.AIOKafkaProducer(bootstrap_servers=SERVERS) as producer:
        start = perf_counter()
        for number in range(count + 1):
            await asyncio.sleep(start + number / RATE - perf_counter())
            tick = Tick(id=number, sent=perf_counter())
            await producer.send(topic, tick.model_dump_json().encode())
        figures: dict[str, float] = json.loads(await child.stdout.readline())
    await child.wait()
    return figures


async def run(rounds: int, idle: float, count: int) -> None:
    """Measure everybody, in turn, and print the table."""
    admin = AIOKafkaAdminClient(bootstrap_servers=SERVERS)
    await admin.start()
    topics: list[str] = []
    results: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    try:
        for _ in range(rounds):
            for name, seen in results.items():
                topics.append(f"benchmark.{uuid4().hex}")
                await admin.create_topics([NewTopic(topics[-1], PARTITIONS, 1)])
                seen.append(await once(name, topics[-1], idle, count))
    finally:
        await admin.delete_topics(topics)
        await admin.close()
    print(f"{f'{RATE} a second, {count} records':<34}{'p50 ms':>10}{'p99 ms':>10}{'idle %':>10}")
    for name, seen in results.items():
        medians = (
            statistics.median(each[what] for each in seen) for what in ("p50", "p99", "idle")
        )
        print(f"{name:<34}" + "".join(f"{median:10.2f}" for median in medians))


def main() -> None:
    """Run, or be one of those that are run."""
    parser = argparse.ArgumentParser(description="Measure latency beside aiokafka and FastStream.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle", type=float, default=10.0, help="seconds of waiting")
    parser.add_argument("--records", type=int, default=2_000)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure is not None:
        name, topic, group = given.measure
        asyncio.run(measure(name, topic, group, given.idle, given.records))
    else:
        asyncio.run(run(given.rounds, given.idle, given.records))


if __name__ == "__main__":
    main()
