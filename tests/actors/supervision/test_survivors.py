"""Children that cannot be killed: who is blamed, who goes on, and what their late end changes."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest
from anyio import wait_all_tasks_blocked as idle

from callboard_actors import (
    ActorContext,
    ActorCrash,
    ActorSystem,
    Child,
    ChildSpec,
    Decision,
    Escalate,
    Event,
    GaveUp,
    Supervisor,
    Unkillable,
)

from .parts import Part, node, parts, running, steady, stubborn

pytestmark = pytest.mark.anyio

STUBBORN = ChildSpec("stubborn", stubborn, drain=5, cancel_grace=3)


def nested(events: list[Event], depth: int, leaf: ChildSpec = STUBBORN) -> Supervisor:
    """Return *depth* supervisors above *leaf*, each the only child of the one above it."""
    supervisor = Supervisor([leaf], name="bottom", notify=events.append)
    for n in range(1, depth):
        spec = ChildSpec(f"s{n}", supervisor.run, restart="transient", drain=40)
        supervisor = Supervisor([spec], name="top", notify=events.append)
    return supervisor


def blamed(events: list[Event]) -> list[tuple[str, float]]:
    return [(e.path.rpartition("/")[2], e.at) for e in events if e.name == "actor.unkillable"]


async def test_a_leaf_that_lives_on_is_blamed_and_no_supervisor_above_it() -> None:
    events: list[Event] = []
    async with running(nested(events, 4)):
        began = anyio.current_time()

    assert blamed(events) == [("stubborn", began + 8)]


async def test_nor_is_one_blamed_when_all_are_cancelled_at_once() -> None:
    events, began = list[Event](), list[float]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(nested(events, 4).run)
        await idle()
        began.append(anyio.current_time())
        tasks.cancel_scope.cancel()

    assert blamed(events) == [("stubborn", began[0] + 3)]


async def test_a_supervisor_has_as_long_to_clean_up_as_its_children() -> None:
    events: list[Event] = []
    cleaned: list[float] = []

    async def slow(child: Child) -> None:
        child.ready()
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(9)
            cleaned.append(anyio.current_time())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(nested(events, 4, ChildSpec("slow", slow, cancel_grace=10)).run)
        await idle()
        tasks.cancel_scope.cancel()

    assert cleaned
    assert not blamed(events)


async def test_what_lives_on_below_one_child_does_not_take_the_time_of_the_others() -> None:
    log: list[str] = []
    part = Part("a", log)
    part.drains_for = 10
    inner = Supervisor([STUBBORN])
    specs = [part.spec(), ChildSpec("inner", inner.run, drain=100)]
    async with running(outer := Supervisor(specs)):
        began = anyio.current_time()
        outer.stop(began + 20)

    assert log == ["+a", "-a"]


async def test_the_tree_shows_who_waits_for_whom() -> None:
    outer = nested([], 2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outer.run)
        await idle()
        outer.stop()
        await anyio.sleep(20)
        (inner,) = outer.tree().children
        assert (inner.state, inner.children[0].state) == ("stopping", "unkillable")

    assert outer.tree().children[0].state == "stopped"


async def test_a_supervisor_that_gives_up_above_a_survivor_takes_the_next_one_with_it() -> None:
    failing = Part("a", [])
    inner = Supervisor([failing.spec(), STUBBORN], intensity=0)
    outer = Supervisor([ChildSpec("inner", inner.run, restart="transient")], name="top")
    ended = anyio.Event()

    async def run() -> None:
        with pytest.raises(Unkillable, match="top/inner/stubborn lives on") as caught:
            await outer.run()
        assert isinstance(caught.value.__cause__, GaveUp)
        ended.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await idle()
        failing.crash.set()
        await anyio.sleep(20)
        assert outer.tree().state == "stopping"
        await ended.wait()


async def test_an_escalation_above_a_survivor_is_still_one() -> None:
    failing = Part("a", [])
    failing.error = Escalate()
    inner = Supervisor([failing.spec(), STUBBORN])
    decide = [(GaveUp, Decision.ESCALATE)]
    spec = ChildSpec("inner", inner.run, restart="transient", decide=decide)
    outer = Supervisor([spec], name="top")

    async def run() -> None:
        with pytest.raises(GaveUp, match="supervisor 'top' gave up on 'inner': it escalates"):
            await outer.run()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await idle()
        failing.crash.set()


async def test_one_that_ends_by_itself_above_a_survivor_needs_no_successor() -> None:
    ending = Part("a", [])
    ending.error = None
    first = replace(ending.spec("transient"), significant=True)
    inner = Supervisor([first, STUBBORN], auto_shutdown="any_significant")
    outer = Supervisor([ChildSpec("inner", inner.run, restart="transient")])
    async with running(outer):
        ending.crash.set()
        await anyio.sleep(20)
        assert outer.tree().state == "running"
        assert node(outer, "inner").state == "stopping"
        await anyio.sleep(60)
        assert node(outer, "inner").state == "stopped"


async def test_the_id_of_a_survivor_is_free_when_it_has_ended_at_last() -> None:
    events: list[Event] = []
    async with running(supervisor := Supervisor([STUBBORN], notify=events.append)):
        with pytest.raises(Unkillable):
            await supervisor.stop_child("stubborn")
        await anyio.sleep(60)
        await supervisor.start_child(ChildSpec("stubborn", steady))

        assert [e.name for e in events if e.name != "actor.starting"][3:] == [
            "actor.unkillable",
            "actor.stopped",
            "actor.started",
        ]


async def test_a_group_is_restarted_again_when_its_survivor_has_ended() -> None:
    log: list[str] = []
    part = Part("a", log)
    specs = [part.spec(), STUBBORN]
    async with running(supervisor := Supervisor(specs, "one_for_all")):
        with pytest.raises(Unkillable):
            await supervisor.stop_child("stubborn")
        await anyio.sleep(60)
        part.crash.set()
        await idle()

    assert log == ["+a", "+a", "-a"]


async def test_an_actor_is_not_blamed_for_a_survivor_below_it() -> None:
    events: list[Event] = []

    class Deaf:
        async def receive(self, _: str) -> None:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(120)

    class Parent:
        def __init__(self, context: ActorContext[str]) -> None:
            self.context = context

        async def receive(self, message: str) -> None:
            if message == "crash":
                raise ActorCrash
            deaf = await self.context.spawn(Deaf, "deaf")
            deaf.tell(message)

    async with ActorSystem(notify=events.append) as system:
        parent = await system.spawn(Parent, "parent")
        parent.tell("spawn")
        await idle()

    assert [path for path, _ in blamed(events)] == ["deaf"]


async def test_a_supervisor_killed_above_a_survivor_does_not_cancel_the_one_above_it() -> None:
    inner = Supervisor([STUBBORN])
    specs = [ChildSpec("inner", inner.run, drain=2), ChildSpec("steady", steady)]
    async with running(outer := Supervisor(specs)):
        with pytest.raises(Unkillable, match="supervisor/inner/stubborn lives on"):
            await outer.stop_child("inner")
        await anyio.sleep(1)
        assert node(outer, "steady").state == "running"


async def test_who_stops_a_child_does_not_wait_for_a_survivor_beside_it() -> None:
    first, second = parts([])[:2]
    first.drains_for = second.drains_for = 3
    supervisor = Supervisor([STUBBORN, first.spec(), second.spec()])
    async with running(supervisor):
        began = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(supervisor.stop_child, "b")
            tasks.start_soon(supervisor.stop_child, "a")
            await idle()
            supervisor.stop()
        assert anyio.current_time() - began < 20
