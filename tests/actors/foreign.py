"""Cancellations by a foreign hand, which only asyncio knows."""

from __future__ import annotations

import asyncio
from typing import Final

import anyio
import pytest

from callboard_actors.testing import virtual_backend

on_asyncio: Final = pytest.mark.parametrize(
    "anyio_backend", [virtual_backend("asyncio")], ids=["asyncio"], indirect=False
)


async def await_a_cancelled_future() -> None:
    """Do what client libraries make one do when a connection is lost."""
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def be_cancelled_natively() -> None:
    """Have somebody call `cancel` of the task."""
    task = asyncio.current_task()
    asyncio.get_running_loop().call_soon(task.cancel if task is not None else print)
    await anyio.sleep_forever()
