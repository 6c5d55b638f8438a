"""The test kit: probes, crashes on demand, and a look for leaks."""

from __future__ import annotations

import asyncio
from functools import partial
from threading import Event
from time import perf_counter
from typing import Final

import anyio
import pytest
from anyio import current_time, fail_after, move_on_after, to_thread

from callboard_actors import ActorSystem, MailboxClosed, actor
from callboard_actors.testing import crash, idle, leak_check, probe

from .foreign import on_asyncio

pytestmark = pytest.mark.anyio

WORK: Final = partial(sum, range(2_000_000))
"""Some 20 ms in a thread."""


async def test_a_probe_waits_for_what_is_expected() -> None:
    async with ActorSystem() as system, anyio.create_task_group() as tasks:
        told = await probe(system)

        async def later() -> None:
            await anyio.sleep(2)
            told.ref.tell("hello")

        tasks.start_soon(later)
        assert await told.expect("hello") == "hello"
        assert told.received == ["hello"]


async def test_a_probe_expects_messages_in_their_order_by_value_or_type() -> None:
    async with ActorSystem() as system:
        told = await probe(system)
        for message in (1, "two", 3.0):
            told.ref.tell(message)

        assert [await told.expect(1), await told.expect(str), await told.expect(float)] == [
            1,
            "two",
            3.0,
        ]


async def test_what_does_not_come_in_time_was_expected_in_vain() -> None:
    async with ActorSystem() as system:
        told = await probe(system)

        with pytest.raises(AssertionError, match="expected 'hello' within 2 s, but nothing came"):
            await told.expect("hello", within=2)


async def test_another_message_than_the_expected_one_is_an_error() -> None:
    async with ActorSystem() as system:
        told = await probe(system)
        told.ref.tell("goodbye")

        with pytest.raises(AssertionError, match="expected 'hello', but 'goodbye' came"):
            await told.expect("hello")


async def test_a_message_that_is_not_expected_is_an_error() -> None:
    async with ActorSystem() as system:
        told = await probe(system)
        await told.expect_no_message(within=100)
        told.ref.tell("hello")

        with pytest.raises(AssertionError, match="expected no message, but 'hello' came"):
            await told.expect_no_message()


async def test_a_probe_answers() -> None:
    async with ActorSystem() as system:
        told = await probe(system)
        told.answer = 42
        assert await told.ref.ask("what?") == 42

        told.answer = ValueError("no")
        with pytest.raises(ValueError, match="no"):
            await told.ref.ask("what?")


async def test_a_crash_loses_state_but_no_message() -> None:
    class Counter:
        def __init__(self) -> None:
            self.count = 0

        async def receive(self, message: object) -> int:
            self.count += 1
            return self.count

    async with ActorSystem() as system:
        counter = await system.spawn(Counter, "counter")
        await counter.ask("before")
        counter.tell("while")
        crash(counter, ZeroDivisionError("corrupt"))

        assert await counter.ask("after") == 2
        (node,) = system.tree().children
        assert (node.restarts, "corrupt" in node.last_error) == (1, True)


async def test_a_stopped_actor_cannot_crash() -> None:
    @actor
    async def listener(message: object) -> None: ...

    async with ActorSystem() as system:
        ref = await system.spawn(listener, "listener")
        ref.stop()

        with pytest.raises(MailboxClosed):
            crash(ref)


async def test_idle_waits_for_all_others_and_lets_no_time_pass() -> None:
    done: list[int] = []

    async def work() -> None:
        for n in range(5):
            await anyio.lowlevel.checkpoint()
            done.append(n)
        await anyio.sleep(0.01)
        done.append(-1)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        before = anyio.current_time()
        await idle()

        assert done == [0, 1, 2, 3, 4]
        assert anyio.current_time() == before


async def test_idle_waits_for_cancellations_that_are_due() -> None:
    ended: list[int] = []

    async def cancelled(number: int, scope: anyio.CancelScope) -> None:
        with scope:
            await anyio.sleep_forever()
        ended.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(3):
            scope = anyio.CancelScope()
            tasks.start_soon(cancelled, number, scope)
            scope.cancel()
        await idle()

        assert sorted(ended) == [0, 1, 2]


async def test_a_task_that_is_left_behind_is_found() -> None:
    async with anyio.create_task_group() as tasks:
        with pytest.raises(AssertionError, match="left behind: forgotten"):
            async with leak_check():
                tasks.start_soon(anyio.sleep, 10, name="forgotten")
        tasks.cancel_scope.cancel()


async def test_a_system_leaves_no_task_behind() -> None:
    async with leak_check(), ActorSystem() as system:
        for n in range(5):
            (await probe(system, f"probe-{n}")).ref.tell(n)


async def test_a_time_out_does_not_jump_over_the_work_of_a_thread() -> None:
    before = current_time()
    with fail_after(5):
        await to_thread.run_sync(WORK)

    assert current_time() == before


@on_asyncio
async def test_nor_over_that_of_a_thread_of_the_loop() -> None:
    before = current_time()
    with fail_after(5):
        await asyncio.to_thread(WORK)

    assert current_time() == before


async def test_a_time_out_beside_a_busy_thread_takes_as_long_as_outside() -> None:
    release, began = Event(), perf_counter()
    try:
        with move_on_after(0.05) as scope:
            await to_thread.run_sync(release.wait, 10, abandon_on_cancel=True)
    finally:
        release.set()

    assert scope.cancelled_caught
    assert perf_counter() - began >= 0.045


async def test_time_jumps_again_when_the_threads_are_done() -> None:
    began = perf_counter()
    await to_thread.run_sync(WORK)
    await anyio.sleep(1000)

    assert perf_counter() - began < 100
