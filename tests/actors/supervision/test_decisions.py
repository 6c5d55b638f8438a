"""What is done about an exception: resume, restart, stop or escalate."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import anyio
import pytest
from anyio import wait_all_tasks_blocked as idle
from hypothesis import given
from hypothesis import strategies as st

from callboard_actors import (
    ActorCrash,
    Child,
    ChildSpec,
    Decision,
    Escalate,
    Event,
    ForeignCancellation,
    GaveUp,
    Mailbox,
    Rule,
    SpecError,
    StartTimeout,
    StopActor,
    Supervision,
    Supervisor,
    concerns_actor,
    decision,
    lifecycle,
    serve,
)

from ..foreign import on_asyncio
from .parts import Part, crash, node, parts, running

pytestmark = pytest.mark.anyio

RESUME, RESTART, STOP, ESCALATE = Decision
NOTHING: Sequence[Rule] = ()


def is_quota(error: Exception) -> bool:
    return "quota" in str(error)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (StopActor(), STOP),
        (Escalate(), ESCALATE),
        (ActorCrash(), RESTART),
        (ForeignCancellation(), RESTART),
        (GaveUp(), RESTART),
        (ValueError(), RESTART),
        (KeyboardInterrupt(), RESTART),
    ],
)
def test_without_rules_only_those_made_for_it_do_not_restart(
    error: BaseException, expected: Decision
) -> None:
    assert decision(error) is expected


def test_the_first_rule_that_fits_decides_by_type_or_predicate() -> None:
    rules: Sequence[Rule] = [(KeyError, STOP), (is_quota, ESCALATE), (LookupError, RESUME)]

    assert decision(KeyError("quota"), rules) is STOP
    assert decision(IndexError("quota"), rules) is ESCALATE
    assert decision(IndexError(), rules) is RESUME
    assert decision(OSError(), rules) is RESTART


@pytest.mark.parametrize("error", [ActorCrash(), StopActor(), Escalate(), ForeignCancellation()])
def test_the_users_rules_come_before_the_built_in_ones(error: Exception) -> None:
    assert decision(error, [(Exception, RESUME)]) is RESUME


def test_a_group_is_decided_by_its_gravest_part() -> None:
    rules: Sequence[Rule] = [(ValueError, RESUME)]
    mild = ExceptionGroup("mild", [ValueError(), ValueError()])
    grave = ExceptionGroup("grave", [mild, StopActor(), OSError()])

    assert decision(mild, rules) is RESUME
    assert decision(grave, rules) is STOP
    assert decision(ExceptionGroup("unknown", [OSError()]), rules) is RESTART
    assert decision(grave, [(ExceptionGroup, ESCALATE)]) is ESCALATE


@given(st.lists(st.sampled_from(Decision), min_size=1, max_size=5))
def test_the_order_of_a_groups_parts_does_not_matter(said: list[Decision]) -> None:
    def says(each: Decision) -> Callable[[Exception], bool]:
        return lambda error: str(error) == each.value

    rules: list[Rule] = [(says(each), each) for each in Decision]
    group = ExceptionGroup("all", [ValueError(each.value) for each in said])
    backwards = ExceptionGroup("all", [ValueError(each.value) for each in reversed(said)])

    assert decision(group, rules) is decision(backwards, rules)
    assert decision(group, rules) is max(said, key=[*Decision].index)


@pytest.mark.parametrize(
    ("error", "rules", "expected"),
    [
        (ValueError(), NOTHING, False),
        (ActorCrash(), NOTHING, True),
        (StopActor(), NOTHING, True),
        (Escalate(), NOTHING, True),
        (ForeignCancellation(), NOTHING, True),
        (ActorCrash(), [(ActorCrash, RESUME)], False),
        (ValueError(), [(ValueError, RESTART)], True),
        (ValueError(), [(ValueError, STOP)], True),
        (ExceptionGroup("", [ValueError()]), [(ValueError, ESCALATE)], True),
    ],
)
def test_a_failure_of_a_message_concerns_the_actor_only_if_somebody_says_so(
    error: Exception, rules: Sequence[Rule], expected: bool
) -> None:
    assert concerns_actor(error, rules) is expected


@pytest.mark.parametrize("wrong", [(ValueError, "stop"), (ValueError,), ValueError, (3, STOP)])
def test_what_is_no_rule_is_refused_where_it_is_given(wrong: object) -> None:
    rules: list[Rule] = [wrong]  # type: ignore[list-item]  # pyright: ignore[reportAssignmentType] - wrong on purpose

    with pytest.raises(SpecError, match="decide= has"):
        Supervision(decide=rules)
    with pytest.raises(SpecError, match="decide= has"):
        ChildSpec("a", Part("a", []).run, decide=rules)


async def test_a_child_that_is_to_stop_is_not_restarted_and_the_others_go_on() -> None:
    log: list[str] = []
    first, second, _ = parts(log)
    specs = [replace(first.spec(), decide=[(RuntimeError, STOP)]), second.spec()]
    async with running(supervisor := Supervisor(specs, "one_for_all")):
        await crash(first)
        assert [child.state for child in supervisor.tree().children] == ["stopped", "running"]
        assert node(supervisor, "a").last_exit == "failed"

    assert log == ["+a", "+b", "-b"]


async def test_an_actor_that_stops_itself_ends_normally() -> None:
    events: list[Event] = []
    part = Part("a", [])
    part.error = StopActor("done")
    async with running(supervisor := Supervisor([part.spec()], notify=events.append)):
        await crash(part)
        assert node(supervisor, "a").last_exit == "normal"

    assert [event.name for event in events[-1:]] == ["actor.stopped"]
    assert events[-1].attributes["decision"] == "stop"


async def test_an_escalation_ends_the_supervisor_at_once_with_the_cause() -> None:
    events: list[Event] = []
    log: list[str] = []
    first, second, _ = parts(log)
    second.error = Escalate("the disk is full")
    supervisor = Supervisor([first.spec(), second.spec()], notify=events.append, name="top")

    async def run() -> None:
        with pytest.raises(GaveUp, match="'top' gave up on 'b': it escalates") as info:
            await supervisor.run()
        assert info.value.__cause__ is second.error

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await idle()
        await crash(second)

    assert log == ["+a", "+b", "-a"]
    assert "supervisor.gave_up" in [event.name for event in events]
    assert "supervisor.intensity_exceeded" not in [event.name for event in events]


async def test_the_supervisor_above_decides_what_an_escalation_means_to_it() -> None:
    log: list[str] = []
    part = Part("a", log)
    part.error = Escalate()
    inner = Supervisor([part.spec("temporary")])
    rules: list[Rule] = [(lambda error: isinstance(error.__cause__, Escalate), STOP)]
    outer = Supervisor([ChildSpec("inner", inner.run, decide=rules)])
    async with running(outer):
        await crash(part)
        assert (node(outer, "inner").state, node(outer, "inner").last_exit) == (
            "stopped",
            "gave_up",
        )


async def test_nothing_is_left_to_resume_when_a_child_has_ended() -> None:
    log: list[str] = []
    part = Part("a", log)
    spec = replace(part.spec(), decide=[(RuntimeError, RESUME)])
    async with running(Supervisor([spec])):
        await crash(part)
        assert log == ["+a", "+a"]


async def test_a_crash_is_reported_with_its_type_and_what_follows() -> None:
    events: list[Event] = []
    children = parts([])
    specs = [part.spec() for part in children[:1]] + [children[1].spec("temporary")]
    async with running(Supervisor(specs, notify=events.append)):
        await crash(children[0])
        await crash(children[1])

    told = [event.attributes for event in events if event.name == "actor.crashed"]
    assert [(each["reason"], each["exc_type"], each["decision"]) for each in told] == [
        ("failed", "RuntimeError", "restart"),
        ("failed", "RuntimeError", "stop"),
    ]


async def test_that_there_were_too_many_restarts_is_reported_before_giving_up() -> None:
    events: list[Event] = []
    part = Part("a", [])
    supervisor = Supervisor([part.spec()], intensity=0, period=7, notify=events.append)

    async def run() -> None:
        with pytest.raises(GaveUp):
            await supervisor.run()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await idle()
        await crash(part)

    exceeded, gave_up = [event for event in events if event.name.startswith("supervisor.")][1:]
    assert (exceeded.name, dict(exceeded.attributes)) == (
        "supervisor.intensity_exceeded",
        {"child": "a", "intensity": 0, "period": 7},
    )
    assert gave_up.name == "supervisor.gave_up"


async def test_a_first_start_that_fails_may_be_done_without() -> None:
    log: list[str] = []
    first, second, third = parts(log)
    second.failing_starts = 1
    specs = [first.spec(), replace(second.spec(), decide=[(RuntimeError, STOP)]), third.spec()]
    async with running(supervisor := Supervisor(specs)):
        assert node(supervisor, "b").state == "stopped"

    assert log == ["+a", "+c", "-c", "-a"]


async def test_a_restart_that_fails_may_be_done_without() -> None:
    log: list[str] = []
    first, second, third = parts(log)
    specs = [first.spec(), replace(second.spec(), decide=[(is_quota, STOP)]), third.spec()]
    async with running(supervisor := Supervisor(specs, "one_for_all")):
        log.clear()
        second.failing_starts, second.error = 1, RuntimeError("quota")
        await crash(first)
        assert log == ["-c", "-b", "+a", "+c"]
        assert node(supervisor, "b").state == "stopped"


async def test_a_restart_that_fails_may_escalate() -> None:
    part = Part("a", [])
    part.error = None
    rules: list[Rule] = [(lambda error: "cannot start" in str(error), ESCALATE)]
    inner = Supervisor([replace(part.spec(), decide=rules)])
    async with running(outer := Supervisor([ChildSpec("inner", inner.run)])):
        part.failing_starts = 1
        await crash(part)
        assert node(outer, "inner").last_exit == "gave_up"


async def test_a_start_that_takes_too_long_is_decided_upon_like_an_exception() -> None:
    async def never(child: Child) -> None:
        await anyio.sleep_forever()

    spec = ChildSpec("never", never, start_timeout=4, decide=[(StartTimeout, STOP)])
    async with running(supervisor := Supervisor([spec, Part("a", []).spec()])):
        await anyio.sleep(5)
        assert [child.state for child in supervisor.tree().children] == ["stopped", "running"]


class Hooked:
    def __init__(self, error: Exception) -> None:
        self.error = error

    async def on_start(self) -> None:
        raise self.error


@pytest.mark.parametrize(("rule", "state"), [(STOP, "stopped"), (RESTART, "restarting")])
async def test_an_exception_of_a_lifecycle_hook_is_decided_upon(rule: Decision, state: str) -> None:
    lives: list[object] = [object(), Hooked(OSError()), Hooked(OSError())]
    broken = anyio.Event()

    async def run(child: Child) -> None:
        async with lifecycle(lives.pop(0), child):
            await broken.wait()
            raise ActorCrash

    spec = ChildSpec("hooked", run, decide=[(OSError, rule)])
    async with running(supervisor := Supervisor([spec])):
        broken.set()
        await idle()
        assert node(supervisor, "hooked").state == state


def failing(error: Exception, received: list[int]) -> Callable[[int], Awaitable[None]]:
    """Return a `receive` that fails on 2."""

    async def receive(item: int) -> None:
        received.append(item)
        if item == 2:
            raise error

    return receive


def closed(items: list[int], events: list[Event] | None = None) -> Mailbox[int]:
    mailbox = Mailbox[int](notify=events.append if events is not None else None)
    mailbox.put_many(items)
    mailbox.close()
    return mailbox


async def test_an_actor_that_resumes_goes_on_with_the_next_message() -> None:
    received, failures = list[int](), list[tuple[int, str]]()

    async def failed(item: int, error: Exception) -> None:
        failures.append((item, repr(error)))

    reader = closed([1, 2, 3]).reader()
    rules: list[Rule] = [(ValueError, RESUME)]
    await serve(failing(ValueError("bad"), received), reader, decide=rules, failed=failed)

    assert received == [1, 2, 3]
    assert failures == [(2, "ValueError('bad')")]


async def test_a_failed_message_that_nobody_takes_is_dropped_with_an_event() -> None:
    events: list[Event] = []
    mailbox = closed([1, 2, 3], events)
    received: list[int] = []
    receive = failing(ValueError(), received)
    await serve(receive, mailbox.reader(), decide=[(ValueError, RESUME)])

    assert received == [1, 2, 3]
    assert [event.name for event in events] == ["message.dropped"]


async def test_a_message_whose_failure_fails_crashes_the_actor_and_returns() -> None:
    mailbox = closed([1, 2, 3])

    async def failed(item: int, error: Exception) -> None:
        raise ValueError("no dead letters today")

    receive = failing(ValueError(), [])
    with pytest.raises(ValueError, match="no dead letters"):
        await serve(receive, mailbox.reader(), decide=[(ValueError, RESUME)], failed=failed)
    assert mailbox.drain() == [2, 3]


async def test_a_message_is_not_blamed_for_the_stop_of_its_actor() -> None:
    mailbox, received = closed([2, 3]), list[int]()
    for _ in range(3):
        with pytest.raises(StopActor):
            await serve(failing(StopActor(), received), mailbox.reader())

    assert received == [2, 2, 2]
    assert mailbox.drain() == [2, 3]


async def test_a_poisonous_message_whose_quarantine_fails_is_not_resumed() -> None:
    mailbox = closed([2])

    async def quarantine(item: int, reason: str) -> None:
        raise OSError("no dead letters today")

    receive, rules = failing(ActorCrash(), []), list[Rule]([(OSError, RESUME)])
    for expected in (ActorCrash, ActorCrash, OSError):
        with pytest.raises(expected):
            await serve(receive, mailbox.reader(), quarantine=quarantine, decide=rules)
    assert mailbox.drain() == [2]


@on_asyncio
async def test_an_actor_may_resume_after_a_foreign_cancellation() -> None:
    received: list[int] = []

    async def receive(item: int) -> None:
        received.append(item)
        future = asyncio.get_running_loop().create_future()
        if item == 2:
            future.cancel()
            await future

    await serve(receive, closed([1, 2, 3]).reader(), decide=[(ForeignCancellation, RESUME)])

    assert received == [1, 2, 3]
