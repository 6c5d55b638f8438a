"""The task that runs a tree for whoever started it."""

from __future__ import annotations

import anyio
import pytest
from anyio import create_task_group, wait_all_tasks_blocked

from callboard import MemoryBroker, StopTimedOut
from callboard.run._host import GRACE, Host
from callboard_actors import Child, ChildSpec, Supervisor

pytestmark = pytest.mark.anyio


async def live(child: Child) -> None:
    child.ready()
    await child.stopping()


async def test_a_tree_runs_from_start_to_stop() -> None:
    host = Host(live)
    running = [host.running]
    await host.start()
    running.append(host.running)
    await host.stop(1)
    running.append(host.running)

    assert running == [False, True, False]
    assert host.failure is None


async def test_stopping_what_was_never_started_does_nothing() -> None:
    host = Host(live)

    await host.stop(1)

    assert not host.running


async def test_what_keeps_a_tree_from_starting_is_raised_as_it_is() -> None:
    async def fail(child: Child) -> None:
        raise LookupError("no such queue")

    host = Host(fail)

    with pytest.raises(LookupError, match="no such queue"):
        await host.start()
    assert not host.running


async def test_what_ends_a_tree_later_is_kept_as_its_failure() -> None:
    async def fail_later(child: Child) -> None:
        child.ready()
        await anyio.sleep(1)
        raise LookupError("gone")

    host = Host(fail_later)
    await host.start()
    await host.ending()
    await host.stop(1)

    assert isinstance(host.failure, LookupError)


async def test_the_end_of_the_process_is_a_failure_too() -> None:
    async def leave(child: Child) -> None:
        child.ready()
        await anyio.sleep(1)
        raise SystemExit(3)

    host = Host(leave)
    await host.start()
    await host.ending()

    assert isinstance(host.failure, SystemExit)


async def test_a_tree_that_is_asked_to_stop_while_it_starts_is_over_after_the_start() -> None:
    async def start_slowly(child: Child) -> None:
        await child.stopping()

    host = Host(start_slowly)
    async with create_task_group() as tasks:
        tasks.start_soon(host.start)
        await wait_all_tasks_blocked()
        host.ask(1)

    assert not host.running


async def test_a_cancelled_start_leaves_nothing_running() -> None:
    ended: list[float] = []

    async def start_slowly(child: Child) -> None:
        try:
            await Supervisor([ChildSpec("never", lambda child: anyio.sleep_forever())]).run(child)
        finally:
            ended.append(anyio.current_time())

    host = Host(start_slowly)
    began = anyio.current_time()
    with anyio.move_on_after(2):
        await host.start()

    assert ended == [began + 2]


async def test_a_cancelled_stop_stops_hard_and_leaves_nothing_running() -> None:
    async def never_end(child: Child) -> None:
        child.ready()
        with anyio.CancelScope() as scope:
            child.on_stop(lambda: setattr(scope, "deadline", child.deadline))
            await anyio.sleep_forever()

    host = Host(never_end)
    await host.start()
    began = anyio.current_time()
    with anyio.move_on_after(3):
        await host.stop(60)

    assert not host.running
    assert anyio.current_time() == began + 3


async def test_a_stop_can_be_hurried() -> None:
    async def never_end(child: Child) -> None:
        child.ready()
        with anyio.CancelScope() as scope:
            child.on_stop(lambda: setattr(scope, "deadline", child.deadline))
            await anyio.sleep_forever()

    host = Host(never_end)
    await host.start()
    began = anyio.current_time()
    async with create_task_group() as tasks:
        tasks.start_soon(host.stop, 60)
        await anyio.sleep(1)
        host.ask(0)

    assert anyio.current_time() == began + 1


async def test_what_outlives_its_cancellation_is_named() -> None:
    release = anyio.Event()

    async def cling(child: Child) -> None:
        child.ready()
        with anyio.CancelScope(shield=True):
            await release.wait()

    host = Host(Supervisor([ChildSpec("leech", cling, cancel_grace=1)], name="app").run)
    await host.start()
    began = anyio.current_time()
    with pytest.raises(StopTimedOut, match="app/leech still runs"):
        await host.stop(10)

    assert anyio.current_time() == began + 10 + GRACE
    release.set()
    await wait_all_tasks_blocked()


async def test_hurrying_brings_the_verdict_on_what_lives_on_nearer() -> None:
    release = anyio.Event()

    async def cling(child: Child) -> None:
        child.ready()
        await release.wait()

    host = Host(cling)
    await host.start()
    began = anyio.current_time()

    async def hurry() -> None:
        await anyio.sleep(1)
        host.ask(0)

    async with create_task_group() as tasks:
        tasks.start_soon(hurry)
        with pytest.raises(StopTimedOut, match="something still runs"):
            await host.stop(60)

    assert anyio.current_time() == began + 1 + GRACE
    release.set()
    await wait_all_tasks_blocked()


async def test_a_broker_may_be_started_and_stopped_by_different_tasks(broker: MemoryBroker) -> None:
    async with create_task_group() as tasks:
        tasks.start_soon(broker.start)
    await broker.ping()
    async with create_task_group() as tasks:
        tasks.start_soon(broker.stop)

    assert not await broker.ping()


async def test_brokers_may_stop_in_the_order_in_which_they_started(broker: MemoryBroker) -> None:
    other = MemoryBroker()
    await broker.start()
    await other.start()

    await broker.stop()
    await other.ping()
    await other.stop()

    assert not await other.ping()


async def test_a_broker_that_was_stopped_starts_again(broker: MemoryBroker) -> None:
    handled: list[str] = []

    @broker.subscriber("orders")
    async def handle(order: str) -> None:
        handled.append(order)

    for round_ in ("first", "second"):
        await broker.start()
        await broker.publish(round_, "orders")
        await wait_all_tasks_blocked()
        await broker.stop()

    assert handled == ["first", "second"]


async def test_a_broker_started_by_a_task_that_was_cancelled_lives_on(broker: MemoryBroker) -> None:
    async with create_task_group() as tasks:
        tasks.start_soon(_start_and_wait, broker)
        await wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()

    await broker.ping()
    await broker.stop()


async def _start_and_wait(broker: MemoryBroker) -> None:
    await broker.start()
    await anyio.sleep_forever()
