"""Tasks beside a body end with it, and leave its error as it is; and the time to leave it."""

from __future__ import annotations

import pytest
from anyio import CancelScope, create_task_group, current_time, sleep_forever
from anyio.lowlevel import checkpoint

from callboard_actors.testing import leak_check
from callboard_brokers.kit import background, time_left

pytestmark = pytest.mark.anyio


async def test_tasks_in_the_background_end_with_the_body() -> None:
    async with leak_check(), background() as tasks:
        tasks.start_soon(sleep_forever)


async def test_an_error_of_the_body_is_not_wrapped() -> None:
    async def fail() -> None:
        async with background() as tasks:
            tasks.start_soon(sleep_forever)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await fail()


async def test_a_cancelled_body_is_cancelled() -> None:
    async def run() -> None:
        async with background():
            await sleep_forever()

    async with create_task_group() as tasks:
        tasks.start_soon(run)
        tasks.cancel_scope.cancel()


async def test_there_is_time_until_the_deadline_of_whoever_ends_it() -> None:
    with CancelScope(deadline=current_time() + 5):
        assert time_left(8.0) == 5.0
        assert time_left(3.0) == 3.0
        await checkpoint()


async def test_there_is_some_time_when_all_is_cancelled() -> None:
    with CancelScope() as scope:
        scope.cancel()
        assert time_left(8.0, 2.0) == 2.0
        await checkpoint()
