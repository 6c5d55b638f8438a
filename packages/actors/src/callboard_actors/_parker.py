"""What an event loop offers below anyio: the cheapest waits, its clock, and the running task.

An idle actor is woken once for each message, so waking is most of what that message costs: 4.9 us
with an `anyio.Event`, 1.8 us with a bare future. The clock is read once for each item that is put
alone: 0.5 us through anyio, 0.1 us here. A question waits for its answer or its deadline: 6 us
with a cancel scope around an event, 2 us with a future and a timer of its own, 0.8 us where one
timer minds the deadlines of all. (asyncio, CPython 3.11)
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - the module that may: ARCHITECTURE.md section 1
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from heapq import heapify, heappop, heappush
from math import inf
from typing import Final, NamedTuple, TypeAlias

Wake: TypeAlias = Callable[[], object]

Spent: Final = asyncio.InvalidStateError
"""Raised by a `Wake` of `Loop.park` when the waiting task has been cancelled already."""

_FEW = 64


class Loop(NamedTuple):
    """What a running event loop offers.

    Attributes:
        park: Makes a wait: what to await, and what ends it.
        park_until: Makes one that ends by itself at a time, and what ends it before, which may be
            called at any time. They are many, and nearly all end before their time.
        now: The clock.
        task: Returns the running task.
    """

    park: Callable[[], tuple[Awaitable[object], Wake]]
    park_until: Callable[[float], tuple[Awaitable[object], Wake]]
    now: Callable[[], float]
    task: Callable[[], object]


def native() -> Loop:
    """Return what the running event loop offers."""
    # Trio may run as a guest of asyncio: whether there is an asyncio loop tells nothing.
    if "trio" in sys.modules:
        import trio  # noqa: PLC0415, TID251 - it is loaded already

        if trio.lowlevel.in_trio_task():

            def park() -> tuple[Awaitable[object], Wake]:
                event = trio.Event()
                return event.wait(), event.set

            return Loop(park, _park_on_trio, trio.current_time, trio.lowlevel.current_task)
    loop = asyncio.get_running_loop()
    park_until = _Deadlines(loop).park_until
    return Loop(partial(_park_future, loop), park_until, loop.time, asyncio.current_task)


def _park_future(loop: asyncio.AbstractEventLoop) -> tuple[Awaitable[object], Wake]:
    future: asyncio.Future[None] = loop.create_future()
    return future, partial(future.set_result, None)


class _Deadlines:
    """Ends futures at their time. Those that are done before are thrown out by and by."""

    __slots__ = ("_count", "_due", "_heap", "_limit", "_loop", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._heap: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0  # breaks ties, for futures have no order
        self._limit = _FEW
        self._due = inf
        self._timer: asyncio.TimerHandle | None = None

    def park_until(self, deadline: float) -> tuple[asyncio.Future[None], Wake]:
        future: asyncio.Future[None] = self._loop.create_future()
        if deadline != inf:
            heap = self._heap
            if heap and (heap[0][2].done() or len(heap) > self._limit):
                self._tidy()
            self._count += 1
            heappush(heap, (deadline, self._count, future))
            if deadline < self._due:
                self._arm(deadline)
        return future, partial(_end, future)

    def _tidy(self) -> None:
        heap = self._heap
        while heap and heap[0][2].done():
            heappop(heap)
        if len(heap) > self._limit:
            heap[:] = [entry for entry in heap if not entry[2].done()]
            heapify(heap)
            self._limit = max(2 * len(heap), _FEW)

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due, self._timer = deadline, self._loop.call_at(deadline, self._ring)

    def _ring(self) -> None:
        heap, due = self._heap, self._due
        self._due, self._timer = inf, None
        while heap and (heap[0][0] <= due or heap[0][2].done()):
            _end(heappop(heap)[2])
        if heap:
            self._arm(heap[0][0])


def _end(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _park_on_trio(deadline: float) -> tuple[Awaitable[object], Wake]:
    import trio  # noqa: PLC0415, TID251 - it is loaded already

    event = trio.Event()

    async def wait() -> None:
        with trio.CancelScope(deadline=deadline):
            await event.wait()

    return wait(), event.set
