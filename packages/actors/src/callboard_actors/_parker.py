"""What an event loop offers below anyio: the cheapest wait, and its clock.

An idle actor is woken once for each message, so waking is most of what that message costs: 4.9 us
with an `anyio.Event`, 1.8 us with a bare future. The clock is read once for each item that is put
alone: 0.5 us through anyio, 0.1 us here. (1000 idle actors; asyncio, CPython 3.11)
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - the module that may: ARCHITECTURE.md section 1
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias

__all__ = ["Park", "Spent", "Wake", "clock", "parker"]

Wake: TypeAlias = Callable[[], object]
Park: TypeAlias = Callable[[], tuple[Awaitable[object], Wake]]

Spent = asyncio.InvalidStateError
"""Raised by a `Wake` whose waiting task has been cancelled already."""


def parker() -> Park:
    """Return what makes waits in the running loop: what to await, and what ends it, called once."""
    if _on_trio():
        import trio  # noqa: PLC0415, TID251 - it is loaded, for it runs

        event = trio.Event

        def park() -> tuple[Awaitable[object], Wake]:
            woken = event()
            return woken.wait(), woken.set

        return park
    create_future = asyncio.get_running_loop().create_future

    def park_future() -> tuple[Awaitable[object], Wake]:
        future = create_future()
        return future, partial(future.set_result, None)

    return park_future


def clock() -> Callable[[], float]:
    """Return what tells the time in the running loop, as `anyio.current_time` does."""
    if _on_trio():
        import trio  # noqa: PLC0415, TID251 - it is loaded, for it runs

        return trio.current_time
    return asyncio.get_running_loop().time


def _on_trio() -> bool:
    # Trio may run as a guest of asyncio: whether there is an asyncio loop tells nothing.
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_task())
