"""Messages per second from, to and through a real RabbitMQ, beside its clients and FastStream.

Consuming: orders of about 60 bytes wait in a quorum queue of the contender's own, and go into a
handler of a pydantic model, with a prefetch of 500. The clock runs while the last three quarters are
handled. Everybody has to see each message once and to leave nothing in the queue, else the run fails.

Publishing: models are encoded, sent and confirmed; the queue has to hold what was published.
Forwarding: what waits in one queue is handled and published to another one, confirmed, in order,
before it is acknowledged. Latency: orders come one by one, a thousand a second; from the call that
sends one to its handler, with the server between. Slow contenders get a fraction of the messages, as the table says. Each has
a process of its own, rounds are taken in turn, and the figures are medians of one run. Where others
use the machine too, the processor's time of a contender tells more than its rate. Needs
`make brokers-up`.
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
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from time import perf_counter, process_time
from typing import Any, TypeAlias
from uuid import uuid4

import aio_pika
import aiormq
import faststream
import faststream.rabbit
from pydantic import BaseModel

from callboard.rabbit import Channel, RabbitBroker, RabbitQueue

URL = os.environ.get("CALLBOARD_RABBIT", "amqp://guest:guest@127.0.0.1:25672/")
PREFETCH, BULK = 500, 500
PATIENCE = 300.0
PACE = 1000
"""Messages a second, where the time until each is handled is measured."""
QUORUM = {"x-queue-type": "quorum"}
Speed: TypeAlias = dict[str, float]
Run: TypeAlias = Callable[[int, str], Awaitable[Speed]]
"""Handle or publish so many messages of a queue; what is forwarded goes to the one with .out."""


class Order(BaseModel):
    """What the handlers take."""

    id: int
    customer: str
    quantity: int
    price: float


def order(number: int) -> Order:
    return Order(id=number, customer="alice", quantity=3, price=9.5)


def now() -> tuple[float, float]:
    """Return the time, and the processor's of this process."""
    return perf_counter(), process_time()


def speed(start: tuple[float, float], end: tuple[float, float], count: int) -> Speed:
    """Return messages per second, and the processor's microseconds for each."""
    return {"rate": count / (end[0] - start[0]), "cpu": (end[1] - start[1]) / count * 1e6}


class Heard:
    """What was handled, and how long that took."""

    def __init__(self, count: int) -> None:
        self.count, self.warm = count, count // 4
        self.over = asyncio.Event()
        self.ids: list[int] = []
        self.late: list[float] = []
        self.start = self.end = (0.0, 0.0)

    def __call__(self, order: Order) -> None:
        """Be the work of a handler."""
        self.ids.append(order.id)
        if not order.quantity:  # its price is the time at which it was sent
            self.late.append((perf_counter() - order.price) * 1e3)
        if len(self.ids) == self.warm:
            self.start = now()
        elif len(self.ids) == self.count:
            self.end = now()
            self.over.set()

    async def result(self) -> Speed:
        """Wait for the last; return the rate, and what is checked."""
        async with asyncio.timeout(PATIENCE):
            await self.over.wait()
        more: Speed = {"wrong": sum(a != b for a, b in enumerate(self.ids))}
        if self.late:
            steps = statistics.quantiles(self.late[self.warm :], n=100)
            more |= {"p50": steps[49], "p99": steps[98]}
        return speed(self.start, self.end, self.count - self.warm) | more


async def aio_pika_reads(count: int, queue: str) -> Speed:
    heard = Heard(count)
    async with await aio_pika.connect(URL) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=PREFETCH)

        async def handle(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            heard(Order.model_validate_json(message.body))
            await message.ack()

        await (await channel.get_queue(queue)).consume(handle)
        return await settled(heard)


async def aiormq_reads(count: int, queue: str) -> Speed:
    heard = Heard(count)
    async with aiormq.connect(URL) as connection:
        channel = await connection.channel()
        await channel.basic_qos(prefetch_count=PREFETCH)

        async def handle(message: Any) -> None:
            heard(Order.model_validate_json(message.body))
            if len(heard.ids) % 64 == 0 or len(heard.ids) == count:
                await channel.basic_ack(message.delivery_tag, multiple=True)

        await channel.basic_consume(queue, handle)
        return await settled(heard)


async def settled(heard: Heard) -> Speed:
    """Return the result, once the last acks have left."""
    result = await heard.result()
    await asyncio.sleep(0.5)
    return result


def ours(workers: int, *, forward: bool = False) -> Run:
    async def run(count: int, queue: str) -> Speed:
        heard, broker = Heard(count), RabbitBroker(URL)
        options: Any = {"max_workers": workers, "mailbox": PREFETCH, "channel": Channel(PREFETCH)}

        async def handle(order: Order) -> Order:
            heard(order)
            return order

        async def end(order: Order) -> None:
            heard(order)

        subscriber = broker.subscriber(RabbitQueue(queue, "quorum"), **options)
        subscriber(broker.publisher(f"{queue}.out")(handle) if forward else end)
        async with broker:
            await broker.start()
            return await heard.result()

    return run


def theirs(*, forward: bool = False, **options: Any) -> Run:
    async def run(count: int, queue: str) -> Speed:
        heard, broker = Heard(count), faststream.rabbit.RabbitBroker(URL, logger=None)

        async def handle(order: Order) -> Order:
            heard(order)
            return order

        async def end(order: Order) -> None:
            heard(order)

        kind = faststream.rabbit.QueueType.QUORUM
        subscriber = broker.subscriber(
            faststream.rabbit.RabbitQueue(queue, queue_type=kind),
            channel=faststream.rabbit.Channel(prefetch_count=1 if forward else PREFETCH),
            **options,
        )
        subscriber(broker.publisher(f"{queue}.out", persist=True)(handle) if forward else end)
        async with broker:
            await broker.start()
            return await settled(heard)

    return run


def publishing(make: Callable[[], Any], *, together: bool) -> Run:
    """Publish by the broker that *make* makes; both frameworks are told in the same words."""

    async def run(count: int, queue: str) -> Speed:
        made = [order(number) for number in range(count)]
        async with make() as broker:
            await broker.publish(made[0], queue, persist=True)
            start = now()
            for first in range(1, count, BULK):
                bulk = made[first : first + BULK]
                if together:
                    await asyncio.gather(*[broker.publish(o, queue, persist=True) for o in bulk])
                else:
                    for each in bulk:
                        await broker.publish(each, queue, persist=True)
            return speed(start, now(), count - 1)

    return run


def our_broker() -> Any:
    return RabbitBroker(URL)


def their_broker() -> Any:
    return faststream.rabbit.RabbitBroker(URL, logger=None)


@dataclass(frozen=True, kw_only=True)
class Contender:
    """Somebody to be measured."""

    run: Run
    what: str = "consuming"
    share: int = 1
    """It gets one in so many of the messages."""
    ordered: bool = True
    beside: str = ""
    """The one of Callboard that is compared with it."""
    aim: float | None = None
    """How many times as fast as it that one should be."""


ONE, MANY = "Callboard, 1 worker", "Callboard, 16 workers"
ON, ON_MANY = "Callboard, forwarding", "Callboard, forwarding by 16"
GATHER, SINGLE = "Callboard, 500 at a time", "Callboard, one by one"
ALL = {
    "aio-pika, ack each": Contender(run=aio_pika_reads, share=2, beside=ONE),
    "aiormq, multiple acks": Contender(run=aiormq_reads, share=2, beside=ONE, aim=2.5),
    ONE: Contender(run=ours(1)),
    MANY: Contender(run=ours(16), ordered=False),
    "FastStream": Contender(run=theirs(), share=5, ordered=False, beside=ONE, aim=12),
    ON: Contender(run=ours(1, forward=True), what="forwarding", share=2),
    ON_MANY: Contender(run=ours(16, forward=True), what="forwarding", share=2, ordered=False),
    "FastStream, forwarding": Contender(
        run=theirs(forward=True), what="forwarding", share=20, beside=ON, aim=6
    ),
    GATHER: Contender(run=publishing(our_broker, together=True), what="publishing", share=2),
    "FastStream, 500 at a time": Contender(
        run=publishing(their_broker, together=True),
        what="publishing",
        share=5,
        beside=GATHER,
        aim=2.5,
    ),
    SINGLE: Contender(run=publishing(our_broker, together=False), what="publishing", share=20),
    "FastStream, one by one": Contender(
        run=publishing(their_broker, together=False), what="publishing", share=20, beside=SINGLE
    ),
    "aio-pika, paced": Contender(run=aio_pika_reads, what="latency", share=10),
    "Callboard, paced": Contender(run=ours(1), what="latency", share=10),
    "FastStream, paced": Contender(run=theirs(), what="latency", share=10, ordered=False),
}


def check(right: bool, what: str) -> None:
    """End the run unless *right*."""
    if not right:
        sys.exit(f"rabbit: {what}")


async def fill(channel: Any, queue: str, count: int) -> None:
    """Publish the orders that a consumer reads."""
    for first in range(0, count, BULK):
        orders = map(order, range(first, min(first + BULK, count)))
        bodies = [each.model_dump_json().encode() for each in orders]
        said = aiormq.spec.Basic.Properties(content_type="application/json", delivery_mode=2)
        await asyncio.gather(
            *[channel.basic_publish(b, routing_key=queue, properties=said) for b in bodies]
        )


async def pace(channel: Any, queue: str, count: int) -> None:
    """Publish orders one by one, once somebody reads the queue."""
    while not (await channel.queue_declare(queue, passive=True)).consumer_count:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.05)
    said = aiormq.spec.Basic.Properties(content_type="application/json", delivery_mode=2)
    begin = perf_counter() + 0.5
    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            await asyncio.sleep(begin + number / PACE - perf_counter())
            sent = Order(id=number, customer="alice", quantity=0, price=perf_counter())
            body = sent.model_dump_json().encode()
            tasks.create_task(channel.basic_publish(body, routing_key=queue, properties=said))


async def held(channel: Any, queue: str) -> int:
    """Return how many messages wait in a queue, once that number stands still."""
    last = -1
    while True:
        count: int = (await channel.queue_declare(queue, passive=True)).message_count
        if count == last:
            return count
        last = count
        await asyncio.sleep(0.5)


async def measure(channel: Any, name: str, messages: int) -> Speed:
    """Measure one contender, in a process of its own, on queues of its own."""
    contender, queue = ALL[name], f"benchmark.{uuid4().hex}"
    count, out = messages // contender.share, f"{queue}.out"
    for each in (queue, out):
        arguments = QUORUM if each == queue else {}
        await channel.queue_declare(each, durable=True, arguments=arguments)
    if contender.what in {"consuming", "forwarding"}:
        await fill(channel, queue, count)
    command = [sys.executable, "-P", __file__, "--measure", name, queue, str(count)]
    done = asyncio.to_thread(subprocess.run, command, stdout=subprocess.PIPE, check=True)
    sending = pace(channel, queue, count) if contender.what == "latency" else asyncio.sleep(0)
    result: Speed = json.loads((await asyncio.gather(done, sending))[0].stdout)
    left = count if contender.what == "publishing" else 0
    check(await held(channel, queue) == left, f"{name} did not leave {left} messages")
    if contender.what == "forwarding":
        check(await held(channel, out) == count, f"{name} did not forward {count} messages")
    if contender.ordered:
        check(not result.get("wrong"), f"{name} handled messages twice or out of order")
    for each in (queue, out):
        await channel.queue_delete(each)
    return result


def table(what: str, names: Sequence[str], results: dict[str, list[Speed]]) -> None:
    """Print the medians, and how many times as fast Callboard's counterpart is."""

    def median(name: str, figure: str) -> float:
        return statistics.median(each[figure] for each in results[name])

    print(
        f"\n{what:<30}{'messages/s':>11}{'CPU us':>8}{'of all':>8}   Callboard's is times as fast"
    )
    for name in names:
        contender = ALL[name]
        line = f"{name:<30}{median(name, 'rate'):>11,.0f}{median(name, 'cpu'):>8.1f}"
        line += f"{f'1/{contender.share}' if contender.share > 1 else '':>8}"
        if contender.beside in names:
            ratio, aim = median(contender.beside, "rate") / median(name, "rate"), contender.aim
            line += f"{ratio:9.2f}"
            if aim is not None:
                line += f"; aim {aim:g}: {'met' if ratio >= aim else 'MISSED'}"
        print(line, flush=True)


def lateness(names: Sequence[str], results: dict[str, list[Speed]]) -> None:
    """Print the medians of how late messages are."""
    print(f"\n{f'latency at {PACE} a second':<30}{'p50 ms':>11}{'p99 ms':>8}{'CPU us':>8}")
    for name in names:
        median = {
            figure: statistics.median(each[figure] for each in results[name])
            for figure in ("p50", "p99", "cpu")
        }
        print(f"{name:<30}{median['p50']:>11.2f}{median['p99']:>8.2f}{median['cpu']:>8.1f}")


async def run(messages: int, rounds: int, names: Sequence[str]) -> None:
    """Measure everybody, in turn."""
    results: dict[str, list[Speed]] = {name: [] for name in names}
    async with aiormq.connect(URL) as connection:
        channel = await connection.channel()
        for _ in range(rounds):
            for name in names:
                results[name].append(await measure(channel, name, messages))
    for what in ("consuming", "forwarding", "publishing", "latency"):
        if chosen := [name for name in names if ALL[name].what == what]:
            (lateness if what == "latency" else partial(table, what))(chosen, results)


def main() -> None:
    """Run, or be one of those that are run."""
    parser = argparse.ArgumentParser(description="Measure beside aio-pika, aiormq and FastStream.")
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="those with this in their names")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.measure:
        logging.disable(logging.CRITICAL)
        name, queue, count = told.measure
        print(json.dumps(asyncio.run(ALL[name].run(int(count), queue))))  # type: ignore[arg-type]
        return
    print(
        f"rabbit: {told.messages} messages, median of {told.rounds} rounds,"
        f" aiormq {version('aiormq')}, aio-pika {version('aio-pika')},"
        f" FastStream {version('faststream')}, Python {sys.version.split()[0]}"
    )
    asyncio.run(run(told.messages, told.rounds, [name for name in ALL if told.only in name]))


if __name__ == "__main__":
    main()
