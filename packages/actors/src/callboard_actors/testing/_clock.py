"""Event loops whose time jumps to the next timer instead of waiting for it.

Back-off, time-outs and delays are then tested exactly and at once. Trio has such a clock; asyncio
gets one here: `loop.time` is virtual, and a wait of the selector becomes a step of that time.

A thread works in real time, so a jump beside it would end each time-out before the thread had a
chance. While worker threads of the loop are busy the clock waits as long as it wants to jump, and
jumps only if nothing has happened meanwhile. What a thread takes is never added: where nothing
times out, virtual time stays exact.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - a virtual loop for asyncio has to be a loop of asyncio
import selectors
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Literal, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _JumpingSelector(selectors.DefaultSelector):
    """Polls; where it would have waited for a timer, it moves the clock."""

    now = 0.0

    def __init__(self, threads_work: Callable[[], bool]) -> None:
        super().__init__()
        self._threads_work = threads_work

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)
        ready = super().select(0)
        if ready or timeout <= 0:
            return ready
        if self._threads_work():
            ready = super().select(timeout)
        if not ready:
            self.now += timeout
        return ready


class _VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio loop in virtual time, which starts at zero."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector(self._threads_work)
        self._in_executors: set[asyncio.Future[Any]] = set()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self._in_executors.add(future)
        future.add_done_callback(self._in_executors.discard)
        return future

    def _threads_work(self) -> bool:
        return bool(self._in_executors) or any(map(self._works_for_us, threading.enumerate()))

    def _works_for_us(self, thread: Any) -> bool:
        # anyio tells nobody which of its threads work. They hold their loop, and the idle ones.
        return getattr(thread, "loop", None) is self and thread not in thread.idle_workers


def virtual_backend(name: Literal["asyncio", "trio"]) -> tuple[str, dict[str, object]]:
    """Return anyio's name and options of a backend in virtual time, for one run of a loop.

    Made for the `anyio_backend` fixture of anyio's pytest plugin. While a worker thread is busy,
    time passes as it does outside: a time-out that it meets is real. Time does not wait for
    sockets or other processes: a test in which those meet a time-out belongs on a real clock.
    """
    if name == "asyncio":
        return name, {"loop_factory": _VirtualTimeLoop}
    from ._trio_clock import patient_clock  # noqa: PLC0415 - trio is needed only by who tests on it

    return name, patient_clock()
