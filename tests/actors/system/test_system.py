from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import anyio
import pytest

from callboard_actors import (
    Abandoned,
    ActorContext,
    ActorCrash,
    ActorSystem,
    AskTimeout,
    Decision,
    Event,
    ExitReason,
    ForeignCancellation,
    GaveUp,
    MailboxClosed,
    MailboxFull,
    SpecError,
    Supervision,
    SupervisorStopped,
    UnknownActor,
)
from callboard_actors.testing import idle

from ..foreign import await_a_cancelled_future, be_cancelled_natively, on_asyncio

pytestmark = pytest.mark.anyio


class Counter:
    """Counts what it is told; knows three words."""

    def __init__(self) -> None:
        self.count = 0

    async def receive(self, message: str) -> int:
        if message == "crash":
            raise ActorCrash("told to")
        if message == "fail":
            raise ValueError("no such word")
        if message == "hang":
            await anyio.sleep_forever()
        self.count += 1
        return self.count


async def test_a_told_message_is_handled_before_a_later_question() -> None:
    async with ActorSystem() as system:
        counter = await system.spawn(Counter, "counter")
        counter.tell("one")

        assert await counter.ask("two") == 2


async def test_an_error_goes_to_the_one_who_asked_and_the_actor_keeps_its_state() -> None:
    async with ActorSystem() as system:
        counter = await system.spawn(Counter, "counter")
        counter.tell("one")

        with pytest.raises(ValueError, match="no such word"):
            await counter.ask("fail")
        assert await counter.ask("two") == 2


async def test_an_actor_that_crashes_is_made_anew_and_keeps_its_mailbox() -> None:
    async with ActorSystem() as system:
        counter = await system.spawn(Counter, "counter")
        for message in ("one", "crash", "two"):
            counter.tell(message)

        assert await counter.ask("three") == 2
        assert system.tree().children[0].restarts == 2


async def test_an_error_that_nobody_waits_for_is_a_crash() -> None:
    async with ActorSystem() as system:
        counter = await system.spawn(Counter, "counter")
        counter.tell("fail")
        await idle()

        assert "no such word" in system.tree().children[0].last_error


async def test_a_question_on_which_an_actor_crashed_twice_is_abandoned() -> None:
    events: list[Event] = []
    async with ActorSystem(notify=events.append) as system:
        counter = await system.spawn(Counter, "counter")

        with pytest.raises(Abandoned, match="crashed twice"):
            await counter.ask("crash")
    quarantined = [event.path for event in events if event.name == "message.quarantined"]
    assert quarantined == ["system/counter"]


async def test_a_question_without_an_answer_times_out() -> None:
    async with ActorSystem() as system:
        counter = await system.spawn(Counter, "counter")

        with pytest.raises(AskTimeout, match="'counter' did not answer 'hang' within 5 s"):
            await counter.ask("hang", timeout=5)


async def test_a_stopped_actor_handles_what_it_has_and_takes_no_more() -> None:
    async with ActorSystem() as system:
        counter = await system.spawn(Counter, "counter")
        counter.tell("one")
        answers: list[object] = []

        async def ask() -> None:
            answers.append(await counter.ask("two"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await idle()
            counter.stop()
        assert answers == [2]
        with pytest.raises(MailboxClosed):
            await counter.ask("three")
        await idle()
        assert system.tree().children == ()


async def test_the_end_of_the_block_lets_actors_finish() -> None:
    handled: list[int] = []

    class Slow:
        async def receive(self, message: int) -> None:
            await anyio.sleep(1)
            handled.append(message)

    async with ActorSystem() as system:
        slow = await system.spawn(Slow, "slow")
        for n in range(5):
            slow.tell(n)

    assert handled == [0, 1, 2, 3, 4]


async def test_questions_that_an_actor_did_not_get_to_are_abandoned() -> None:
    outcomes: list[str] = []

    async with anyio.create_task_group() as tasks, ActorSystem() as system:
        counter = await system.spawn(Counter, "counter")

        async def question(message: str) -> None:
            with pytest.raises(Abandoned):
                await counter.ask(message, timeout=1000)
            outcomes.append(message)

        tasks.start_soon(question, "hang")
        await idle()
        tasks.start_soon(question, "one")
        await idle()

    assert sorted(outcomes) == ["hang", "one"]


async def test_too_many_crashes_end_the_block_with_their_cause() -> None:
    async def run() -> None:
        async with ActorSystem(supervision=Supervision(intensity=1)) as system:
            counter = await system.spawn(Counter, "counter")
            counter.tell("crash")
            await anyio.sleep_forever()

    with pytest.raises(GaveUp) as info:
        await run()

    assert isinstance(info.value.__cause__, ActorCrash)


async def test_an_error_in_the_block_comes_out_as_itself() -> None:
    async def run() -> None:
        async with ActorSystem() as system:
            await system.spawn(Counter, "counter")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run()


async def test_the_block_can_be_cancelled() -> None:
    with anyio.move_on_after(2) as scope:
        async with ActorSystem() as system:
            await system.spawn(Counter, "counter")
            await anyio.sleep_forever()

    assert scope.cancelled_caught


async def test_a_name_belongs_to_one_living_actor() -> None:
    async with ActorSystem() as system:
        counter = await system.spawn(Counter, "counter")

        with pytest.raises(SpecError, match="choose another"):
            await system.spawn(Counter, "counter")
        counter.stop()
        await idle()
        assert await (await system.spawn(Counter, "counter")).ask("one") == 1


async def test_an_actor_that_cannot_be_made_raises_where_it_was_spawned() -> None:
    def broken() -> Counter:
        raise OSError("no database")

    async with ActorSystem() as system:
        with pytest.raises(OSError, match="no database"):
            await system.spawn(broken, "broken")


async def test_an_actor_may_spawn_others_when_it_starts() -> None:
    async with ActorSystem() as system:

        class Parent(Counter):
            async def on_start(self) -> None:
                await system.spawn(Counter, "kid")

        await system.spawn(Parent, "parent")
        assert [child.id for child in system.tree().children] == ["parent", "kid"]


async def test_a_full_mailbox_is_told_to_the_one_who_cannot_wait() -> None:
    async with ActorSystem() as system:
        counter = await system.spawn(Counter, "counter", capacity=1)
        counter.tell("one")

        with pytest.raises(MailboxFull):
            counter.tell("two")


async def test_nothing_is_spawned_outside_of_the_block() -> None:
    system = ActorSystem()

    with pytest.raises(SupervisorStopped):
        await system.spawn(Counter, "counter")


@pytest.mark.parametrize("name", ["", "a/b"])
async def test_a_name_is_one_part_of_a_path(name: str) -> None:
    async with ActorSystem() as system:
        with pytest.raises(SpecError, match="without a slash"):
            await system.spawn(Counter, name)


async def test_nobody_is_found_where_nobody_lives() -> None:
    async with ActorSystem() as system:
        counter = await system.spawn(Counter, "counter")
        assert system.get("counter") is counter

        counter.stop()
        await counter.ended()
        with pytest.raises(UnknownActor, match="nobody lives at 'counter'"):
            system.get("counter")


async def test_what_a_rule_resumes_fails_one_message_and_no_actor() -> None:
    events: list[Event] = []
    rules = [(ValueError, Decision.RESUME)]
    async with ActorSystem(supervision=Supervision(decide=rules), notify=events.append) as system:
        counter = await system.spawn(Counter, "counter")
        for message in ("one", "fail", "two"):
            counter.tell(message)

        assert await counter.ask("three") == 3
    assert [e.path for e in events if e.name == "message.exception"] == ["system/counter"]


async def test_what_a_rule_restarts_for_is_no_answer_to_a_question() -> None:
    rules = [(ValueError, Decision.RESTART)]
    async with ActorSystem(supervision=Supervision(decide=rules)) as system:
        counter = await system.spawn(Counter, "counter")
        await counter.ask("one")

        with pytest.raises(Abandoned, match="no such word"):
            await counter.ask("fail")
        assert await counter.ask("two") == 1


@on_asyncio
@pytest.mark.parametrize("cancelled", [await_a_cancelled_future, be_cancelled_natively])
async def test_a_foreign_cancellation_restarts_one_actor_and_spares_the_others(
    cancelled: Callable[[], Awaitable[None]],
) -> None:
    class Client(Counter):
        async def receive(self, message: str) -> int:
            if message == "cancelled":
                await cancelled()
            return await super().receive(message)

    async with ActorSystem() as system:
        client = await system.spawn(Client, "client")
        sibling = await system.spawn(Counter, "sibling")
        child = await system.spawn(Counter, "child", parent=sibling)
        await child.ask("one")
        client.tell("cancelled")
        await anyio.sleep(1)

        assert await child.ask("two") == 2
        assert [node.restarts for node in system.tree().children] == [2, 0]
        assert system.tree().children[0].last_exit == "foreign_cancel"


async def test_on_stop_runs_on_a_restart_and_at_the_end() -> None:
    reasons: list[str] = []

    class Leaving(Counter):
        async def on_stop(self, reason: ExitReason) -> None:
            reasons.append(reason.kind)

    async with ActorSystem() as system:
        leaving = await system.spawn(Leaving, "leaving")
        leaving.tell("crash")
        await anyio.sleep(1)

    assert reasons == ["failed", "failed", "shutdown"]


@on_asyncio
async def test_the_end_of_its_supervisor_by_a_foreign_hand_is_no_cancellation_of_the_block() -> (
    None
):
    async def live() -> None:
        async with ActorSystem() as system:
            await system.spawn(Counter, "counter")
            (supervisor,) = (task for task in asyncio.all_tasks() if task.get_name() == "system")
            supervisor.cancel()
            await anyio.sleep_forever()

    with pytest.raises(ForeignCancellation, match="system was cancelled"):
        await live()


@on_asyncio
async def test_an_actor_whose_timer_is_cancelled_by_a_foreign_hand_is_restarted() -> None:
    received: list[str] = []

    class Ticking:
        def __init__(self, context: ActorContext[str]) -> None:
            context.timers.start("tick", "tick", 100)

        async def receive(self, message: str) -> None:
            await anyio.sleep(1)
            received.append(message)

    async with ActorSystem() as system:
        before = asyncio.all_tasks()
        ref = await system.spawn(Ticking, "ticking")
        ref.tell("one")
        await idle()
        (timer,) = (each for each in asyncio.all_tasks() - before if "_tick" in each.get_name())
        timer.cancel()
        await anyio.sleep(5)
        ref.tell("two")

    assert received == ["one", "two"]


async def test_the_tree_tells_what_an_actor_is_at_and_what_waits_for_it() -> None:
    gate = anyio.Event()

    class Clerk:
        async def receive(self, message: str) -> None:
            await gate.wait()

    async with ActorSystem() as system:
        ref = await system.spawn(Clerk, name="clerk")
        for message in ("first", "second", "third"):
            ref.tell(message)
        await anyio.sleep(2)
        (node,) = system.tree().children
        gate.set()

    assert (node.details["queued"], node.details["in_flight"]) == (2, 1)
    assert node.details["message"] == "'first'"
    assert node.details["oldest_age"] == pytest.approx(2)
