"""A call that takes too long fails, and what its thread still does counts for nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from anyio import (
    Event,
    create_task_group,
    current_time,
    from_thread,
    sleep,
    wait_all_tasks_blocked,
)
from anyio.lowlevel import checkpoint

from callboard import Backoff, Depends, HandlerTimedOut, MemoryBroker, Message, Retry
from callboard.command._top import screen
from callboard.events import HandlerFailed, ThreadEnded, ThreadLeft, ThreadsExhausted
from callboard.watch._view import View, unready

from ..screens import drawn

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
EVENLY = Backoff(0.1, 0.1, jitter="none", first=0.1)


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for a thread, without letting the clock jump."""
    while not is_so():
        await checkpoint()


class Work:
    """A sync handler whose first call hangs, and what becomes of that.

    The loop is told of each try before its thread begins, so that it can hold the clock.
    """

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self.tries = [Event() for _ in range(4)]
        self.hangs, self.release, self.ended = (threading.Event() for _ in range(3))
        self.refused: Exception | None = None
        self.count = 0

    async def announce(self, message: Message) -> None:
        self.tries[message.attempt].set()

    def handle(self, message: Message) -> str:
        self.count += 1
        if message.attempt == 1:
            return self.hang(message)
        if message.attempt == 2:
            self.ended.wait(15)
            raise ConnectionError("as it would without the first")
        return "good"

    def hang(self, message: Message) -> str:
        self.hangs.set()
        self.release.wait(15)
        try:
            from_thread.run(message.ack)
            from_thread.run(self.broker.publish, "late", "results")
        except HandlerTimedOut as error:
            self.refused = error
        self.ended.set()
        return "late"


async def test_what_a_thread_settles_publishes_and_returns_after_its_time_does_not_count(
    broker: MemoryBroker,
) -> None:
    work, results, over = Work(broker), list[str](), Event()
    retry = Retry(attempts=3, timeout=0.2, backoff=EVENLY)

    @broker.publisher("results")
    @broker.subscriber("jobs", retry=retry, max_workers=2)
    def handle(body: str, message: Message, _: None = Depends(work.announce)) -> str:
        return work.handle(message)

    @broker.subscriber("results")
    async def note(result: str) -> None:
        results.append(result)
        over.set()

    async with broker:
        await broker.start()
        await broker.publish("a", "jobs", key="k")
        await work.tries[1].wait()
        await until(work.hangs.is_set)
        await work.tries[2].wait()
        work.release.set()
        await until(lambda: work.ended.is_set() and work.count == 2)
        await over.wait()

    assert (results, work.count) == (["good"], 3)
    assert "timed out before" in str(work.refused)


async def test_so_many_threads_are_left_as_there_are_workers_and_then_it_says_so(
    broker: MemoryBroker,
) -> None:
    release, begun, told = threading.Event(), list[str](), list[Any]()
    started = [Event() for _ in range(3)]
    exhausted, handled = Event(), Event()

    async def announce(body: str) -> None:
        started[int(body)].set()

    @broker.subscriber("jobs", retry=Retry(attempts=1, timeout=0.2))
    def handle(body: str, _: None = Depends(announce)) -> None:
        begun.append(body)
        if body == "0":
            release.wait(15)
        else:
            from_thread.run_sync(handled.set)

    def hear(event: Any) -> None:
        if isinstance(event, HandlerFailed | ThreadLeft | ThreadsExhausted | ThreadEnded):
            told.append(type(event))
        if isinstance(event, ThreadsExhausted):
            exhausted.set()

    broker.events.subscribe(hear)
    async with broker:
        await broker.start()
        await broker.publish("0", "jobs")
        await broker.publish("1", "jobs")
        await started[0].wait()
        await until(lambda: bool(begun))
        await exhausted.wait()
        view = View(tree=broker.tree(), now=current_time())

        assert not started[1].is_set()
        assert unready(view)[0].endswith(
            "handles nothing: 1 threads of calls that have timed out still run"
        )
        assert "1/1" in drawn(screen(view))

        release.set()
        await until(started[1].is_set)
        await until(handled.is_set)

    assert told == [ThreadLeft, HandlerFailed, ThreadsExhausted, ThreadEnded]


async def test_a_thread_that_has_not_begun_in_time_never_does(broker: MemoryBroker) -> None:
    begun, failed = list[str](), Event()
    broker.events.subscribe(lambda e: failed.set() if isinstance(e, HandlerFailed) else None)

    async def dawdle() -> None:
        await Event().wait()

    @broker.subscriber("jobs", retry=Retry(attempts=1, timeout=0.2))
    def handle(body: str, _: None = Depends(dawdle)) -> None:
        begun.append(body)

    async with broker:
        await broker.start()
        await broker.publish("a", "jobs")
        await failed.wait()

    assert begun == []


async def test_every_worker_that_waits_for_a_thread_goes_on(broker: MemoryBroker) -> None:
    release, begun, announced = threading.Event(), list[int](), list[int]()
    told, ended = list[Any](), Event()

    async def announce(body: int) -> None:
        announced.append(body)

    @broker.subscriber("jobs", retry=Retry(attempts=1, timeout=0.2), max_workers=2)
    def handle(body: int, _: None = Depends(announce)) -> None:
        begun.append(body)
        if body < 2:
            release.wait(15)

    def hear(event: Any) -> None:
        told.append(type(event))
        if told.count(ThreadsExhausted) == 2:
            release.set()
        if told.count(ThreadEnded) == 2:
            ended.set()

    broker.events.subscribe(hear)
    async with broker:
        await broker.start()
        for number in range(4):
            await broker.publish(number, "jobs")
        await until(lambda: len(announced) == 2)
        await until(lambda: len(begun) == 2)
        await ended.wait()
        await wait_all_tasks_blocked()
        assert sorted(announced) == [0, 1, 2, 3]


async def test_a_task_that_a_handler_has_left_to_others_may_publish_after_its_time(
    broker: MemoryBroker,
) -> None:
    results = list[str]()

    async def later() -> None:
        await sleep(5)
        await broker.publish("late", "results")

    @broker.subscriber("results")
    async def note(result: str) -> None:
        results.append(result)

    async with create_task_group() as tasks:

        @broker.subscriber("jobs", retry=Retry(attempts=1, timeout=1), dead_letter="dead")
        async def handle(job: str) -> None:
            tasks.start_soon(later)
            await sleep(60)

        async with broker:
            await broker.start()
            await broker.publish("job", "jobs")
            await sleep(10)

    assert results == ["late"]
