"""Messages per second through mailboxes and actors, beside pykka, bare queues and bare streams.

The queues and streams are the bare minimum: a task that gets and handles. They put nothing back
when it crashes, and restart nothing; by hand ("nowait first") they run as long as there is
something, and let nobody else run meanwhile, where our loop does so after 64 messages or 1 ms.
Rounds are taken in turn, on asyncio; the figures are medians of one run. Run by `make bench`.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from time import perf_counter
from typing import Any, TypeAlias

import anyio
import pykka
from anyio.lowlevel import checkpoint

from callboard_actors import ActorSystem, Mailbox, serve
from callboard_brokers import Tracker

Receive: TypeAlias = Callable[[Any], Awaitable[object]]
Measured: TypeAlias = Callable[[], float]

ROUNDS = 9
CAPACITY = 1024
MESSAGES = 200_000
ACTORS = 1000
KEYS = 10_000
WORKERS = 16
WINDOW = 100_000


class Countdown:
    """Receives messages; when the last one has come, it is `over`."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.over = anyio.Event()

    async def receive(self, message: object) -> None:
        self.left -= 1
        if not self.left:
            self.over.set()


class Bulk:
    """Our mailbox and actor loop, fed as a broker's pump does: as many as there is room for."""

    def __init__(self) -> None:
        self.mailbox = Mailbox[int](CAPACITY)
        self.tell: Callable[[int], object] = self.mailbox.put_nowait

    async def consume(self, receive: Receive) -> None:
        await serve(receive, self.mailbox.reader())

    async def produce(self, count: int) -> None:
        put = 0
        while put < count:
            free = min(await self.mailbox.room(), count - put)
            self.mailbox.put_many(range(put, put + free))
            put += free


class OneByOne(Bulk):
    """The same, fed by a sender who has one message at a time."""

    async def produce(self, count: int) -> None:
        put = self.mailbox.put
        for n in range(count):
            await put(n)


class Queue:
    """`asyncio.Queue` as its documentation shows it."""

    def __init__(self) -> None:
        self.queue = asyncio.Queue[int](CAPACITY)
        self.tell: Callable[[int], object] = self.queue.put_nowait

    async def consume(self, receive: Receive) -> None:
        get = self.queue.get
        while True:
            await receive(await get())

    async def produce(self, count: int) -> None:
        put = self.queue.put
        for n in range(count):
            await put(n)


class QueueByHand(Queue):
    """`asyncio.Queue`, waiting only if it must."""

    async def consume(self, receive: Receive) -> None:
        queue = self.queue
        while True:
            try:
                message = queue.get_nowait()
            except asyncio.QueueEmpty:
                message = await queue.get()
            await receive(message)

    async def produce(self, count: int) -> None:
        queue = self.queue
        for n in range(count):
            try:
                queue.put_nowait(n)
            except asyncio.QueueFull:
                await queue.put(n)


class Stream:
    """anyio's memory object stream as its documentation shows it."""

    def __init__(self) -> None:
        self.sending, self.receiving = anyio.create_memory_object_stream[int](CAPACITY)
        self.tell: Callable[[int], object] = self.sending.send_nowait

    async def consume(self, receive: Receive) -> None:
        with self.receiving:
            async for message in self.receiving:
                await receive(message)

    async def produce(self, count: int) -> None:
        with self.sending:
            for n in range(count):
                await self.sending.send(n)


class StreamByHand(Stream):
    """anyio's memory object stream, waiting only if it must."""

    async def consume(self, receive: Receive) -> None:
        stream = self.receiving
        with stream, self.sending:
            while True:
                try:
                    message = stream.receive_nowait()
                except anyio.WouldBlock:
                    message = await stream.receive()
                await receive(message)

    async def produce(self, count: int) -> None:
        stream = self.sending
        for n in range(count):
            try:
                stream.send_nowait(n)
            except anyio.WouldBlock:
                await stream.send(n)


class FairStream(StreamByHand):
    """The same, letting others run after as many messages as our loop."""

    async def consume(self, receive: Receive) -> None:
        stream = self.receiving
        with stream, self.sending:
            while True:
                await checkpoint()
                for _ in range(64):
                    try:
                        message = stream.receive_nowait()
                    except anyio.WouldBlock:
                        message = await stream.receive()
                    await receive(message)


Channel: TypeAlias = Bulk | Queue | Stream


@asynccontextmanager
async def consuming(channels: list[Channel], receive: Receive) -> AsyncIterator[None]:
    """Have a task for each of the channels, all of them waiting when the block begins."""
    async with anyio.create_task_group() as tasks:
        for channel in channels:
            tasks.start_soon(channel.consume, receive)
        await anyio.wait_all_tasks_blocked()
        gc.collect()
        yield
        tasks.cancel_scope.cancel()


async def through_one(make: Callable[[], Channel], count: int) -> float:
    """One producer, one actor, always full."""
    channel, countdown = make(), Countdown(count)
    async with consuming([channel], countdown.receive):
        start = perf_counter()
        await channel.produce(count)
        await countdown.over.wait()
        return count / (perf_counter() - start)


async def to_idle(make: Callable[[], Channel]) -> float:
    """One message for each of many actors, all of which have to be woken."""
    channels = [make() for _ in range(ACTORS)]
    countdown = Countdown(ACTORS)
    async with consuming(channels, countdown.receive):
        tells = [channel.tell for channel in channels]
        start = perf_counter()
        for tell in tells:
            tell(1)
        await countdown.over.wait()
        return ACTORS / (perf_counter() - start)


async def to_idle_references() -> float:
    """The same through `ActorRef.tell`: supervised, with a name, a letter and dead letters."""
    countdown = Countdown(ACTORS)
    async with ActorSystem() as system:
        refs = [await system.spawn(lambda: countdown, f"actor-{n}") for n in range(ACTORS)]
        await anyio.wait_all_tasks_blocked()
        gc.collect()
        start = perf_counter()
        for ref in refs:
            ref.tell(1)
        await countdown.over.wait()
        return ACTORS / (perf_counter() - start)


class Echo:
    """Answers."""

    async def receive(self, message: int) -> int:
        return message


async def asking(count: int) -> float:
    """Questions, one after the other."""
    async with ActorSystem() as system:
        ref = await system.spawn(Echo, "echo")
        start = perf_counter()
        for n in range(count):
            await ref.ask(n)
        return count / (perf_counter() - start)


async def asking_by_hand(count: int) -> float:
    """A queue of futures: no time-out, no failure, no restart."""
    queue = asyncio.Queue[tuple[int, asyncio.Future[int]]](CAPACITY)
    loop = asyncio.get_running_loop()

    async def answer() -> None:
        while True:
            message, future = await queue.get()
            future.set_result(message)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(answer)
        start = perf_counter()
        for n in range(count):
            future = loop.create_future()
            queue.put_nowait((n, future))
            await future
        seconds = perf_counter() - start
        tasks.cancel_scope.cancel()
    return count / seconds


async def asking_by_hand_in_time(count: int) -> float:
    """The same with a deadline, and errors that go to the one who asks; still no restart."""
    queue = asyncio.Queue[tuple[int, asyncio.Future[int]]](CAPACITY)
    loop, receive = asyncio.get_running_loop(), Echo().receive

    async def answer() -> None:
        while True:
            message, future = await queue.get()
            if future.done():
                continue
            try:
                future.set_result(await receive(message))
            except Exception as error:  # noqa: BLE001 - it is for the one who asks
                future.set_exception(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(answer)
        start = perf_counter()
        for n in range(count):
            future = loop.create_future()
            async with asyncio.timeout(30):
                await queue.put((n, future))
                await future
        seconds = perf_counter() - start
        tasks.cancel_scope.cancel()
    return count / seconds


async def through_lanes(count: int) -> float:
    """Many keys through lanes: in order by key, and the position that may be committed."""
    countdown, tracker = Countdown(count), Tracker(0)
    mailbox = Mailbox[tuple[int, Any]](CAPACITY, lane=lambda item: item[0])

    async def receive(item: tuple[int, Any]) -> None:
        await countdown.receive(item)
        tracker.done(item[1])

    async with anyio.create_task_group() as tasks:
        for _ in range(WORKERS):
            tasks.start_soon(serve, receive, mailbox.reader())
        await anyio.wait_all_tasks_blocked()
        gc.collect()
        put, start = 0, perf_counter()
        while put < count:
            free = min(await mailbox.room(), count - put)
            mailbox.put_many([(n % KEYS, tracker.add(n)) for n in range(put, put + free)])
            put += free
        await countdown.over.wait()
        seconds = perf_counter() - start
        tasks.cancel_scope.cancel()
    assert tracker.position == count
    return count / seconds


async def through_a_queue_for_each_key(make: Callable[[], Channel], count: int) -> float:
    """Many keys, a queue and a task for each: in order by key, with no position to commit."""
    channels, countdown = [make() for _ in range(KEYS)], Countdown(count)
    async with consuming(channels, countdown.receive):
        tells = [channel.tell for channel in channels]
        start = perf_counter()
        for n in range(count):
            tells[n % KEYS](n)
            if n % CAPACITY == 0:
                await asyncio.sleep(0)
        await countdown.over.wait()
        return count / (perf_counter() - start)


def completing(poisoned: bool) -> float:
    """Complete a large window out of order, behind a first one that is done last, or not."""
    tracker = Tracker(0)
    window = [tracked for n in range(WINDOW) if (tracked := tracker.add(n)) is not None]
    order = [*window[1::2], *window[2::2]] if poisoned else window
    gc.collect()
    start = perf_counter()
    for tracked in order:
        tracker.done(tracked)
    return len(order) / (perf_counter() - start)


class Pykka(pykka.ThreadingActor):  # type: ignore[misc]  # untyped where mypy runs
    """A thread with an unbounded queue; answers, and tells when the last message has come."""

    def __init__(self, countdown: list[int], over: threading.Event) -> None:
        super().__init__()
        self.countdown = countdown
        self.over = over

    def on_receive(self, message: int) -> int:
        self.countdown[0] -= 1
        if not self.countdown[0]:
            self.over.set()
        return message


def pykka_tell(actors: int, count: int) -> float:
    """Tell *count* messages, spread over the actors."""
    over, countdown = threading.Event(), [count]
    refs = [Pykka.start(countdown, over) for _ in range(actors)]
    gc.collect()
    start = perf_counter()
    for n in range(count):
        refs[n % actors].tell(n)
    over.wait(60)
    seconds = perf_counter() - start
    pykka.ActorRegistry.stop_all()
    return count / seconds


def pykka_ask(count: int) -> float:
    """Questions, one after the other."""
    ref = Pykka.start([0], threading.Event())
    start = perf_counter()
    for n in range(count):
        ref.ask(n)
    seconds = perf_counter() - start
    ref.stop()
    return count / seconds


def on_asyncio(main: Callable[..., Awaitable[float]], *arguments: object) -> Measured:
    """Run *main* in a loop of its own."""
    return partial(anyio.run, main, *arguments)


FEW = MESSAGES // 10
CASES: dict[str, dict[str, Measured]] = {
    f"through a full mailbox of {CAPACITY}": {
        "Callboard, put_many": on_asyncio(through_one, Bulk, MESSAGES),
        "Callboard, await put": on_asyncio(through_one, OneByOne, MESSAGES),
        "asyncio.Queue": on_asyncio(through_one, Queue, MESSAGES),
        "asyncio.Queue, nowait first": on_asyncio(through_one, QueueByHand, MESSAGES),
        "anyio stream": on_asyncio(through_one, Stream, FEW),
        "anyio stream, nowait first": on_asyncio(through_one, StreamByHand, MESSAGES),
        "anyio stream, nowait first, fair": on_asyncio(through_one, FairStream, MESSAGES),
        "pykka, tell": partial(pykka_tell, 1, FEW),
    },
    f"to {ACTORS} idle actors": {
        "Callboard, Mailbox": on_asyncio(to_idle, Bulk),
        "Callboard, ActorRef.tell": on_asyncio(to_idle_references),
        "asyncio.Queue": on_asyncio(to_idle, Queue),
        "anyio stream": on_asyncio(to_idle, Stream),
        "pykka, tell": partial(pykka_tell, ACTORS, ACTORS),
    },
    "ask and be answered": {
        "Callboard, ActorRef.ask": on_asyncio(asking, FEW),
        "asyncio.Queue of futures, timeout, errors": on_asyncio(asking_by_hand_in_time, FEW),
        "asyncio.Queue of futures": on_asyncio(asking_by_hand, FEW),
        "pykka, ask": partial(pykka_ask, FEW // 4),
    },
    f"{KEYS} keys, each in order": {
        f"Callboard, lanes and tracker, {WORKERS} workers": on_asyncio(through_lanes, MESSAGES),
        "an asyncio.Queue and task for each": on_asyncio(
            through_a_queue_for_each_key, Queue, MESSAGES
        ),
        "an anyio stream and task for each": on_asyncio(through_a_queue_for_each_key, Stream, FEW),
    },
    f"completions in a window of {WINDOW}": {
        "Tracker": partial(completing, False),
        "Tracker, the oldest one missing": partial(completing, True),
    },
}


def main() -> None:
    """Print a table for each case; the ratio is that of its first line to the others."""
    print(
        f"actors: messages per second, pykka {version('pykka')}, anyio {version('anyio')},"
        f" Python {sys.version.split()[0]}"
    )
    for case, contenders in CASES.items():
        rounds = [[measure() for measure in contenders.values()] for _ in range(ROUNDS)]
        medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
        print(f"\n{case:<46}{'k/s':>10}{'ratio':>9}")
        for name, rate in zip(contenders, medians, strict=True):
            print(f"  {name:<44}{rate / 1000:10.0f}{medians[0] / rate:9.2f}")


if __name__ == "__main__":
    main()
