"""Random trees, in which random things happen: what holds for all of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from functools import partial
from inspect import CORO_CREATED, getcoroutinestate
from types import CoroutineType
from typing import Any, Literal, TypeAlias, get_args

import anyio
import pytest
from anyio import get_running_tasks
from anyio import wait_all_tasks_blocked as idle
from anyio.abc import TaskGroup
from hypothesis import event, given
from hypothesis import strategies as st

from callboard_actors import ActorCrash, ActorError, Event

from ..foreign import await_a_cancelled_future, be_cancelled_natively
from ..virtual import examples, run
from .world import DEAF, GRACE, PERIOD, Branch, Kind, Leaf, World

Deed: TypeAlias = Literal[
    "send",
    "fail starts",
    "delay start",
    "wait",
    "strike",
    "add",
    "add meanwhile",
    "stop child",
    "stop child meanwhile",
]
Step: TypeAlias = tuple[Deed, int, Kind, float]
STOP = 10.0

leaves = st.builds(Leaf, st.sampled_from(["permanent", "permanent", "transient", "temporary"]))


def branches(depth: int) -> st.SearchStrategy[Branch]:
    below = leaves if depth == 0 else st.one_of(leaves, branches(depth - 1))
    return st.builds(
        Branch,
        st.sampled_from(["one_for_one", "rest_for_one", "one_for_all", "dynamic"]),
        st.integers(0, 5),
        st.lists(below, min_size=1, max_size=3).map(tuple),
    )


steps: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(
        st.sampled_from(["send", "send", "send", *get_args(Deed)]),
        st.integers(0, 20),
        st.sampled_from(get_args(Kind)),
        st.sampled_from([0.0, 0.5, 3.0, 40.0]),
    ),
    min_size=6,
    max_size=25,
)


async def strike_with_a_crash() -> None:
    raise ActorCrash


STRIKES = {
    "trio": strike_with_a_crash,
    "asyncio": await_a_cancelled_future,
    "asyncio, natively": be_cancelled_natively,
}


async def play(world: World, script: list[Step], *, cancelled: bool) -> float:
    """Run the tree through *script*; return how long its end took."""
    over = anyio.Event()

    async def run() -> None:
        with suppress(ActorError, RuntimeError):
            await world.root.run()
        over.set()

    before, began = len(get_running_tasks()), 0.0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await idle()
        for step in script:
            await do(world, step, tasks)
        began = anyio.current_time()
        world.root.stop(began + STOP)
        if cancelled:
            tasks.cancel_scope.cancel()
    if len(get_running_tasks()) != before:
        world.violations.append("a task is left")
    return anyio.current_time() - began


async def do(world: World, step: Step, tasks: TaskGroup) -> None:
    deed, number, kind, time = step
    path, player = [*world.players.items()][number % len(world.players)]
    match deed:
        case "send":
            world.send(player, kind)
        case "fail starts":
            player.failing_starts = number % 4
        case "delay start":
            player.start_takes = time
        case "strike":
            cancel_natively(path if time else above(path))
        case "wait":
            await anyio.sleep(time)
        case "stop child" | "add":
            await CHANGES[deed](world, path)
        case _:
            tasks.start_soon(CHANGES[deed], world, path)
    if time != 0.5:  # else the next thing happens in the same moment
        await idle()


class Dismissed(Event):
    name = "test.dismissed"


async def stop_child(world: World, path: str) -> None:
    world.events.append(Dismissed(path))
    with suppress(ActorError, RuntimeError):
        await world.branches[above(path)][1].stop_child(path.rpartition("/")[2])


async def add(world: World, path: str) -> None:
    parent = above(path)
    spec = world.leaf(f"{parent}/x{len(world.players)}", "transient")
    world.players[f"{parent}/{spec.id}"].start_takes = 0.5 * (len(world.players) % 3)
    with suppress(ActorError, RuntimeError):
        await world.branches[parent][1].start_child(spec)


CHANGES: dict[Deed, Callable[[World, str], Coroutine[Any, Any, None]]] = {
    "stop child": stop_child,
    "stop child meanwhile": stop_child,
    "add": add,
    "add meanwhile": add,
}


def has_begun(task: asyncio.Task[object]) -> bool:
    """Whether *task* has made its first step. Before that no guard of ours is there: see P1."""
    work = task.get_coro()
    return not isinstance(work, CoroutineType) or getcoroutinestate(work) != CORO_CREATED


def cancel_natively(path: str) -> None:
    """Cancel the task at *path*, if that is possible, and it is not the root's."""
    with suppress(RuntimeError):  # on trio it is not
        for task in asyncio.all_tasks():
            if task.get_name() == path and has_begun(task):
                task.cancel()


def above(path: str) -> str:
    return path.rpartition("/")[0]


def rank(path: str) -> tuple[int, int]:
    name = path.rpartition("/")[2]
    return (1, int(name[1:])) if name.startswith("x") else (0, int(name))


def excesses(world: World) -> Iterator[str]:
    """Yield where there were more restarts in a period than the intensity allows."""
    times: dict[str, list[float]] = {path: [] for path in world.branches}
    for each in world.events:
        if each.name == "supervisor.started":
            times[each.path].clear()
        elif each.name == "actor.restarting":
            recent = times[above(each.path)]
            recent[:] = [at for at in recent if at >= each.at - PERIOD] + [each.at]
            if len(recent) > world.branches[above(each.path)][0].intensity:
                yield f"{each.path} is restarted too often"


def late_starts(world: World) -> Iterator[str]:
    """Yield what was not started in order, when its supervisor started."""
    last: dict[str, tuple[int, int] | None] = {}
    for each in world.events:
        parent = above(each.path)
        if each.name == "supervisor.started":
            last[each.path] = None
        elif each.name == "actor.starting":
            last[each.path] = (0, -1)
            before = last.get(parent, (0, -1))
            if before is not None:
                if rank(each.path) <= before:
                    yield f"{each.path} was started too late"
                last[parent] = rank(each.path)


def late_stops(world: World) -> Iterator[str]:
    """Yield what was not stopped in reverse order, with its group or its supervisor."""
    last: dict[str, tuple[int, int]] = {}
    dismissed: set[str] = set()
    for each in world.events:
        parent = above(each.path)
        if each.name == "test.dismissed":
            dismissed.add(each.path)
        elif each.name == "actor.starting":
            # Once its supervisor starts anew, it is there again.
            dismissed -= {path for path in dismissed if path.startswith(f"{each.path}/")}
            last.pop(parent, None)
        elif each.name == "actor.stopping" and each.path not in dismissed:
            in_order = world.branches[parent][0].strategy != "dynamic"
            if in_order and rank(each.path) >= last.get(parent, (1, 1000)):
                yield f"{each.path} was stopped too late"
            last[parent] = rank(each.path)


def strays(world: World) -> Iterator[str]:
    """Yield the messages that are not in exactly one place, which is no actor's hand any more."""
    places = Counter[int]()
    for note, place in world.whereabouts():
        places[id(note)] += 1
        if place == "in hand":
            yield f"{note} is in the hand of nobody"
    for note in world.sent:
        if places[id(note)] != 1:
            yield f"{note} is in {places[id(note)]} places"


@pytest.mark.timeout(900)  # CALLBOARD_EXAMPLES may ask for many
@pytest.mark.parametrize("backend", STRIKES)
@examples
@given(root=branches(2), script=steps, cancelled=st.booleans())
def test_whatever_happens_in_a_tree(
    backend: str, root: Branch, script: list[Step], cancelled: bool
) -> None:
    world = World(root, STRIKES[backend])
    took = run(backend, partial(play, world, script, cancelled=cancelled))
    names = {each.name for each in world.events}
    for each in ("actor.restarting", "actor.unkillable", "supervisor.gave_up"):
        event(f"{each}: {each in names}")

    assert not [*world.violations, *strays(world), *excesses(world)]
    assert not [*late_starts(world), *late_stops(world)]
    assert took <= STOP + GRACE + DEAF
    assert not +world.lives
