"""A signal wakes who waits, and nobody else."""

from __future__ import annotations

import pytest
from anyio import create_task_group, current_time, fail_after

from callboard_actors.testing import idle
from callboard_brokers.kit import Signal

pytestmark = pytest.mark.anyio


async def test_a_signal_wakes_all_who_wait() -> None:
    signal = Signal()
    with fail_after(1):
        async with create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(signal.wait)
            await idle()
            signal.set()


async def test_a_signal_that_nobody_waited_for_is_forgotten() -> None:
    signal, before = Signal(), current_time()
    signal.set()
    woken = await signal.wait(2.0)

    assert not woken
    assert current_time() - before >= 2.0


async def test_who_waits_hears_whether_it_was_the_signal() -> None:
    signal, heard = Signal(), list[bool]()

    async def wait() -> None:
        heard.append(await signal.wait(2.0))

    async with create_task_group() as tasks:
        tasks.start_soon(wait)
        await idle()
        signal.set()

    assert heard == [True]
