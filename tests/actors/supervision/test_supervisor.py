from __future__ import annotations

import dataclasses
import json

import anyio
import pytest
from anyio import wait_all_tasks_blocked as idle

from callboard_actors import (
    Child,
    ChildSpec,
    Event,
    GaveUp,
    Restart,
    StartTimeout,
    Strategy,
    Supervisor,
    Unkillable,
)

from .parts import STEADY, Part, crash, node, parts, running, stubborn

pytestmark = pytest.mark.anyio


async def test_children_start_in_order_and_stop_in_reverse() -> None:
    log: list[str] = []
    async with running(Supervisor(part.spec() for part in parts(log))):
        pass

    assert log == ["+a", "+b", "+c", "-c", "-b", "-a"]


async def test_a_child_starts_when_the_one_before_it_is_ready() -> None:
    log: list[str] = []

    async def slow(child: Child) -> None:
        await anyio.sleep(5)
        log.append("+slow")
        child.ready()
        await child.stopping()

    async with running(Supervisor([ChildSpec("slow", slow), Part("a", log).spec()])):
        await anyio.sleep(6)

    assert log == ["+slow", "+a", "-a"]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("one_for_one", ["+b"]),
        ("rest_for_one", ["-c", "+b", "+c"]),
        ("one_for_all", ["-c", "-a", "+a", "+b", "+c"]),
    ],
)
async def test_the_strategy_says_who_is_restarted(strategy: Strategy, expected: list[str]) -> None:
    log: list[str] = []
    children = parts(log)
    async with running(Supervisor([part.spec() for part in children], strategy)):
        log.clear()
        await crash(children[1])
        assert log == expected


@pytest.mark.parametrize(
    ("restart", "error", "restarted"),
    [
        ("permanent", None, True),
        ("permanent", RuntimeError(), True),
        ("transient", None, False),
        ("transient", RuntimeError(), True),
    ],
)
async def test_the_restart_type_says_whether(
    restart: Restart, error: Exception | None, restarted: bool
) -> None:
    log: list[str] = []
    part = Part("a", log)
    part.error = error
    supervisor = Supervisor([part.spec(restart)])
    async with running(supervisor):
        await crash(part)
        assert node(supervisor, "a").state == ("running" if restarted else "stopped")
        assert log == ["+a", "+a"] if restarted else ["+a"]


async def test_a_temporary_child_is_forgotten_when_it_has_ended() -> None:
    log: list[str] = []
    part = Part("a", log)
    async with running(supervisor := Supervisor([part.spec("temporary")])):
        await crash(part)
        assert supervisor.tree().children == ()
        await supervisor.start_child(part.spec())

    assert log == ["+a", "+a", "-a"]


async def test_a_supervisor_that_runs_again_has_its_temporary_children_again() -> None:
    log: list[str] = []
    part = Part("a", log)
    supervisor = Supervisor([part.spec("temporary")])
    for _ in range(2):
        async with running(supervisor):
            await crash(part)

    assert log == ["+a", "+a"]


async def test_a_transient_child_that_has_ended_returns_with_its_group() -> None:
    log: list[str] = []
    first, second = Part("a", log), Part("b", log)
    second.error = None
    async with running(Supervisor([first.spec(), second.spec("transient")], "rest_for_one")):
        await crash(second)
        log.clear()
        await crash(first)
        assert log == ["+a", "+b"]


async def test_a_temporary_child_does_not_return_with_its_group() -> None:
    log: list[str] = []
    first, second = Part("a", log), Part("b", log)
    specs = [first.spec(), second.spec("temporary")]
    async with running(supervisor := Supervisor(specs, "rest_for_one")):
        log.clear()
        await crash(first)
        assert log == ["-b", "+a"]
        assert [child.id for child in supervisor.tree().children] == ["a"]


async def test_the_first_restart_is_at_once_and_later_ones_wait_longer() -> None:
    events: list[Event] = []
    part = Part("a", [])
    async with running(Supervisor([part.spec()], notify=events.append)):
        for _ in range(4):
            await crash(part)
            await anyio.sleep(10)

    delays = [e.attributes["delay"] for e in events if e.name == "actor.restarting"]
    assert delays == [0, 1, 2, 4]


async def test_a_child_that_was_up_for_long_begins_anew() -> None:
    part = Part("a", [])
    supervisor = Supervisor([part.spec()])
    async with running(supervisor):
        for _ in range(3):
            await crash(part)
            await anyio.sleep(STEADY.reset_after)
            assert node(supervisor, "a").state == "running"
        await crash(part)

        assert node(supervisor, "a").state == "running"


async def test_one_that_waits_to_be_restarted_does_not_delay_the_others() -> None:
    first, second, _ = children = parts([])
    supervisor = Supervisor([part.spec() for part in children])
    async with running(supervisor):
        await crash(first)
        await crash(first)
        await crash(second)
        assert node(supervisor, "a").state == "restarting"
        assert node(supervisor, "b").state == "running"


async def test_a_stop_does_not_wait_for_a_restart() -> None:
    part = Part("a", [])
    async with running(Supervisor([part.spec()])):
        await crash(part)
        await crash(part)
        began = anyio.current_time()

    assert anyio.current_time() == began


async def test_it_gives_up_with_the_cause_when_there_are_too_many_restarts() -> None:
    log: list[str] = []
    children = parts(log)
    supervisor = Supervisor([part.spec() for part in children], intensity=2, name="top")
    caught: list[GaveUp] = []

    async def run() -> None:
        with pytest.raises(GaveUp, match="'top' gave up on 'a': more than 2 restarts") as info:
            await supervisor.run()
        caught.append(info.value)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        for _ in range(3):
            await idle()
            await crash(children[0])
            await anyio.sleep(2)

    assert caught[0].__cause__ is children[0].error
    assert log[-2:] == ["-c", "-b"]


async def test_slow_crashing_is_no_reason_to_give_up() -> None:
    log: list[str] = []
    part = Part("a", log)
    async with running(Supervisor([part.spec()], intensity=1, period=30)):
        for _ in range(5):
            await crash(part)
            await anyio.sleep(31)

    assert log.count("+a") == 6


async def test_the_restart_of_a_group_counts_once() -> None:
    children = parts([])
    supervisor = Supervisor([part.spec() for part in children], "one_for_all", intensity=1)
    async with running(supervisor):
        await crash(children[0])
        assert [child.state for child in supervisor.tree().children] == ["running"] * 3


async def test_a_failed_first_start_stops_the_others_in_reverse_and_is_raised() -> None:
    log: list[str] = []
    children = parts(log)
    children[2].failing_starts = 1

    with pytest.raises(RuntimeError, match="broken"):
        await Supervisor(part.spec() for part in children).run()
    assert log == ["+a", "+b", "-b", "-a"]


async def test_a_child_that_is_never_ready_fails_its_start() -> None:
    async def never(child: Child) -> None:
        await anyio.sleep_forever()

    with pytest.raises(StartTimeout, match="top/never was not ready after 4 s"):
        await Supervisor([ChildSpec("never", never, start_timeout=4)], name="top").run()


async def test_a_failed_start_counts_as_one_more_restart_and_is_tried_again() -> None:
    log: list[str] = []
    part = Part("a", log)
    supervisor = Supervisor([part.spec()], intensity=3)
    async with running(supervisor):
        part.failing_starts = 2
        await crash(part)
        await anyio.sleep(10)
        assert log == ["+a", "+a"]
        assert node(supervisor, "a").restarts == 3


async def test_a_group_restart_goes_on_from_the_child_that_failed_to_start() -> None:
    log: list[str] = []
    children = parts(log)
    async with running(Supervisor([part.spec() for part in children], "rest_for_one")):
        log.clear()
        children[1].failing_starts = 1
        await crash(children[0])
        await anyio.sleep(5)
        assert log == ["-c", "-b", "+a", "+b", "+c"]


async def test_a_stop_during_a_start_stops_what_was_started() -> None:
    log: list[str] = []

    async def never(child: Child) -> None:
        await child.stopping()
        log.append("-never")

    async with running(Supervisor([Part("a", log).spec(), ChildSpec("never", never)])):
        pass

    assert log == ["+a", "-never", "-a"]


async def test_a_child_has_its_time_to_drain() -> None:
    log: list[str] = []
    part = Part("a", log)
    part.drains_for = 19
    async with running(Supervisor([part.spec()])):
        began = anyio.current_time()

    assert log == ["+a", "-a"]
    assert anyio.current_time() - began == 19


async def test_a_child_that_does_not_stop_in_time_is_killed() -> None:
    part = Part("a", [])
    part.drains_for = 100
    supervisor = Supervisor([dataclasses.replace(part.spec(), drain=5)])
    async with running(supervisor):
        began = anyio.current_time()

    assert anyio.current_time() - began == 5
    assert node(supervisor, "a").last_exit == "killed"


async def test_the_deadline_of_a_stop_is_shared_by_all_children_and_levels() -> None:
    children = parts([])
    for part in children:
        part.drains_for = 100
    inner = Supervisor([part.spec() for part in children])
    outer = Supervisor([ChildSpec("inner", inner.run, drain=1000)])
    began = 0.0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outer.run)
        await idle()
        began = anyio.current_time()
        outer.stop(began + 7)

    assert anyio.current_time() - began == 7


async def test_a_second_stop_with_an_earlier_deadline_cuts_the_first_short() -> None:
    part = Part("a", [])
    part.drains_for = 15
    inner = Supervisor([part.spec()])
    outer = Supervisor([ChildSpec("inner", inner.run)])
    began = 0.0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outer.run)
        await idle()
        began = anyio.current_time()
        outer.stop()
        await anyio.sleep(2)
        outer.stop(began + 3)

    assert anyio.current_time() - began == 3


async def test_a_stop_before_the_run_counts() -> None:
    log: list[str] = []
    supervisor = Supervisor([Part("a", log).spec()])
    supervisor.stop()
    await supervisor.run()

    assert log == []


async def test_a_supervisor_can_run_again() -> None:
    log: list[str] = []
    supervisor = Supervisor([Part("a", log).spec()])
    for _ in range(2):
        async with running(supervisor):
            pass

    assert log == ["+a", "-a"] * 2


async def test_cancelling_the_run_cancels_the_children() -> None:
    supervisor = Supervisor([part.spec() for part in parts([])])
    with anyio.move_on_after(3):
        await supervisor.run()

    assert [child.last_exit for child in supervisor.tree().children] == ["killed"] * 3


async def test_what_cannot_be_killed_is_reported_and_waited_for() -> None:
    events: list[Event] = []

    spec = ChildSpec("stubborn", stubborn, drain=5, cancel_grace=3)
    async with running(Supervisor([spec], notify=events.append)):
        began = anyio.current_time()

    assert [e.at - began for e in events if e.name == "actor.unkillable"] == [8]
    assert anyio.current_time() - began > 59


async def test_nothing_takes_the_place_of_what_cannot_be_killed() -> None:
    log: list[str] = []
    part = Part("a", log)

    specs = [part.spec(), ChildSpec("stubborn", stubborn)]

    async def run() -> None:
        with pytest.raises(Unkillable, match="top/stubborn lives on"):
            await Supervisor(specs, "rest_for_one", name="top").run()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await idle()
        part.crash.set()

    assert log == ["+a"]


async def test_nor_of_what_did_not_get_ready_and_cannot_be_killed() -> None:
    lives: list[Child] = []

    async def stuck(child: Child) -> None:
        lives.append(child)
        if len(lives) == 1:
            child.ready()
            raise RuntimeError("broken")
        await stubborn(Child())

    spec = ChildSpec("stuck", stuck, start_timeout=4)
    with pytest.raises(Unkillable, match="top/stuck lives on"):
        await Supervisor([spec], name="top").run()
    assert len(lives) == 2


async def test_a_supervisor_that_gave_up_is_restarted_by_the_one_above() -> None:
    log: list[str] = []
    part = Part("a", log)
    inner = Supervisor([part.spec()], intensity=0)
    outer = Supervisor([ChildSpec("inner", inner.run, restart="transient")])
    async with running(outer):
        await crash(part)
        assert log == ["+a", "+a"]
        assert node(outer, "inner").last_exit == "gave_up"
        assert "broken" in node(outer, "inner").last_error


async def test_the_tree_is_plain_data_and_shows_supervisors_below() -> None:
    part = Part("a", [])
    inner = Supervisor([part.spec()])
    outer = Supervisor([ChildSpec("inner", inner.run)], name="top")
    async with running(outer):
        await crash(part)
        await anyio.sleep(5)
        tree = outer.tree()

    assert json.dumps(dataclasses.asdict(tree))
    (below,) = tree.children
    (leaf,) = below.children
    assert (tree.id, below.id, leaf.id) == ("top", "inner", "a")
    assert (tree.kind, below.kind, leaf.kind) == ("supervisor", "supervisor", "actor")
    assert (leaf.state, leaf.restarts, leaf.last_exit) == ("running", 1, "failed")
    assert 5 <= leaf.uptime < 6


async def test_the_life_of_a_child_is_told_in_events() -> None:
    events: list[Event] = []
    part = Part("a", [])
    async with running(Supervisor([part.spec()], name="top", notify=events.append)):
        await crash(part)

    of_child = [event.name for event in events if event.path == "top/a"]
    life = ["actor.starting", "actor.started"]
    assert of_child == [
        *life,
        "actor.crashed",
        "actor.restarting",
        *life,
        "actor.stopping",
        "actor.stopped",
    ]


async def test_a_child_is_asked_again_when_its_deadline_moves_nearer() -> None:
    child, deadlines = Child(), list[float]()
    child.on_stop(lambda: deadlines.append(child.deadline))
    for deadline in (9, 12, 5):
        child.stop(deadline)

    assert deadlines == [9, 5]


async def test_a_block_until_the_deadline_sees_it_and_ends_by_it() -> None:
    child, before = Child(), anyio.current_time()
    with child.until_deadline():
        assert anyio.current_effective_deadline() == float("inf")
        child.stop(before + 9)
        child.stop(before + 5)
        assert anyio.current_effective_deadline() == before + 5
        await anyio.sleep_forever()

    assert anyio.current_time() == before + 5
