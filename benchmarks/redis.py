"""Messages per second from and to a real Redis, beside its bare client and FastStream, in one run.

Messages of about 60 bytes, in the envelope that both write, are made models of pydantic by a handler.
Those of a stream and of a list are there before; a stream is read by a group, and each entry is
acknowledged. Channels are read as another process publishes. The clock runs while the last three
quarters are handled. Everybody has to see each message once.

Raw is redis-py as fast as it goes: 500 entries at a time, acknowledged together. FastStream, and the raw
reader of lists, take a message away before it is handled: they lose what they have in hand at a crash.

Each contender has a process of its own. Slow ones get a fraction of the messages, as the table says.
Rounds are taken in turn, and the figures are medians. Where others use the machine too, the processor's
time of a contender tells more than its rate. Needs `make brokers-up`; run it by `python -P`, since the
client has the name of this file.
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
from importlib.metadata import version
from time import perf_counter, process_time
from typing import Any, TypeAlias
from uuid import uuid4

import faststream.redis
import redis.asyncio as client
from pydantic import BaseModel
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from callboard.redis import BinaryMessageFormatV1, RedisBroker, StreamSub

SERVER = "redis://" + os.environ.get("CALLBOARD_REDIS", "127.0.0.1:26379")
BULK = 500
PATIENCE = 300.0
FIELD = b"__data__"
Speed: TypeAlias = dict[str, float]
Run: TypeAlias = Callable[[int, str], Awaitable[Speed]]
"""Handle or publish so many messages of a name."""


class Order(BaseModel):
    """What the handlers take."""

    id: int
    customer: str
    quantity: int
    price: float


def order(number: int) -> Order:
    return Order(id=number, customer="alice", quantity=3, price=9.5)


def envelope(number: int) -> bytes:
    pairs = [("content-type", b"application/json"), ("correlation_id", uuid4().hex.encode())]
    return BinaryMessageFormatV1.pack(order(number).model_dump_json().encode(), pairs, "")


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
        self.take(Order.model_validate_json(BinaryMessageFormatV1.unpack(octets)[0]))

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


def raw() -> Any:
    return client.Redis.from_url(SERVER, retry=Retry(NoBackoff(), 0))


async def raw_stream(count: int, name: str) -> Speed:
    async with raw() as connection:
        heard = Heard(count)
        while not heard.over.is_set():
            found = await connection.xreadgroup("g", "c", {name: ">"}, count=BULK, block=1000)
            for _, entries in found:
                for _, fields in entries:
                    heard(fields[FIELD])
                await connection.xack(name, "g", *(at for at, _ in entries))
        return await heard.complete()


async def raw_list(count: int, name: str) -> Speed:
    async with raw() as connection:
        heard = Heard(count)
        while not heard.over.is_set():
            for each in await connection.lpop(name, BULK) or ():
                heard(each)
        return await heard.complete()


async def raw_channel(count: int, name: str) -> Speed:
    async with raw() as connection, connection.pubsub() as reading:
        heard = Heard(count)
        await reading.subscribe(name)
        await reading.get_message(timeout=1)
        with other(name, count):
            while not heard.over.is_set():
                message = await reading.get_message(ignore_subscribe_messages=True, timeout=1)
                if message is not None:
                    heard(message["data"])
            return await heard.complete()


def ours() -> Any:
    return RedisBroker(SERVER)


def theirs() -> Any:
    return faststream.redis.RedisBroker(SERVER, logger=None)


def handling(make: Callable[[], Any], source: Callable[[str], dict[str, Any]]) -> Run:
    """Handle what *source* reads, by the broker that *make* makes."""

    async def run(count: int, name: str) -> Speed:
        heard, broker = Heard(count), make()
        there = source(name)

        async def handle(order: Order) -> None:
            heard.take(order)

        broker.subscriber(**there)(handle)
        async with broker:
            await broker.start()
            if "channel" not in there:
                return await heard.complete()
            with other(name, count):
                return await heard.complete()

    return run


def publishing_of(make: Callable[[], Any], at_once: int) -> Run:
    """Publish to a stream, with so many receipts open."""

    async def run(count: int, name: str) -> Speed:
        made = [order(number) for number in range(count)]
        async with make() as broker:
            start = now()
            for first in range(0, count, at_once):
                some = made[first : first + at_once]
                await asyncio.gather(*(broker.publish(o, stream=name) for o in some))
            return speed(start, count)

    return run


async def raw_publish(count: int, name: str) -> Speed:
    async with raw() as connection:
        start = now()
        for first in range(0, count, BULK):
            pipeline = connection.pipeline(transaction=False)
            for number in range(first, min(first + BULK, count)):
                pipeline.xadd(name, {FIELD: envelope(number)})
            await pipeline.execute()
        return speed(start, count)


async def feed(name: str, count: int) -> None:
    async with raw() as connection:
        for first in range(0, count, BULK):
            pipeline = connection.pipeline(transaction=False)
            for number in range(first, min(first + BULK, count)):
                pipeline.publish(name, envelope(number))
            await pipeline.execute()


class other:  # noqa: N801 - it is used as a function
    """Another process, that publishes while the body runs."""

    def __init__(self, name: str, count: int) -> None:
        command = [sys.executable, "-P", __file__, "--feed", name, str(count)]
        self._process = subprocess.Popen(command)  # noqa: S603 - of our own

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def our_stream(name: str) -> dict[str, Any]:
    return {"stream": StreamSub(name, group="g", consumer="c")}


def their_stream(name: str) -> dict[str, Any]:
    sub = faststream.redis.StreamSub(name, group="g", consumer="c", max_records=BULK)
    return {"stream": sub}


def list_of(name: str) -> dict[str, Any]:
    return {"list": name}


def channel_of(name: str) -> dict[str, Any]:
    return {"channel": name}


CONTENDERS: Sequence[tuple[str, str, Run, int]] = (
    ("stream", "redis-py, 500 at a time", raw_stream, 1),
    ("stream", "Callboard", handling(ours, our_stream), 1),
    ("stream", "FastStream, max_records=500", handling(theirs, their_stream), 10),
    ("list", "redis-py, 500 at a time, lossy", raw_list, 1),
    ("list", "Callboard", handling(ours, list_of), 1),
    ("list", "FastStream, lossy", handling(theirs, list_of), 10),
    ("channel", "redis-py", raw_channel, 1),
    ("channel", "Callboard", handling(ours, channel_of), 1),
    ("channel", "FastStream", handling(theirs, channel_of), 10),
    ("publish", "redis-py, pipelines of 500", raw_publish, 1),
    ("publish", "Callboard, 500 at a time", publishing_of(ours, BULK), 2),
    ("publish", "FastStream, 50 at a time", publishing_of(theirs, 50), 10),
)


async def measure(kind: str, number: int, count: int) -> Speed:
    """Have one contender do its work, with a name of its own."""
    name = f"bench.{uuid4().hex}"
    async with raw() as connection:
        if kind == "stream":
            await connection.xgroup_create(name, "g", mkstream=True)
        for first in range(0, count if kind in {"stream", "list"} else 0, BULK):
            pipeline = connection.pipeline(transaction=False)
            for each in range(first, min(first + BULK, count)):
                if kind == "stream":
                    pipeline.xadd(name, {FIELD: envelope(each)})
                else:
                    pipeline.rpush(name, envelope(each))
            await pipeline.execute()
        try:
            return await CONTENDERS[number][2](count, name)
        finally:
            await connection.delete(name)


def rounds(count: int, times: int) -> None:
    """Let all take their turns, and print the medians."""
    found: list[list[Speed]] = [[] for _ in CONTENDERS]
    for _ in range(times):
        for number, (kind, _name, _run, share) in enumerate(CONTENDERS):
            asked = ["--one", kind, str(number), str(count // share)]
            command = [sys.executable, "-P", __file__, *asked]
            done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - of our own
            found[number].append(json.loads(done.stdout))
    versions = f"redis-py {version('redis')}, FastStream {version('faststream')}"
    print(f"{versions}, {count:,} messages, {times} rounds\n")
    print(f"{'':10}{'':34}{'messages':>10}{'k/s':>8}{'µs CPU':>8}")
    for (kind, name, _run, share), speeds in zip(CONTENDERS, found, strict=True):
        rate, cpu = (statistics.median(each[what] for each in speeds) for what in ("rate", "cpu"))
        print(f"{kind:10}{name:34}{count // share:>10,}{rate / 1000:>8.1f}{cpu:>8.1f}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--feed", nargs=2, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.one:
        kind, number, count = told.one
        print(json.dumps(asyncio.run(measure(kind, int(number), int(count)))))
    elif told.feed:
        asyncio.run(feed(told.feed[0], int(told.feed[1])))
    else:
        rounds(told.messages, told.rounds)


if __name__ == "__main__":
    main()
