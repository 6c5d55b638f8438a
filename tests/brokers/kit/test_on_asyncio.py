"""What helps with a client of asyncio."""

from __future__ import annotations

import asyncio
import gc

import anyio.lowlevel
import pytest
from anyio import run, sleep_forever

from callboard_brokers import ConnectionLost
from callboard_brokers.kit import heard, in_time, on_asyncio, together

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def fail() -> None:
    raise ValueError("mine")


async def cancel_itself() -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def test_all_calls_are_made_and_tell_what_they_failed_with() -> None:
    assert await together([]) == []
    [none, error] = await together([lambda: anyio.lowlevel.checkpoint(), fail])

    assert (none, str(error)) == (None, "mine")


async def test_a_client_that_cancels_its_own_future_has_given_up() -> None:
    [outcome] = await together([cancel_itself])

    assert isinstance(outcome, ConnectionLost)


async def test_a_step_ends_in_time_or_is_cancelled() -> None:
    assert await in_time(anyio.lowlevel.checkpoint(), 1.0)
    assert not await in_time(sleep_forever(), 0.01)
    assert not await in_time(fail(), 1.0)
    assert not await in_time(cancel_itself(), 1.0)


async def test_an_error_that_was_heard_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    future = asyncio.get_running_loop().create_future()
    future.add_done_callback(heard)
    future.set_exception(ValueError("nobody waits"))
    await anyio.lowlevel.checkpoint()
    del future
    gc.collect()

    assert caplog.messages == []


async def test_asyncio_is_asyncio() -> None:
    on_asyncio("the client of Foo")


def test_elsewhere_a_client_of_asyncio_says_so() -> None:
    async def connect() -> None:
        on_asyncio("the client of Foo")

    with pytest.raises(RuntimeError, match="the client of Foo runs on asyncio only"):
        run(connect, backend="trio")
