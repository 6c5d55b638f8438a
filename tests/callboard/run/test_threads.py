"""Sync functions run in threads: as many at once as the subscription has workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Barrier, Event
from typing import Any

import anyio
import pytest

from callboard import Depends, MemoryBroker

pytestmark = pytest.mark.anyio

# anyio shares 40 threads among all who don't bring a limiter.
MANY = 50


class Meeting:
    """Everyone who comes waits for the others."""

    def __init__(self) -> None:
        self.missing = MANY
        self.over = anyio.Event()
        self._barrier = Barrier(MANY)

    def join(self) -> None:
        self._barrier.wait(30)
        anyio.from_thread.run_sync(self._leave)

    def attend(self) -> Iterator[None]:
        self.join()
        yield

    def _leave(self) -> None:
        self.missing -= 1
        if not self.missing:
            self.over.set()


def sync_handler(meeting: Meeting) -> Any:
    def handle(number: int) -> None:
        meeting.join()

    return handle


def with_a_dependency(meeting: Meeting) -> Any:
    async def handle(
        number: int, joined: object = Depends(meeting.join, sync_to_thread=True)
    ) -> None: ...

    return handle


def with_a_generator(meeting: Meeting) -> Any:
    async def handle(
        number: int, attended: object = Depends(meeting.attend, sync_to_thread=True)
    ) -> None: ...

    return handle


@pytest.mark.parametrize("made", [sync_handler, with_a_dependency, with_a_generator])
async def test_as_many_threads_run_at_once_as_there_are_workers(
    broker: MemoryBroker, made: Callable[[Meeting], Any]
) -> None:
    meeting = Meeting()
    broker.subscriber("numbers", max_workers=MANY)(made(meeting))

    async with broker:
        await broker.start()
        for number in range(MANY):
            await broker.publish(number, "numbers")
        await meeting.over.wait()

    assert meeting.missing == 0


async def test_a_subscription_whose_threads_are_all_busy_keeps_no_other_waiting(
    broker: MemoryBroker,
) -> None:
    release, begun, handled = Event(), Barrier(MANY + 1), anyio.Event()

    @broker.subscriber("slow", max_workers=MANY)
    def wait(number: int) -> None:
        begun.wait(30)
        release.wait(30)

    @broker.subscriber("quick")
    def note(number: int) -> None:
        anyio.from_thread.run_sync(handled.set)

    async with broker:
        await broker.start()
        try:
            for number in range(MANY):
                await broker.publish(number, "slow")
            await anyio.to_thread.run_sync(begun.wait)
            await broker.publish(1, "quick")
            await handled.wait()
        finally:
            release.set()
