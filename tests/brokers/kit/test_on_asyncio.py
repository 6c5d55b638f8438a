"""What helps with a client of asyncio."""

from __future__ import annotations

import asyncio
import gc

import anyio.lowlevel
import pytest
from anyio import create_task_group, fail_after, run, sleep_forever

from callboard_brokers import BrokerError, ConnectionLost
from callboard_brokers.kit import Known, heard, in_time, on_asyncio, together

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


async def test_whoever_waits_gets_the_first_result() -> None:
    known, got = Known[int](), list[int]()

    async def wait() -> None:
        got.append(await known.wait())

    with fail_after(15):
        async with create_task_group() as tasks:
            tasks.start_soon(wait)
            tasks.start_soon(wait)
            await anyio.lowlevel.checkpoint()
            assert not known.known
            known.end(1)
            known.end(2)
        got.append(await known.wait())

    assert got == [1, 1, 1]


async def test_a_failure_is_raised_to_each_who_waits_and_does_not_grow() -> None:
    known = Known[int]()
    known.end(None, ConnectionLost("gone"))
    for _ in range(2):
        with pytest.raises(ConnectionLost) as raised:
            await known.wait()
        assert len(raised.traceback) == 2


def test_who_asks_to_be_called_is_once() -> None:
    known, called = Known[None](), list[BrokerError | None]()
    known.then(called.append)
    known.end(None)
    known.end(None, ConnectionLost("late"))
    known.then(called.append)

    assert called == [None, None]
