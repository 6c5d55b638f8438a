"""Tasks in the background of a context."""

from __future__ import annotations

from asyncio import Future
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from anyio import create_task_group
from anyio.abc import TaskGroup

from callboard_brokers._errors import ConnectionLost

__all__ = ["background", "heard", "together"]


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


async def together(calls: Sequence[Callable[[], Awaitable[object]]]) -> list[Exception | None]:
    """Do all *calls* at once; return what each has failed with."""
    # If the client cancels a future of its own, the group ends as if it were cancelled itself.
    outcomes: list[Exception | None] = [ConnectionLost("the client has given up")] * len(calls)

    async def do(number: int) -> None:
        try:
            await calls[number]()
        except Exception as error:  # noqa: BLE001 - the caller tells one from the other
            outcomes[number] = error
        else:
            outcomes[number] = None

    async with create_task_group() as tasks:
        for number in range(len(calls)):
            tasks.start_soon(do, number)
    return outcomes


def heard(future: Future[Any]) -> None:
    """Ask for an error that nobody may wait for any more, so that it is not logged."""
    if not future.cancelled():
        future.exception()
