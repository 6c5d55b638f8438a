"""The pitfalls of structured concurrency that this package must not fall into, by their numbers."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar

import anyio
import pytest
from anyio import wait_all_tasks_blocked as idle

from callboard_actors import (
    ActorCrash,
    Child,
    ChildSpec,
    ForeignCancellation,
    Mailbox,
    Supervisor,
    serve,
)
from callboard_actors.testing import virtual_backend

pytestmark = pytest.mark.anyio

on_asyncio = pytest.mark.parametrize(
    "anyio_backend", [virtual_backend("asyncio")], ids=["asyncio"], indirect=False
)


async def await_a_cancelled_future() -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def be_cancelled_natively() -> None:
    task = asyncio.current_task()
    asyncio.get_running_loop().call_soon(task.cancel if task is not None else print)
    await anyio.sleep_forever()


@asynccontextmanager
async def running(supervisor: Supervisor) -> AsyncGenerator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(supervisor.run)
        await idle()
        yield
        supervisor.stop()


async def steady(child: Child) -> None:
    child.ready()
    await child.stopping()


@on_asyncio
@pytest.mark.parametrize("foreign", [await_a_cancelled_future, be_cancelled_natively])
async def test_p1_a_foreign_cancellation_is_a_crash_of_one_child(
    foreign: Callable[[], Awaitable[None]],
) -> None:
    strikes = iter([foreign])

    async def struck(child: Child) -> None:
        child.ready()
        for strike in strikes:
            await strike()
        await child.stopping()

    supervisor = Supervisor([ChildSpec("steady", steady), ChildSpec("struck", struck)])
    async with running(supervisor):
        untouched, restarted = supervisor.tree().children
        assert (untouched.state, untouched.restarts) == ("running", 0)
        assert (restarted.state, restarted.restarts) == ("running", 1)
        assert restarted.last_exit == "foreign_cancel"


@on_asyncio
@pytest.mark.parametrize("foreign", [await_a_cancelled_future, be_cancelled_natively])
async def test_p1_a_foreign_cancellation_of_an_actor_puts_its_item_back(
    foreign: Callable[[], Awaitable[None]],
) -> None:
    mailbox = Mailbox[int]()
    mailbox.put_nowait(1)

    async def receive(item: int) -> None:
        await foreign()

    with pytest.raises(ForeignCancellation):
        await serve(receive, mailbox.reader())
    assert mailbox.drain() == [1]


@on_asyncio
async def test_p1_a_supervisor_that_is_cancelled_natively_stops_its_children_and_is_restarted() -> (
    None
):
    log: list[str] = []
    tasks: list[asyncio.Task[object] | None] = []

    async def noted(child: Child) -> None:
        log.append("+")
        child.ready()
        await child.stopping()
        log.append("-")

    inner = Supervisor([ChildSpec("noted", noted)])

    async def run(child: Child) -> None:
        tasks.append(asyncio.current_task())
        await inner.run(child)

    async with running(outer := Supervisor([ChildSpec("inner", run)])):
        assert tasks[0] is not None
        tasks[0].cancel()
        await idle()
        assert log == ["+", "-", "+"]
        assert outer.tree().children[0].last_exit == "foreign_cancel"


async def test_p2_many_crashes_at_once_cancel_no_sibling() -> None:
    async def crashing(child: Child) -> None:
        child.ready()
        raise ActorCrash

    specs = [ChildSpec(f"crashing-{n}", crashing, restart="temporary") for n in range(5)]
    async with running(supervisor := Supervisor([*specs, ChildSpec("steady", steady)])):
        assert supervisor.tree().children[-1].state == "running"


@pytest.mark.parametrize("fatal", [SystemExit(3), KeyboardInterrupt()])
@pytest.mark.parametrize("grouped", [False, True])
async def test_p7_the_end_of_the_process_comes_out_as_itself_after_an_orderly_stop(
    fatal: BaseException, grouped: bool
) -> None:
    log: list[str] = []

    async def noted(child: Child) -> None:
        child.ready()
        await child.stopping()
        log.append("stopped")

    async def exiting(child: Child) -> None:
        child.ready()
        await anyio.sleep(1)
        raise BaseExceptionGroup("several", [fatal]) if grouped else fatal

    inner = Supervisor([ChildSpec("noted", noted), ChildSpec("exiting", exiting)])
    with pytest.raises(type(fatal)) as info:
        await Supervisor([ChildSpec("noted", noted), ChildSpec("inner", inner.run)]).run()

    assert info.value is fatal
    assert log == ["stopped", "stopped"]


@on_asyncio
async def test_p8_an_item_is_not_lost_when_its_reader_is_cancelled_in_the_same_tick() -> None:
    mailbox = Mailbox[int]()
    reader = mailbox.reader()
    task = asyncio.create_task(reader.take())
    await asyncio.sleep(0)
    mailbox.put_nowait(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert mailbox.drain() == [1]


async def test_p9_a_restarted_child_does_not_inherit_the_context_of_what_crashed_it() -> None:
    span: ContextVar[str] = ContextVar("span", default="none")
    seen: list[str] = []
    crash = anyio.Event()

    async def traced(child: Child) -> None:
        seen.append(span.get())
        span.set("a message")
        child.ready()
        if len(seen) == 1:
            await crash.wait()
            raise ActorCrash
        await child.stopping()

    async with running(Supervisor([ChildSpec("traced", traced)])):
        crash.set()
        await idle()

    assert seen == ["none", "none"]


async def test_p9_an_added_child_does_not_inherit_the_context_of_who_added_it() -> None:
    span: ContextVar[str] = ContextVar("span", default="none")
    seen: list[str] = []

    async def traced(child: Child) -> None:
        seen.append(span.get())
        await steady(child)

    async with running(supervisor := Supervisor([])):
        span.set("a message")
        await supervisor.start_child(ChildSpec("traced", traced))

    assert seen == ["none"]


class Payload:
    """Something large that a frame holds."""


async def test_p12_a_crash_keeps_its_text_and_not_its_frames() -> None:
    payloads: list[weakref.ref[Payload]] = []

    async def crashing(child: Child) -> None:
        payload = Payload()
        payloads.append(weakref.ref(payload))
        child.ready()
        raise ActorCrash("x" * 100_000)

    spec = ChildSpec("crashing", crashing, restart="temporary")
    async with running(supervisor := Supervisor([spec])):
        gc.collect()
        (crashed,) = supervisor.tree().children

    assert payloads[0]() is None
    assert "ActorCrash" in crashed.last_error
    assert len(crashed.last_error) <= 8 * 1024
