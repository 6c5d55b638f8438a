"""The tasks of an event loop: whether they all wait, and whether one was left behind."""

from __future__ import annotations

import asyncio  # noqa: TID251 - anyio's own wait lets time pass on asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from anyio.lowlevel import checkpoint


async def idle() -> None:
    """Wait until every other task waits for something. No time passes, virtual or real.

    A task that waits for a socket or a thread counts as waiting.
    """
    if anyio.get_cancelled_exc_class() is asyncio.CancelledError:
        quiet = 0
        while quiet < 2:  # a callback that is due, as a cancellation may be, wakes tasks yet
            await checkpoint()
            quiet = 0 if any(map(_is_busy, asyncio.all_tasks())) else quiet + 1
    else:
        await anyio.wait_all_tasks_blocked()


@asynccontextmanager
async def leak_check() -> AsyncGenerator[None]:
    """Fail if a task that was started inside the block outlives it.

    Raises:
        AssertionError: One did; it is named.
    """
    before = {task.id for task in anyio.get_running_tasks()}
    yield
    await idle()
    left = [task.name for task in anyio.get_running_tasks() if task.id not in before]
    if left:
        raise AssertionError(f"these tasks were left behind: {', '.join(map(str, left))}")


def _is_busy(task: asyncio.Task[object]) -> bool:
    if task is asyncio.current_task():
        return False
    # No public name tells a task that waits from one that is about to run; anyio reads it, too.
    waits_for: asyncio.Future[object] | None = getattr(task, "_fut_waiter", None)
    return waits_for is None or waits_for.done()
