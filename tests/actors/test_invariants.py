"""Order by key, contiguous commits and epochs together: invariants I1 to I7 (SEMANTICS 3.2).

A consumer is built here as an adapter for Kafka would do it: it fetches what the mailbox has room
for, tracks it, and commits positions. The log behind it is the broker in memory, in which a commit
acknowledges all below its position. The parts themselves have their machines in `test_tracker.py`
and `test_lanes.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import TypeAlias

import anyio
from anyio import wait_all_tasks_blocked as idle
from hypothesis import event, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from callboard_actors import ActorCrash, Mailbox, Reader, serve
from callboard_actors.testing import virtual_backend
from callboard_brokers import Capacity, Message, Tracked, Tracker
from callboard_brokers.memory import Memory, MemoryRecord, MemorySource, MemoryTarget

from .virtual import examples, run

KEYS = (b"a", b"b", None, b"a")
WORKERS = 3
CAPACITY = 12
MAX_SPAN = 15
DELAY = 3.0


class Item:
    """A record on its way through the mailbox."""

    def __init__(self, message: Message[MemoryRecord], tracked: Tracked) -> None:
        self.key = message.key
        self.offset = tracked.offset
        self.tracked = tracked
        self.due = 0.0


class Work:
    """What a worker has in hand, until the script says how it ends."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.outcome = ""
        self.ended = anyio.Event()

    def end(self, outcome: str) -> None:
        self.outcome = outcome
        self.ended.set()


class Consumer:
    """Reads a log with several workers, and checks the invariants at every step."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.mailbox = Mailbox[Item](CAPACITY, lane=lambda item: item.key)
        self.log: list[bytes | None] = []
        self.tracker = Tracker(1)
        self.committed: tuple[int, list[int]] = (1, [])
        self.settled: set[int] = set()
        self.fetched: list[Message[MemoryRecord]] = []
        self.working: dict[Reader[Item], Work] = {}
        self.scopes: list[anyio.CancelScope] = []
        self.assignment = AsyncExitStack()
        self.stop = anyio.Event()

    async def live(self, ready: anyio.Event) -> None:
        """Run the workers until told to stop."""
        async with self.memory.connect() as self.connection:
            await self._subscribe()
            async with anyio.create_task_group() as tasks:
                for _ in range(WORKERS):
                    tasks.start_soon(self._work, self.mailbox.reader())
                ready.set()
                await self.stop.wait()
                tasks.cancel_scope.cancel()
            await self.assignment.aclose()

    async def publish(self, number: int) -> None:
        for key in KEYS[number % len(KEYS) :]:
            self.log.append(key)
            await self.connection.publish(Message(b"", key=key), MemoryTarget("log"))

    async def fetch(self, number: int) -> None:
        limit = min(number + 1, self.mailbox.free)
        if not limit or not self.memory.unread("log") or self.tracker.span >= MAX_SPAN:
            return
        deliveries = await self.subscription.receive(limit)
        self.fetched += [delivery.message for delivery in deliveries]
        tracked = [self.tracker.add(d.message.raw_message.sequence) for d in deliveries]
        self.mailbox.put_many(
            [Item(d.message, t) for d, t in zip(deliveries, tracked, strict=True) if t is not None]
        )
        assert self.tracker.span < MAX_SPAN + limit  # I6

    async def succeed(self, number: int) -> None:
        self._end(number, "done")

    async def fail(self, number: int) -> None:
        self._end(number, "parked")

    async def crash(self, number: int) -> None:
        self._end(number, "crashed")

    async def cancel(self, number: int) -> None:
        """Cancel a worker: its item is put back, and another worker goes on with it."""
        self.scopes[number % len(self.scopes)].cancel()

    async def commit(self, _: int = 0) -> None:
        position, ahead = self.tracker.position, [*self.tracker.ahead()]
        assert position >= self.committed[0]  # I5
        assert self.settled >= {*range(1, position)}  # I1
        assert ahead == sorted(n for n in self.settled if n >= position)  # I7
        self.committed = (position, ahead)
        for message in self.fetched:
            if message.raw_message.sequence < position:
                await message.ack()
        self.fetched = [message for message in self.fetched if not message.processed]

    async def reconnect(self, _: int = 0) -> None:
        """Begin a new epoch: the broker gives again what was not committed."""
        await self.assignment.aclose()
        epoch, (position, ahead) = self.tracker.epoch + 1, self.committed
        self.tracker = Tracker(position, epoch=epoch, ahead=ahead)
        self.settled = {*range(1, position), *ahead}
        self.fetched.clear()
        self.mailbox.purge(lambda item: item.tracked.epoch != epoch)
        await self._subscribe()

    async def wait(self, _: int = 0) -> None:
        await anyio.sleep(DELAY)

    async def finish(self) -> None:
        """Let everything succeed from now on: all is settled, and nothing is left (I3)."""
        for _ in range(10 * len(self.log) + 10):
            await self.fetch(CAPACITY)
            await idle()
            for number in range(len(self.working)):
                await self.succeed(number)
            await self.wait()
        await self.commit()
        assert self.committed == (len(self.log) + 1, [])
        assert self.memory.outstanding == len(self.mailbox) == self.tracker.span == 0
        assert not self.working

    async def _subscribe(self) -> None:
        source = MemorySource("log", group="readers")
        subscribing = self.connection.subscribe(source, Capacity(CAPACITY))
        self.subscription = await self.assignment.enter_async_context(subscribing)

    def _end(self, number: int, outcome: str) -> None:
        if self.working:
            [*self.working.values()][number % len(self.working)].end(outcome)

    async def _work(self, reader: Reader[Item]) -> None:
        while True:
            with anyio.CancelScope() as scope, suppress(ActorCrash):
                self.scopes.append(scope)
                await serve(partial(self._receive, reader), reader, quarantine=self._set_aside)
            self.scopes.remove(scope)

    async def _receive(self, reader: Reader[Item], item: Item) -> None:
        if item.tracked.epoch != self.tracker.epoch:
            return
        self._check_start(item)
        work = self.working[reader] = Work(item)
        try:
            await work.ended.wait()
        finally:
            del self.working[reader]
        event(f"a worker has {work.outcome} its item")
        if work.outcome == "crashed":
            raise ActorCrash
        if work.outcome == "parked":
            item.due = anyio.current_time() + DELAY
            reader.park(DELAY)
        else:
            self._settle(item)

    async def _set_aside(self, item: Item, _: str) -> None:
        event("an item is quarantined")
        self._settle(item)

    def _check_start(self, item: Item) -> None:
        earlier = {n for n, key in enumerate(self.log, 1) if key == item.key and n < item.offset}
        if item.key is not None:
            assert item.key not in [work.item.key for work in self.working.values()]  # I2
            assert earlier <= self.settled  # I2
        assert item.offset not in self.settled  # I7
        assert item.due <= anyio.current_time()

    def _settle(self, item: Item) -> None:
        before, stale = self._figures(), self.tracker.stale
        self.tracker.done(item.tracked)
        if item.tracked.epoch == self.tracker.epoch:
            self.settled.add(item.offset)
        else:
            event("a stale item is settled")
            assert self._figures() == before  # I4
            assert self.tracker.stale == stale + 1

    def _figures(self) -> tuple[int, int, list[int]]:
        return self.tracker.position, self.tracker.span, [*self.tracker.ahead()]


Step: TypeAlias = Callable[[Consumer, int], Coroutine[object, object, None]]
STEPS: dict[str, Step] = {
    "publish": Consumer.publish,
    "fetch": Consumer.fetch,
    "succeed": Consumer.succeed,
    "fail": Consumer.fail,
    "crash": Consumer.crash,
    "cancel": Consumer.cancel,
    "commit": Consumer.commit,
    "reconnect": Consumer.reconnect,
    "wait": Consumer.wait,
}
numbers = st.integers(0, 7)


def virtual_loop() -> asyncio.AbstractEventLoop:
    factory = virtual_backend("asyncio")[1]["loop_factory"]
    assert callable(factory)
    loop = factory()
    assert isinstance(loop, asyncio.AbstractEventLoop)
    return loop


class Consuming(RuleBasedStateMachine):
    """A consumer on an event loop that goes on while a rule runs, and rests in between."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=virtual_loop)
        self.run(self._start())

    def run(self, step: Coroutine[object, object, None]) -> None:
        self.runner.run(step)
        if self.host.done():
            self.host.result()

    async def _start(self) -> None:
        self.consumer, ready = Consumer(), anyio.Event()
        self.host = asyncio.ensure_future(self.consumer.live(ready))
        await ready.wait()

    @rule(name=st.sampled_from([*STEPS]), number=numbers)
    def step(self, name: str, number: int) -> None:
        self.run(self._step(name, number))

    async def _step(self, name: str, number: int) -> None:
        await STEPS[name](self.consumer, number)
        await idle()

    def teardown(self) -> None:
        self.run(self.consumer.finish())
        self.runner.run(self._stop())
        self.runner.close()

    async def _stop(self) -> None:
        self.consumer.stop.set()
        await self.host


def test_a_consumer_keeps_the_invariants_whatever_happens_to_it() -> None:
    run_state_machine_as_test(Consuming, settings=settings(examples, stateful_step_count=40))


@examples
@given(st.lists(st.tuples(st.sampled_from([*STEPS]), numbers), min_size=5, max_size=50))
def test_a_consumer_keeps_them_on_trio(script: list[tuple[str, int]]) -> None:
    async def play() -> None:
        consumer, ready = Consumer(), anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(consumer.live, ready)
            await ready.wait()
            await idle()  # trio may run this task before the workers begin
            for name, number in script:
                await STEPS[name](consumer, number)
                await idle()
            await consumer.finish()
            consumer.stop.set()

    run("trio", play)
