"""The pitfalls of structured concurrency that this package must not fall into, by their numbers.

They are those of SEMANTICS 1.6. Two are not of this package and are tested as far as they reach
into it: P10 (handlers that block run in threads, which the facade starts) and P13 (clients that
know asyncio only: the adapters say on which backends they run; the core has to run on both).
Where a test runs on asyncio only, the pitfall is a native cancellation, which trio does not have.
"""

from __future__ import annotations

import ast
import asyncio
import gc
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from anyio import get_current_task, get_running_tasks
from anyio import wait_all_tasks_blocked as idle

import callboard_actors
from callboard_actors import (
    ActorCrash,
    Child,
    ChildSpec,
    Event,
    ExitReason,
    ForeignCancellation,
    Mailbox,
    Supervisor,
    SupervisorStopped,
    lifecycle,
    serve,
)

from .foreign import await_a_cancelled_future, be_cancelled_natively, on_asyncio
from .supervision.parts import Part, node, running, steady, stubborn

pytestmark = pytest.mark.anyio

never_awaited = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""Of a coroutine whose task was cancelled before its first step."""

by_a_foreign_hand = pytest.mark.parametrize(
    "foreign", [await_a_cancelled_future, be_cancelled_natively]
)


@on_asyncio
@by_a_foreign_hand
async def test_p01_a_foreign_cancellation_is_a_crash_of_one_child(
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
@by_a_foreign_hand
async def test_p01_a_foreign_cancellation_of_an_actor_puts_its_item_back(
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
@by_a_foreign_hand
async def test_p01_a_foreign_cancellation_during_a_start_fails_that_start(
    foreign: Callable[[], Awaitable[None]],
) -> None:
    log: list[str] = []

    async def struck(child: Child) -> None:
        await foreign()

    with pytest.raises(ForeignCancellation):
        await Supervisor([Part("a", log).spec(), ChildSpec("struck", struck)]).run()
    assert log == ["+a", "-a"]


@on_asyncio
async def test_p01_a_supervisor_that_is_cancelled_natively_stops_its_children_and_is_restarted() -> (
    None
):
    log: list[str] = []
    tasks: list[asyncio.Task[object] | None] = []

    async def noted(child: Child) -> None:
        log.append("+")
        await steady(child)
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


@on_asyncio
@never_awaited
async def test_p01_a_child_that_is_cancelled_before_its_first_step_is_a_crash_of_its_supervisor() -> (
    None
):
    log: list[str] = []
    inner = Supervisor([Part("a", log).spec()], name="inner")
    specs = [Part("b", log).spec(), ChildSpec("inner", inner.run, restart="transient")]
    async with (
        running(outer := Supervisor(specs, name="outer")),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(add_and_cancel, inner, "outer/inner/late")
        await anyio.sleep(10)
        assert node(outer, "inner").last_exit == "foreign_cancel"
        assert log == ["+b", "+a", "+a"]
    gc.collect()


@on_asyncio
@never_awaited
async def test_p01_and_a_supervisor_without_one_above_it_says_so() -> None:
    supervisor = Supervisor([], name="top")

    async def run() -> None:
        with pytest.raises(ForeignCancellation, match="a child of top was cancelled before"):
            await supervisor.run()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await idle()
        tasks.start_soon(add_and_cancel, supervisor, "top/late")

    assert not {child.state for child in supervisor.tree().children} - {"stopped"}
    gc.collect()


async def add_and_cancel(supervisor: Supervisor, path: str) -> None:
    """Add a child, and cancel its task before its first step."""

    def strike() -> None:
        for task in asyncio.all_tasks():
            if task.get_name() == path:
                task.cancel()

    asyncio.get_running_loop().call_soon(strike)
    with pytest.raises(SupervisorStopped):
        await supervisor.start_child(ChildSpec("late", steady))


async def test_p02_many_crashes_at_once_cancel_no_sibling() -> None:
    async def crashing(child: Child) -> None:
        child.ready()
        raise ActorCrash

    specs = [ChildSpec(f"crashing-{n}", crashing, restart="temporary") for n in range(5)]
    async with running(supervisor := Supervisor([*specs, ChildSpec("steady", steady)])):
        assert [child.id for child in supervisor.tree().children] == ["steady"]
        assert node(supervisor, "steady").state == "running"


async def test_p03_a_cleanup_is_shielded_and_has_a_deadline() -> None:
    log: list[str] = []

    class Actor:
        async def on_stop(self, reason: ExitReason) -> None:
            await anyio.sleep(1)
            log.append(f"flushed when {reason.kind}")
            await anyio.sleep_forever()

    async def run(child: Child) -> None:
        async with lifecycle(Actor(), child):
            await anyio.sleep_forever()

    async with running(supervisor := Supervisor([ChildSpec("a", run, drain=5, cancel_grace=2)])):
        began = anyio.current_time()

    assert log == ["flushed when killed"]
    assert 5 < anyio.current_time() - began < 5 + 2
    assert node(supervisor, "a").last_exit == "killed"


async def test_p04_what_swallows_its_cancellations_is_unkillable_and_keeps_nobody_else() -> None:
    events: list[Event] = []
    log: list[str] = []

    async def swallowing(child: Child) -> None:
        child.ready()
        for _ in range(1000):
            try:
                await anyio.sleep(1000)
            except BaseException:  # noqa: BLE001, S112 - the misdeed
                continue
        await stubborn(Child())

    specs = [Part("a", log).spec(), ChildSpec("swallowing", swallowing, drain=5, cancel_grace=3)]
    async with running(supervisor := Supervisor(specs, notify=events.append)):
        began = anyio.current_time()

    assert [(e.path, e.at - began) for e in events if e.name == "actor.unkillable"] == [
        ("supervisor/swallowing", 8)
    ]
    assert log == ["+a", "-a"]
    assert node(supervisor, "swallowing").last_exit == "killed"  # in the end


async def test_p05_a_child_that_swallowed_its_deadline_and_returned_was_killed_all_the_same() -> (
    None
):
    async def swallowing(child: Child) -> None:
        child.ready()
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            return

    async with running(supervisor := Supervisor([ChildSpec("a", swallowing, drain=5)])):
        pass

    assert node(supervisor, "a").last_exit == "killed"


async def test_p05_a_time_out_of_the_childs_own_is_no_time_out_of_ours() -> None:
    async def impatient(child: Child) -> None:
        child.ready()
        with anyio.fail_after(1):
            await child.stopping()

    async with running(supervisor := Supervisor([ChildSpec("a", impatient)])):
        await anyio.sleep(2)
        assert node(supervisor, "a").last_exit == "failed"
        assert "TimeoutError" in node(supervisor, "a").last_error


def _sources() -> Iterator[Path]:
    root = Path(callboard_actors.__file__).parent
    return (path for path in root.rglob("*.py") if "testing" not in path.parts)


def _yields(function: ast.AsyncFunctionDef) -> bool:
    """Whether a `yield` is in *function* itself, not in one inside of it."""
    below = list(ast.iter_child_nodes(function))
    while below:
        each = below.pop()
        if isinstance(each, ast.Yield):
            return True
        if not isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            below.extend(ast.iter_child_nodes(each))
    return False


def test_p06_there_are_no_async_generators_but_context_managers_around_a_block() -> None:
    found = [
        f"{path.name}: {each.name}"
        for path in _sources()
        for each in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(each, ast.AsyncFunctionDef)
        and _yields(each)
        and "asynccontextmanager" not in map(ast.unparse, each.decorator_list)
    ]

    assert found == []


@pytest.mark.parametrize("fatal", [SystemExit(3), KeyboardInterrupt()])
@pytest.mark.parametrize("grouped", [False, True])
async def test_p07_the_end_of_the_process_comes_out_as_itself_after_an_orderly_stop(
    fatal: BaseException, grouped: bool
) -> None:
    log: list[str] = []

    async def noted(child: Child) -> None:
        await steady(child)
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
async def test_p08_an_item_is_not_lost_when_its_reader_is_cancelled_in_the_same_tick() -> None:
    mailbox = Mailbox[int]()
    reader = mailbox.reader()
    task = asyncio.create_task(reader.take())
    await asyncio.sleep(0)
    mailbox.put_nowait(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert mailbox.drain() == [1]


async def test_p08_nor_when_a_scope_is_cancelled_in_the_same_tick() -> None:
    mailbox = Mailbox[int]()
    reader = mailbox.reader()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reader.take)
        await idle()
        mailbox.put_nowait(1)
        tasks.cancel_scope.cancel()

    taken = [] if reader.current is None else [reader.current]
    assert taken + mailbox.drain() == [1]


async def test_p09_a_restarted_child_does_not_inherit_the_context_of_what_crashed_it() -> None:
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


async def test_p09_an_added_child_does_not_inherit_the_context_of_who_added_it() -> None:
    span: ContextVar[str] = ContextVar("span", default="none")
    seen: list[str] = []

    async def traced(child: Child) -> None:
        seen.append(span.get())
        await steady(child)

    async with running(supervisor := Supervisor()):
        span.set("a message")
        await supervisor.start_child(ChildSpec("traced", traced))

    assert seen == ["none"]


async def test_p10_a_handler_that_blocks_in_a_thread_holds_up_nobody_and_can_be_left_behind() -> (
    None
):
    released, beats = threading.Event(), list[int]()
    mailbox = Mailbox[int]()
    mailbox.put_nowait(1)

    async def receive(item: int) -> None:
        await anyio.to_thread.run_sync(released.wait, abandon_on_cancel=True)
        beats.append(-item)

    async def work(child: Child) -> None:
        child.ready()
        await serve(receive, mailbox.reader())

    async with running(Supervisor([ChildSpec("blocked", work, drain=0)])):
        for beat in range(3):
            beats.append(beat)
            await idle()

    released.set()
    assert beats == [0, 1, 2]
    assert mailbox.drain() == [1]


async def test_p11_messages_are_handled_in_the_workers_own_task_and_make_none() -> None:
    seen: set[tuple[int, int]] = set()
    mailbox = Mailbox[int](1000)

    async def receive(item: int) -> None:
        seen.add((get_current_task().id, len(get_running_tasks())))
        if item % 10 == 0:
            await anyio.sleep(0.1)

    async def work(child: Child) -> None:
        child.on_stop(mailbox.close)
        child.ready()
        await serve(receive, mailbox.reader())

    async with running(Supervisor([ChildSpec("worker", work)])):
        mailbox.put_many(range(1000))
        await anyio.sleep(20)

    assert len(mailbox) == 0
    assert len(seen) == 1


class Payload:
    """Something large that a frame holds."""


async def test_p12_a_crash_keeps_its_text_and_not_its_frames() -> None:
    payloads: list[weakref.ref[Payload]] = []

    async def crashing(child: Child) -> None:
        payload = Payload()
        payloads.append(weakref.ref(payload))
        child.ready()
        raise ActorCrash("x" * 100_000)

    rules = [(ActorCrash, callboard_actors.Decision.STOP)]
    async with running(supervisor := Supervisor([ChildSpec("crashing", crashing, decide=rules)])):
        gc.collect()
        (crashed,) = supervisor.tree().children

    assert payloads[0]() is None
    assert "ActorCrash" in crashed.last_error
    assert len(crashed.last_error) <= 8 * 1024


async def test_p12_an_actor_that_resumes_keeps_no_frames_of_what_failed() -> None:
    payloads: list[weakref.ref[Payload]] = []
    mailbox = Mailbox[int]()
    mailbox.put_nowait(1)

    async def receive(item: int) -> None:
        payload = Payload()
        payloads.append(weakref.ref(payload))
        raise ValueError

    rules = [(ValueError, callboard_actors.Decision.RESUME)]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: serve(receive, mailbox.reader(), decide=rules))
        await idle()
        assert payloads[0]() is None
        tasks.cancel_scope.cancel()


def test_p13_the_core_names_no_backend_but_where_it_must() -> None:
    naming = {
        path.name
        for path in _sources()
        for each in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(each, ast.Import | ast.ImportFrom) and {"asyncio", "trio"} & _imported(each)
    }

    assert naming <= {"_parker.py"}


def _imported(statement: ast.Import | ast.ImportFrom) -> set[str]:
    if isinstance(statement, ast.ImportFrom):
        return {(statement.module or "").partition(".")[0]}
    return {alias.name.partition(".")[0] for alias in statement.names}
