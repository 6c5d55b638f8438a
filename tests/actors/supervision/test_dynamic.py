"""Children that are started and stopped while their supervisor runs."""

from __future__ import annotations

from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest
from anyio import wait_all_tasks_blocked as idle

from callboard_actors import (
    Child,
    ChildSpec,
    Event,
    GaveUp,
    SpecError,
    Supervisor,
    SupervisorStopped,
    Unkillable,
)

from .parts import Part, crash, node, parts, running, steady, stubborn

pytestmark = pytest.mark.anyio


async def never(child: Child) -> None:
    """Get never ready."""
    await anyio.sleep_forever()


async def test_a_child_can_be_added_to_a_running_supervisor() -> None:
    log: list[str] = []
    async with running(supervisor := Supervisor([Part("a", log).spec()])):
        extra = Part("b", log)
        await supervisor.start_child(extra.spec())
        await crash(extra)

    assert log == ["+a", "+b", "+b", "-b", "-a"]


async def test_an_added_child_is_forgotten_when_it_has_ended() -> None:
    extra = Part("b", [])
    extra.error = None
    async with running(supervisor := Supervisor([])):
        await supervisor.start_child(extra.spec("transient"))
        await crash(extra)
        assert supervisor.tree().children == ()
        await supervisor.start_child(extra.spec())
        assert node(supervisor, "b").state == "running"


async def test_an_added_child_that_cannot_start_raises_where_it_was_added() -> None:
    extra = Part("b", [])
    extra.failing_starts = 1
    async with running(supervisor := Supervisor([])):
        with pytest.raises(RuntimeError, match="broken"):
            await supervisor.start_child(extra.spec())
        assert supervisor.tree().children == ()


async def test_a_child_that_was_being_added_by_a_cancelled_task_is_ended() -> None:
    async with running(supervisor := Supervisor([])):
        with anyio.move_on_after(1):
            await supervisor.start_child(ChildSpec("never", never))
        await idle()
        assert supervisor.tree().children == ()


async def test_only_a_running_supervisor_takes_children() -> None:
    part = Part("a", [])

    with pytest.raises(SupervisorStopped, match="'supervisor' does not run"):
        await Supervisor([]).start_child(part.spec())


async def test_an_id_is_given_once() -> None:
    part = Part("a", [])

    with pytest.raises(SpecError, match="two children of one id"):
        Supervisor([part.spec(), part.spec()])
    async with running(supervisor := Supervisor([part.spec()])):
        with pytest.raises(SpecError, match="has a child 'a'"):
            await supervisor.start_child(part.spec())


async def test_an_added_transient_child_that_has_ended_returns_with_its_group() -> None:
    log: list[str] = []
    first, extra = Part("a", log), Part("b", log)
    extra.error = None
    async with running(supervisor := Supervisor([first.spec()], "rest_for_one")):
        await supervisor.start_child(extra.spec("transient"))
        await crash(extra)
        log.clear()
        await crash(first)
        assert log == ["+a", "+b"]


async def test_a_group_is_restarted_when_the_child_that_is_being_added_is_ready() -> None:
    log: list[str] = []
    first, ready = Part("a", log), anyio.Event()

    async def slow(child: Child) -> None:
        log.append("+slow")
        await ready.wait()
        await steady(child)
        log.append("-slow")

    async with (
        running(supervisor := Supervisor([first.spec()], "one_for_all")),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(supervisor.start_child, ChildSpec("slow", slow))
        await idle()
        await crash(first)
        assert log == ["+a", "+slow"]
        ready.set()
        await idle()
        assert log == ["+a", "+slow", "-slow", "+a", "+slow"]


async def test_a_child_is_added_when_the_group_has_been_restarted() -> None:
    log: list[str] = []
    first, second, extra = parts(log)
    second.drains_for = 5
    async with (
        running(supervisor := Supervisor([first.spec(), second.spec()], "one_for_all")),
        anyio.create_task_group() as tasks,
    ):
        await crash(first)
        tasks.start_soon(supervisor.start_child, extra.spec())
        await anyio.sleep(6)
        assert log == ["+a", "+b", "-b", "+a", "+b", "+c"]


async def test_who_adds_a_child_hears_at_once_that_the_supervisor_gave_up() -> None:
    part = Part("a", [])
    supervisor = Supervisor([part.spec()], intensity=0)
    heard: list[float] = []

    async def add() -> None:
        with pytest.raises(SupervisorStopped, match="supervisor is stopping"):
            await supervisor.start_child(ChildSpec("never", never))
        heard.append(anyio.current_time())

    async def run() -> None:
        with pytest.raises(GaveUp):
            await supervisor.run()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await idle()
        tasks.start_soon(add)
        await idle()
        await crash(part)
        assert anyio.current_time() - heard[0] < 1


async def test_an_end_of_which_two_have_heard_is_told_once() -> None:
    events: list[Event] = []

    async def lingering(child: Child) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(1)

    adding = anyio.CancelScope()

    async def add() -> None:
        with adding:
            await supervisor.start_child(ChildSpec("lingering", lingering, drain=0))

    async with (
        running(supervisor := Supervisor(notify=events.append)),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(add)
        await idle()
        adding.cancel()
        await anyio.sleep(0.5)
        supervisor.stop()

    ends = [event for event in events if "reason" in event.attributes]
    assert [event.attributes["reason"] for event in ends] == ["killed"]


async def test_one_spec_is_a_template_for_many_children() -> None:
    template = ChildSpec("template", steady, restart="temporary")
    async with running(supervisor := Supervisor(strategy="dynamic")):
        for n in range(3):
            await supervisor.start_child(replace(template, id=f"session-{n}"))
        ids = [child.id for child in supervisor.tree().children]

    assert ids == ["session-0", "session-1", "session-2"]


async def test_dynamic_children_stop_all_at_the_same_time_with_one_deadline() -> None:
    children = parts([])
    for n, part in enumerate(children):
        part.drains_for = 10 * n
    async with running(supervisor := Supervisor(strategy="dynamic")):
        for part, drain in zip(children, (2, 3, 15), strict=True):
            await supervisor.start_child(replace(part.spec(), drain=drain))
        began = anyio.current_time()

    assert anyio.current_time() - began == 15
    reasons = [child.last_exit for child in supervisor.tree().children]
    assert reasons == ["shutdown", "shutdown", "killed"]


async def test_hundreds_of_dynamic_children_stop_in_the_time_of_one() -> None:
    async def slow(child: Child) -> None:
        await steady(child)
        await anyio.sleep(5)

    async with running(supervisor := Supervisor(strategy="dynamic")):
        for n in range(300):
            await supervisor.start_child(ChildSpec(str(n), slow))
        began = anyio.current_time()

    assert anyio.current_time() - began == 5


async def test_a_dynamic_child_that_crashes_is_restarted_alone() -> None:
    log: list[str] = []
    children = parts(log)
    async with running(supervisor := Supervisor(strategy="dynamic")):
        for part in children:
            await supervisor.start_child(part.spec())
        log.clear()
        await crash(children[1])
        assert log == ["+b"]


async def test_a_dynamic_supervisor_starts_without_children() -> None:
    with pytest.raises(SpecError, match=r"is dynamic; give \['a'\] to its start_child"):
        Supervisor([Part("a", []).spec()], "dynamic")


async def test_a_child_can_be_stopped_alone_and_its_id_given_again() -> None:
    log: list[str] = []
    children = parts(log)
    async with running(supervisor := Supervisor([part.spec() for part in children], "one_for_all")):
        log.clear()
        await supervisor.stop_child("b")
        assert log == ["-b"]
        assert [child.id for child in supervisor.tree().children] == ["a", "c"]
        await supervisor.start_child(children[1].spec())

    assert log == ["-b", "+b", "-b", "-c", "-a"]


async def test_a_child_that_waits_to_be_restarted_can_be_stopped() -> None:
    log: list[str] = []
    part = Part("a", log)
    async with running(supervisor := Supervisor([part.spec()])):
        await crash(part)
        await crash(part)
        await supervisor.stop_child("a")
        await anyio.sleep(10)

    assert log == ["+a", "+a"]


async def test_a_child_that_is_stopped_has_its_time_to_drain() -> None:
    part = Part("a", [])
    part.drains_for = 100
    async with running(supervisor := Supervisor([replace(part.spec(), drain=5)])):
        began = anyio.current_time()
        await supervisor.stop_child("a")
        assert anyio.current_time() - began == 5


async def test_who_stops_a_child_hears_that_it_lives_on() -> None:
    spec = ChildSpec("stubborn", stubborn, drain=1, cancel_grace=1)
    async with running(supervisor := Supervisor([spec])):
        with pytest.raises(Unkillable, match="supervisor/stubborn lives on"):
            await supervisor.stop_child("stubborn")
        assert node(supervisor, "stubborn").state == "unkillable"


async def test_who_stops_a_child_while_the_supervisor_stops_waits_for_its_end() -> None:
    children = parts([])
    children[0].drains_for = children[1].drains_for = 3
    async with (
        running(supervisor := Supervisor([part.spec() for part in children])),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(supervisor.stop_child, "b")
        tasks.start_soon(supervisor.stop_child, "a")
        await idle()
        supervisor.stop()

    assert [child.state for child in supervisor.tree().children] == ["stopped"] * 2


@pytest.mark.parametrize("ready", [False, True])
async def test_who_adds_a_child_hears_that_it_was_stopped_before_it_was_ready(ready: bool) -> None:
    events: list[Event] = []
    failed: list[str] = []

    async def run(child: Child) -> None:
        await child.stopping()
        if ready:
            child.ready()
            await anyio.sleep(1)

    async def add() -> None:
        try:
            await supervisor.start_child(ChildSpec("late", run))
        except SupervisorStopped as error:
            failed.append(str(error))

    supervisor = Supervisor([], notify=events.append)
    async with running(supervisor), anyio.create_task_group() as tasks:
        tasks.start_soon(add)
        await idle()
        await supervisor.stop_child("late")

    assert failed == ([] if ready else ["supervisor/late is stopping; it was not started"])
    names = [event.name for event in events if event.path.endswith("late")]
    assert names == ["actor.starting", "actor.stopping", "actor.stopped"]


async def test_a_child_that_ends_before_it_is_ready_is_not_up_when_all_is_stopped() -> None:
    end, events = anyio.Event(), list[Event]()

    async def run(_: Child) -> None:
        await end.wait()

    async def add() -> None:
        with pytest.raises(SupervisorStopped):
            await supervisor.start_child(ChildSpec("brief", run))

    supervisor = Supervisor([], name="top", notify=events.append)
    async with running(supervisor), anyio.create_task_group() as tasks:
        tasks.start_soon(add)
        await idle()
        end.set()
        await anyio.lowlevel.checkpoint()
        supervisor.stop()

    assert "actor.started" not in {event.name for event in events}
    assert {child.state for child in supervisor.tree().children} <= {"stopped"}


async def test_who_waits_for_a_child_that_is_stopped_is_restarted_without_it() -> None:
    log: list[str] = []
    children = parts(log)
    specs = [part.spec() for part in children]
    async with running(supervisor := Supervisor(specs, "rest_for_one")):
        children[1].failing_starts = 9
        await crash(children[1])
        assert log[3:] == ["-c"]
        await supervisor.stop_child("b")
        await anyio.sleep(10)
        assert log[4:] == ["+c"]


async def test_only_a_child_that_is_there_can_be_stopped() -> None:
    async with running(supervisor := Supervisor([Part("a", []).spec()])):
        with pytest.raises(SpecError, match="has no child 'b'; it has: a"):
            await supervisor.stop_child("b")


async def test_an_added_child_that_is_to_be_kept_is_shown_when_it_has_ended() -> None:
    extra = Part("b", [])
    extra.error = None
    async with running(supervisor := Supervisor([])):
        await supervisor.start_child(extra.spec("transient"), keep=True)
        await crash(extra)
        assert node(supervisor, "b").state == "stopped"
        await supervisor.stop_child("b")
        assert supervisor.tree().children == ()
