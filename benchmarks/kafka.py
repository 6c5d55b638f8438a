"""Records per second from and to a real Kafka, beside its bare client and FastStream in one run.

Consuming: records of about 60 bytes, published once to 4 partitions with 1,000 keys, go into a
handler of a pydantic model. Each contender has a process and a consumer group of its own. The clock
runs while the last three quarters are handled: starting and joining do not count, nor, with 200,000
records, does the first fetch, which would flatter those who take all of it before they handle one.
Everybody has to see each record once, and whoever promises "at least once" to have committed the
end when it has stopped; else the run fails. Where the order of a key is promised, it is checked.

Publishing: models are encoded, sent, and confirmed by all replicas, by idempotent producers and
without keys; the topic has to hold what was published. "Batches" and "500 at a time" have 500 under
way, "one by one" waits for each.

Slow contenders get a fraction of the records, as the table says. Rounds are taken in turn, and the
figures are medians of one run. Where others use the machine too, the processor's time of a
contender tells more than its rate. Needs `make brokers-up`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from time import perf_counter, process_time
from typing import Any, TypeAlias
from uuid import uuid4

import aiokafka
import faststream
import faststream.kafka
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pydantic import BaseModel

from callboard.kafka import KafkaBroker

SERVERS = os.environ.get("CALLBOARD_KAFKA", "127.0.0.1:19092")
PARTITIONS, KEYS, BULK = 4, 1_000, 500
PATIENCE = 300.0
# Of every producer. FastStream's batch of 500 does not fit into 16 KiB, the default.
SAFE: dict[str, Any] = {"acks": "all", "enable_idempotence": True, "max_batch_size": 2**17}


class Order(BaseModel):
    """What the handlers take."""

    id: int
    customer: str
    quantity: int
    price: float


def orders(count: int) -> Iterator[Order]:
    """Make *count* orders with different ids."""
    return (Order(id=n, customer="alice", quantity=3, price=9.5) for n in range(count))


def bulks(count: int) -> Iterator[Sequence[Order]]:
    """Make *count* orders, so many at a time as are under way together."""
    made = [*orders(count)]
    return (made[start : start + BULK] for start in range(0, count, BULK))


def now() -> tuple[float, float]:
    """Return the time, and the processor's of this process."""
    return perf_counter(), process_time()


def speed(start: tuple[float, float], end: tuple[float, float], count: int) -> dict[str, float]:
    """Return records per second, and the processor's microseconds for each."""
    return {"rate": count / (end[0] - start[0]), "cpu": (end[1] - start[1]) / count * 1e6}


class Heard:
    """What was handled, and how long that took."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.warm = count // 4
        self.over = asyncio.Event()
        self.ids: list[int] = []
        self.start = self.end = (0.0, 0.0)

    def __call__(self, order: Order) -> None:
        """Be the work of a handler."""
        ids = self.ids
        ids.append(order.id)
        if len(ids) == self.warm:
            self.start = now()
        elif len(ids) == self.count:
            self.end = now()
            self.over.set()

    async def complete(self) -> None:
        """Wait for the last."""
        async with asyncio.timeout(PATIENCE):
            await self.over.wait()

    def unordered(self) -> int:
        """Count the records that came after a later one of their key."""
        last, wrong = [-1] * KEYS, 0
        for each in self.ids:
            wrong += each < last[each % KEYS]
            last[each % KEYS] = max(each, last[each % KEYS])
        return wrong

    def result(self) -> dict[str, float]:
        """Return the rate, and what is checked."""
        checks = {"doubles": len(self.ids) - len({*self.ids}), "unordered": self.unordered()}
        return speed(self.start, self.end, self.count - self.warm) | checks


Consume: TypeAlias = Callable[[Heard, str, str], Awaitable[None]]
"""Handle as many records of a topic, in a group, as are to be heard."""
Publish: TypeAlias = Callable[[int, str], Awaitable[dict[str, float]]]
"""Publish so many orders to a topic; return the speed."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """Somebody to be measured."""

    run: Any
    """A `Consume` or a `Publish`."""
    share: int = 1
    """It gets one in so many of the records."""
    safe: bool = True
    """Promises at least once."""
    ordered: bool = True
    """Promises the order of a key."""
    beside: str = ""
    """The one of Callboard that is compared with it."""
    aim: float | None = None
    """How many times as fast as it that one should be."""


# Consuming


async def raw(heard: Heard, topic: str, group: str) -> None:
    consumer = aiokafka.AIOKafkaConsumer(
        topic,
        bootstrap_servers=SERVERS,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    validate = Order.model_validate_json
    async with consumer:
        while len(heard.ids) < heard.count:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    heard(validate(record.value))
            await consumer.commit()


def ours(workers: int) -> Consume:
    async def consume(heard: Heard, topic: str, group: str) -> None:
        broker = KafkaBroker(SERVERS)

        @broker.subscriber(topic, group_id=group, auto_offset_reset="earliest", max_workers=workers)
        async def handle(order: Order) -> None:
            heard(order)

        async with broker:
            await broker.start()
            await heard.complete()

    return consume


def theirs(**options: Any) -> Consume:
    async def consume(heard: Heard, topic: str, group: str) -> None:
        broker = faststream.kafka.KafkaBroker(SERVERS, logger=None)

        async def handle(order: Order) -> None:
            heard(order)

        async def handle_all(orders: list[Order]) -> None:
            for order in orders:
                heard(order)

        subscriber = broker.subscriber(
            topic, group_id=group, auto_offset_reset="earliest", **options
        )
        subscriber(handle_all if options.get("batch") else handle)
        async with broker:
            await broker.start()
            await heard.complete()

    return consume


# Publishing


async def timed(
    count: int, publish: Callable[[Sequence[Order]], Awaitable[object]]
) -> dict[str, float]:
    """Publish a bulk at a time, after a first order that opens connections; return the speed."""
    await publish([*orders(1)])
    bulk = [*bulks(count - 1)]
    start = now()
    for each in bulk:
        await publish(each)
    return speed(start, now(), count - 1)


def raw_publishing(*, together: bool) -> Publish:
    async def run(count: int, topic: str) -> dict[str, float]:
        async with aiokafka.AIOKafkaProducer(bootstrap_servers=SERVERS, **SAFE) as producer:

            async def publish(bulk: Sequence[Order]) -> None:
                if together:
                    bodies = [order.model_dump_json().encode() for order in bulk]
                    await asyncio.gather(*[await producer.send(topic, body) for body in bodies])
                else:
                    for order in bulk:
                        await producer.send_and_wait(topic, order.model_dump_json().encode())

            return await timed(count, publish)

    return run


def publishing(make: Callable[[], Any], how: str) -> Publish:
    """Publish by the broker that *make* makes; both frameworks are told in the same words."""

    async def run(count: int, topic: str) -> dict[str, float]:
        async with make() as broker:

            async def publish(bulk: Sequence[Order]) -> None:
                if how == "batch":
                    await broker.publish_batch(*bulk, topic=topic)
                elif how != "one":
                    await asyncio.gather(*[broker.publish(order, topic=topic) for order in bulk])
                else:
                    for order in bulk:
                        await broker.publish(order, topic=topic)

            return await timed(count, publish)

    return run


def our_broker() -> Any:
    return KafkaBroker(SERVERS, **SAFE)


def their_broker() -> Any:
    return faststream.kafka.KafkaBroker(SERVERS, logger=None, **SAFE)


ACK = faststream.AckPolicy.ACK
ONE, MANY = "Callboard, 1 worker", "Callboard, 16 workers"
BATCH, GATHER, SINGLE = (
    f"Callboard, publish {how}" for how in ("batches", "500 at a time", "one by one")
)
CONSUMERS = {
    "aiokafka, commit per batch": Contender(run=raw, beside=ONE, aim=0.6),
    ONE: Contender(run=ours(1)),
    MANY: Contender(run=ours(16), beside=ONE),
    "FastStream, default (ACK_FIRST)": Contender(
        run=theirs(), share=5, safe=False, beside=ONE, aim=10
    ),
    "FastStream, AckPolicy.ACK": Contender(
        run=theirs(ack_policy=ACK), share=40, beside=ONE, aim=40
    ),
    "FastStream, max_workers=4": Contender(
        run=theirs(max_workers=4), share=5, safe=False, ordered=False, beside=MANY
    ),
    "FastStream, batch": Contender(run=theirs(batch=True), safe=False, beside=ONE),
    "FastStream, batch, AckPolicy.ACK": Contender(
        run=theirs(batch=True, ack_policy=ACK), beside=ONE
    ),
}
PUBLISHERS = {
    "aiokafka, 500 sends and gather": Contender(run=raw_publishing(together=True), beside=BATCH),
    BATCH: Contender(run=publishing(our_broker, "batch")),
    "FastStream, publish_batch": Contender(
        run=publishing(their_broker, "batch"), beside=BATCH, aim=5
    ),
    GATHER: Contender(run=publishing(our_broker, "gather")),
    "FastStream, publish 500 at a time": Contender(
        run=publishing(their_broker, "gather"), share=4, beside=GATHER, aim=5
    ),
    "aiokafka, send_and_wait": Contender(
        run=raw_publishing(together=False), share=40, beside=SINGLE
    ),
    SINGLE: Contender(run=publishing(our_broker, "one"), share=40),
    "FastStream, publish one by one": Contender(
        run=publishing(their_broker, "one"), share=40, beside=SINGLE
    ),
}
ALL = CONSUMERS | PUBLISHERS


# The run


async def measure(name: str, topic: str, count: int, group: str) -> dict[str, float]:
    """Be one contender, in a process of its own."""
    if name in PUBLISHERS:
        published: dict[str, float] = await PUBLISHERS[name].run(count, topic)
        return published
    heard = Heard(count)
    await CONSUMERS[name].run(heard, topic, group)
    return heard.result()


def child(name: str, topic: str, count: int, group: str) -> dict[str, float]:
    """Run `measure` in a new process."""
    command = [sys.executable, __file__, "--measure", name, topic, str(count), group]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603 - ourselves
    result: dict[str, float] = json.loads(done.stdout)
    return result


def check(right: bool, what: str) -> None:
    """End the run unless *right*."""
    if not right:
        sys.exit(f"kafka: {what}")


class Cluster:
    """The topics of this run, and what is in them."""

    def __init__(self, admin: AIOKafkaAdminClient) -> None:
        self._admin = admin
        self._made: list[str] = []

    async def topic(self) -> str:
        """Make a topic."""
        name = f"benchmark.{uuid4().hex}"
        await self._admin.create_topics([NewTopic(name, PARTITIONS, 1)])
        self._made.append(name)
        return name

    async def fill(self, topic: str, count: int) -> None:
        """Publish the records that all consumers read."""
        async with aiokafka.AIOKafkaProducer(bootstrap_servers=SERVERS, **SAFE) as producer:
            for bulk in bulks(count):
                for order in bulk:
                    key = f"{order.id % KEYS}".encode()
                    await producer.send(topic, order.model_dump_json().encode(), key)
            await producer.flush()
        check(await self.held(topic) == count, f"not all of {count} records were published")

    async def held(self, topic: str) -> int:
        """Return how many records a topic holds."""
        async with aiokafka.AIOKafkaConsumer(bootstrap_servers=SERVERS) as consumer:
            names = [aiokafka.TopicPartition(topic, number) for number in range(PARTITIONS)]
            return sum((await consumer.end_offsets(names)).values())

    async def committed(self, group: str) -> int:
        """Return how many records a group is done with."""
        positions = await self._admin.list_consumer_group_offsets(group)
        return sum(max(0, each.offset) for each in positions.values())

    async def clean(self) -> None:
        """Delete the topics."""
        await self._admin.delete_topics(self._made)


async def consume(cluster: Cluster, name: str, topic: str, records: int) -> dict[str, float]:
    """Measure a consumer."""
    contender, group = CONSUMERS[name], f"benchmark.{uuid4().hex}"
    count = records // contender.share
    result = await asyncio.to_thread(child, name, topic, count, group)
    check(not result["doubles"], f"{name} handled {result['doubles']} records twice")
    check(
        not (contender.ordered and result["unordered"]),
        f"{name} handled {result['unordered']} records out of order",
    )
    if contender.safe:
        done = await cluster.committed(group)
        right = done == count if count == records else done >= count
        check(right, f"{name} has handled {count} records and committed {done}")
    return result


async def publish(cluster: Cluster, name: str, records: int) -> dict[str, float]:
    """Measure a publisher."""
    count, topic = records // PUBLISHERS[name].share, await cluster.topic()
    result = await asyncio.to_thread(child, name, topic, count, "")
    held = await cluster.held(topic)
    check(held == count, f"{name} has published {count} records, and {held} are there")
    return result


Results: TypeAlias = dict[str, list[dict[str, float]]]


def table(title: str, names: Sequence[str], results: Results) -> None:
    """Print the medians, and how many times as fast Callboard's counterpart is."""

    def median(name: str, what: str) -> float:
        return statistics.median(each[what] for each in results[name])

    print(
        f"\n{title:<34}{'records/s':>10}{'CPU us':>8}{'of all':>8}   Callboard's is times as fast"
    )
    for name in names:
        contender = ALL[name]
        line = f"{name:<34}{median(name, 'rate'):>10,.0f}{median(name, 'cpu'):>8.1f}"
        line += f"{f'1/{contender.share}' if contender.share > 1 else '':>8}"
        if contender.beside in names:
            ratio, aim = median(contender.beside, "rate") / median(name, "rate"), contender.aim
            line += f"{ratio:9.2f}  {contender.beside.partition(', ')[2]}"
            if aim is not None:
                line += f"; aim {aim:g}: {'met' if ratio >= aim else 'MISSED'}"
        print(line, flush=True)


async def run(records: int, rounds: int, names: Sequence[str]) -> None:
    """Measure everybody, in turn."""
    admin = AIOKafkaAdminClient(bootstrap_servers=SERVERS)
    await admin.start()
    cluster, results = Cluster(admin), Results((name, []) for name in names)
    try:
        topic = await cluster.topic()
        await cluster.fill(topic, records)
        for _ in range(rounds):
            for name in names:
                results[name].append(
                    await consume(cluster, name, topic, records)
                    if name in CONSUMERS
                    else await publish(cluster, name, records)
                )
    finally:
        await cluster.clean()
        await admin.close()
    table("consuming", [name for name in names if name in CONSUMERS], results)
    table("publishing", [name for name in names if name in PUBLISHERS], results)


def main() -> None:
    """Run, or be one of those that are run."""
    parser = argparse.ArgumentParser(description="Measure beside aiokafka and FastStream.")
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="those with this in their names")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.measure:
        logging.disable(logging.CRITICAL)
        name, topic, count, group = told.measure
        print(json.dumps(asyncio.run(measure(name, topic, int(count), group))))
        return
    print(
        f"kafka: {told.records} records, median of {told.rounds} rounds,"
        f" aiokafka {version('aiokafka')}, FastStream {version('faststream')},"
        f" Python {sys.version.split()[0]}"
    )
    asyncio.run(run(told.records, told.rounds, [name for name in ALL if told.only in name]))


if __name__ == "__main__":
    main()
