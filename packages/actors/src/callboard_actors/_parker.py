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

__all__ = ["Park", "Spent", "Wake", "native"]

Wake: TypeAlias = Callable[[], object]
Park: TypeAlias = Callable[[], tuple[Awaitable[object], Wake]]
"""Makes a wait: what to await, and what ends it."""

Spent = asyncio.InvalidStateError
"""Raised by a `Wake` whose waiting task has been cancelled already."""


def native() -> tuple[Park, Callable[[], float]]:
    """Return what makes waits in the running event loop, and its clock."""
    # Trio may run as a guest of asyncio: whether there is an asyncio loop tells nothing.
    if "trio" in sys.modules:
        import trio  # noqa: PLC0415, TID251 - it is loaded already

        if trio.lowlevel.in_trio_task():

            def park_event() -> tuple[Awaitable[object], Wake]:
                event = trio.Event()
                return event.wait(), event.set

            return park_event, trio.current_time
    loop = asyncio.get_running_loop()

    def park_future() -> tuple[Awaitable[object], Wake]:
        future = loop.create_future()
        return future, partial(future.set_result, None)

    return park_future, loop.time
