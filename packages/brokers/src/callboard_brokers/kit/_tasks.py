"""Tasks in the background of a context, and the time that there is to leave it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from anyio import create_task_group, current_effective_deadline, current_time
from anyio.abc import TaskGroup


@asynccontextmanager
async def background() -> AsyncGenerator[TaskGroup]:
    """Run tasks beside the body, which must handle their own errors; cancel them at its end.

    An error of the body leaves as it is: a bare task group would wrap it into a group of one.
    """
    failure: Exception | None = None
    async with create_task_group() as tasks:
        try:
            yield tasks
        except Exception as error:  # noqa: BLE001 - raised again below, outside of the group
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


def time_left(longest: float, shortest: float = 1.0) -> float:
    """Return how many seconds there are to end in good order, where a shield is needed for it.

    That is until the deadline of whoever ends it, at most *longest*, and *shortest* if that has
    passed, or all was cancelled before.
    """
    return max(shortest, min(longest, current_effective_deadline() - current_time()))
