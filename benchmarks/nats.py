"""Messages per second from and to a real NATS, beside its bare client and FastStream, in one run.

Consuming: messages of about 60 bytes, published by another process, are made models of pydantic.
Core messages are read as they come; those of a stream are there before, and each is acknowledged.
"Callboard" is `callboard.nats` with a handler, as FastStream is; its adapter is the port below alone.
The clock runs while the last three quarters are handled. Everybody has to see each message once.

Publishing to a stream is confirmed: "500 at a time" has 500 under way, "one by one" waits for each.
Asking is one request after the other, answered by another process.

Each contender has a process of its own. Slow ones get a fraction of the messages, as the table
says. Rounds are taken in turn, and the figures are medians. Where others use the machine too, the
processor's time of a contender tells more than its rate. Needs `make brokers-up`; run it by
`python -P`, since the client has the name of this file.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from time import perf_counter, process_time
from typing import Any, TypeAlias
from uuid import uuid4

import faststream.nats
import nats
import nats.errors
from nats.js.api import ConsumerConfig
from pydantic import BaseModel

from callboard.nats import NatsBroker
from callboard_brokers import Capacity, Message
from callboard_brokers.nats import JStream, Nats, NatsSource, NatsTarget

SERVER = "nats://" + os.environ.get("CALLBOARD_NATS", "127.0.0.1:24222")
BULK = 500
PATIENCE = 300.0
Speed: TypeAlias = dict[str, float]
Run: TypeAlias = Callable[[int, str], Awaitable[Speed]]
"""Handle, publish or ask so many messages of a subject."""


class Order(BaseModel):
    """What the handlers take."""

    id: int
    customer: str
    quantity: int
    price: float


def order(number: int) -> Order:
    return Order(id=number, customer="alice", quantity=3, price=9.5)


def body(number: int) -> bytes:
    return order(number).model_dump_json().encode()


def now() -> tuple[float, float]:
    """Return the time, and the processor's of this process."""
    return perf_counter(), process_time()


def speed(start: tuple[float, float], count: int) -> Speed:
    """Return messages per second, and the processor's microseconds for each."""
    end = now()
    return {"rate": count / (end[0] - start[0]), "cpu": (end[1] - start[1]) / count * 1e6}


class Heard:
    """What was handled, and how long that took."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.ids: list[int] = []
        self.over = asyncio.Event()
        self.start = now()
        self.speed: Speed = {}

    def __call__(self, octets: bytes) -> None:
        self.take(Order.model_validate_json(octets))

    def take(self, order: Order) -> None:
        """Be the work of a handler."""
        self.ids.append(order.id)
        if len(self.ids) == self.count // 4:
            self.start = now()
        elif len(self.ids) == self.count:
            self.speed = speed(self.start, self.count - self.count // 4)
            self.over.set()

    async def complete(self) -> Speed:
        """Wait for the last, and check that each came once."""
        async with asyncio.timeout(PATIENCE):
            await self.over.wait()
        if len({*self.ids}) != self.count:
            raise RuntimeError(f"{self.count - len({*self.ids})} messages are missing")
        return self.speed


async def raw_core(count: int, subject: str) -> Speed:
    client, heard = await nats.connect(SERVER), Heard(count)

    async def handle(message: Any) -> None:
        heard(message.data)

    await client.subscribe(subject, cb=handle)
    await client.flush()
    with other("feed", subject, count):
        result = await heard.complete()
    await client.close()
    return result


async def our_core(count: int, subject: str) -> Speed:
    heard = Heard(count)
    async with (
        Nats(SERVER).connect() as connection,
        connection.subscribe(NatsSource(subject), Capacity(256)) as reading,
    ):
        with other("feed", subject, count):
            await read(reading, heard)
            return await heard.complete()


async def raw_stream(count: int, subject: str) -> Speed:
    client, heard = await nats.connect(SERVER), Heard(count)
    config = ConsumerConfig(max_ack_pending=-1)
    reading = await client.jetstream().pull_subscribe(subject, "d", stream=subject, config=config)
    while not heard.over.is_set():
        for message in await reading.fetch(BULK, timeout=PATIENCE):
            heard(message.data)
            await message.ack()
    await client.close()
    return await heard.complete()


async def our_stream(count: int, subject: str) -> Speed:
    heard = Heard(count)
    source = NatsSource(subject, stream=subject, durable="d")
    async with (
        Nats(SERVER).connect() as connection,
        connection.subscribe(source, Capacity(256)) as reading,
    ):
        await read(reading, heard)
        return await heard.complete()


async def read(reading: Any, heard: Heard) -> None:
    """Be the part of Callboard above the port, as short as can be."""
    while not heard.over.is_set():
        for delivery in await reading.receive(256):
            heard(delivery.message.body)
            delivery.ack()


async def raw_publish(count: int, subject: str) -> Speed:
    client = await nats.connect(SERVER)
    stream, start = client.jetstream(), now()
    for first in range(0, count, BULK):
        for number in range(first, min(first + BULK, count)):
            await stream.publish_async(subject, body(number))
        await stream.publish_async_completed()
    result = speed(start, count)
    await client.close()
    return result


async def raw_publish_one(count: int, subject: str) -> Speed:
    client = await nats.connect(SERVER)
    stream, start = client.jetstream(), now()
    for number in range(count):
        await stream.publish(subject, body(number))
    result = speed(start, count)
    await client.close()
    return result


async def our_publish(count: int, subject: str) -> Speed:
    target = NatsTarget(subject, stream=subject)
    async with Nats(SERVER).connect() as connection:
        start = now()
        for first in range(0, count, BULK):
            numbers = range(first, min(first + BULK, count))
            sent = [await connection.send(Message(body(each)), target) for each in numbers]
            for each in sent:
                await each.wait()
        return speed(start, count)


async def our_publish_one(count: int, subject: str) -> Speed:
    target = NatsTarget(subject, stream=subject)
    async with Nats(SERVER).connect() as connection:
        start = now()
        for number in range(count):
            await connection.publish(Message(body(number)), target)
        return speed(start, count)


async def raw_ask(count: int, subject: str) -> Speed:
    client = await nats.connect(SERVER)
    with other("answer", subject, count):
        await until_answered(lambda: client.request(subject, b"", timeout=5))
        start = now()
        for number in range(count):
            await client.request(subject, body(number), timeout=5)
        result = speed(start, count)
    await client.close()
    return result


async def our_ask(count: int, subject: str) -> Speed:
    target = NatsTarget(subject)
    async with Nats(SERVER).connect() as connection:
        with other("answer", subject, count):
            await until_answered(lambda: connection.request(Message(b""), target, 5))
            start = now()
            for number in range(count):
                await connection.request(Message(body(number)), target, 5)
            return speed(start, count)


def ours() -> Any:
    return NatsBroker(SERVER)


def theirs() -> Any:
    return faststream.nats.NatsBroker(SERVER, logger=None)


def core_of(make: Callable[[], Any]) -> Run:
    """Handle what is published, by the broker that *make* makes."""

    async def run(count: int, subject: str) -> Speed:
        heard, broker = Heard(count), make()

        async def handle(order: Order) -> None:
            heard.take(order)

        broker.subscriber(subject)(handle)
        async with broker:
            await broker.start()
            with other("feed", subject, count):
                return await heard.complete()

    return run


def stream_of(make: Callable[[], Any], stream: Callable[..., Any], **options: Any) -> Run:
    """Handle what is in a stream, likewise; it is there."""

    async def run(count: int, subject: str) -> Speed:
        heard, broker = Heard(count), make()
        there = stream(subject, declare=False)

        async def handle(order: Order) -> None:
            heard.take(order)

        broker.subscriber(subject, stream=there, durable="d", **options)(handle)
        async with broker:
            await broker.start()
            return await heard.complete()

    return run


def publishing_of(make: Callable[[], Any], at_once: int) -> Run:
    """Publish to a stream, with so many confirmations open."""

    async def run(count: int, subject: str) -> Speed:
        made = [order(number) for number in range(count)]
        async with make() as broker:
            start = now()
            for first in range(0, count, at_once):
                some = made[first : first + at_once]
                sent = [broker.publish(o, subject, stream=subject, timeout=30.0) for o in some]
                await asyncio.gather(*sent)
            return speed(start, count)

    return run


def asking_of(make: Callable[[], Any]) -> Run:
    """Ask, one request after the other."""

    async def run(count: int, subject: str) -> Speed:
        async with make() as broker:
            with other("answer", subject, count):
                await until_answered(lambda: broker.request(b"", subject, timeout=5))
                start = now()
                for number in range(count):
                    await broker.request(order(number), subject, timeout=30)
                return speed(start, count)

    return run


async def until_answered(ask: Callable[[], Awaitable[object]]) -> None:
    """Ask until somebody is there."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(Exception):
                await ask()
                return
            await asyncio.sleep(0.1)


async def feed(subject: str, count: int) -> None:
    client = await nats.connect(SERVER)
    for number in range(count):
        await client.publish(subject, body(number))
    await client.flush()
    await client.close()


async def answer(subject: str, count: int) -> None:
    client = await nats.connect(SERVER)

    async def reply(message: Any) -> None:
        await message.respond(b"")

    await client.subscribe(subject, cb=reply)
    await asyncio.sleep(PATIENCE)


class other:  # noqa: N801 - it is used as a function
    """Another process, that publishes or answers while the body runs."""

    def __init__(self, what: str, subject: str, count: int) -> None:
        command = [sys.executable, "-P", __file__, "--do", what, subject, str(count)]
        self._process = subprocess.Popen(command)  # noqa: S603 - of our own

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


PULL = {"pull_sub": faststream.nats.PullSub(batch_size=BULK)}
CONTENDERS: Sequence[tuple[str, str, Run, int]] = (
    ("core", "nats-py, a callback", raw_core, 1),
    ("core", "Callboard's adapter", our_core, 1),
    ("core", "Callboard", core_of(ours), 1),
    ("core", "FastStream", core_of(theirs), 5),
    ("stream", "nats-py, fetch(500)", raw_stream, 4),
    ("stream", "Callboard's adapter", our_stream, 1),
    ("stream", "Callboard", stream_of(ours, JStream), 1),
    ("stream", "FastStream, fetch(500)", stream_of(theirs, faststream.nats.JStream, **PULL), 10),
    ("publish", "nats-py, 500 at a time", raw_publish, 4),
    ("publish", "Callboard's adapter, 500 at a time", our_publish, 1),
    ("publish", "Callboard, 500 at a time", publishing_of(ours, BULK), 2),
    ("publish", "FastStream, 500 at a time", publishing_of(theirs, BULK), 10),
    ("publish", "nats-py, one by one", raw_publish_one, 20),
    ("publish", "Callboard's adapter, one by one", our_publish_one, 20),
    ("publish", "Callboard, one by one", publishing_of(ours, 1), 20),
    ("publish", "FastStream, one by one", publishing_of(theirs, 1), 20),
    ("ask", "nats-py", raw_ask, 20),
    ("ask", "Callboard's adapter", our_ask, 20),
    ("ask", "Callboard", asking_of(ours), 20),
    ("ask", "FastStream", asking_of(theirs), 20),
)


async def measure(kind: str, number: int, count: int) -> Speed:
    """Have one contender do its work, on a stream of its own."""
    name = f"bench_{uuid4().hex}"
    stored = kind in {"stream", "publish"}
    async with Nats(SERVER).connect() as connection:
        target = NatsTarget(name, stream=JStream(name, [name], storage="memory"))
        if stored:
            await connection.prepare([], [target])
        if kind == "stream":
            sent = [await connection.send(Message(body(n)), target) for n in range(count)]
            for each in sent:
                await each.wait()
    try:
        return await CONTENDERS[number][2](count, name)
    finally:
        if stored:
            client = await nats.connect(SERVER)
            await client.jetstream().delete_stream(name)
            await client.close()


def rounds(count: int, times: int) -> None:
    """Let all take their turns, and print the medians."""
    found: list[list[Speed]] = [[] for _ in CONTENDERS]
    for _ in range(times):
        for number, (kind, _name, _run, share) in enumerate(CONTENDERS):
            command = [
                sys.executable,
                "-P",
                __file__,
                "--one",
                kind,
                str(number),
                str(count // share),
            ]
            done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - of our own
            found[number].append(json.loads(done.stdout))
    versions = f"nats-py {version('nats-py')}, FastStream {version('faststream')}"
    print(f"{versions}, {count:,} messages, {times} rounds\n")
    print(f"{'':10}{'':38}{'messages':>10}{'k/s':>8}{'µs CPU':>8}")
    for (kind, name, _run, share), speeds in zip(CONTENDERS, found, strict=True):
        rate, cpu = (statistics.median(each[what] for each in speeds) for what in ("rate", "cpu"))
        print(f"{kind:10}{name:38}{count // share:>10,}{rate / 1000:>8.1f}{cpu:>8.1f}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--do", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        kind, number, count = given.one
        print(json.dumps(asyncio.run(measure(kind, int(number), int(count)))))
    elif given.do:
        what, subject, count = given.do
        asyncio.run({"feed": feed, "answer": answer}[what](subject, int(count)))
    else:
        rounds(given.messages, given.rounds)


if __name__ == "__main__":
    main()
