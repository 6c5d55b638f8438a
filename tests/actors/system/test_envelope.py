"""Questions: their deadlines, and the chains that they make."""

from __future__ import annotations

import asyncio
import gc

import anyio
import pytest

from callboard_actors import (
    ActorContext,
    ActorRef,
    ActorSystem,
    AskTimeout,
    Event,
    ReentrantAsk,
    actor,
)
from callboard_actors.testing import idle, probe

pytestmark = pytest.mark.anyio


@actor
async def sleeper(seconds: float) -> str:
    await anyio.sleep(seconds)
    return "slept"


class Asker:
    """Asks another actor what it is asked itself."""

    def __init__(self, other: ActorRef[float], timeout: float = 30.0) -> None:
        self.other = other
        self.timeout = timeout

    async def receive(self, message: float) -> object:
        return await self.other.ask(message, self.timeout)


async def test_a_question_whose_time_is_up_is_not_handled_any_more() -> None:
    events: list[Event] = []
    async with ActorSystem(notify=events.append) as system:
        slow = await system.spawn(sleeper, "slow")
        slow.tell(10)
        with pytest.raises(AskTimeout):
            await slow.ask(100, timeout=5)
        await anyio.sleep(6)

        assert slow.pending == 0
    expired = [(e.path, e.attributes["message"]) for e in events if e.name == "message.expired"]
    assert expired == [("system/slow", "100")]


async def test_a_question_whose_sender_is_gone_is_not_handled_any_more() -> None:
    events: list[Event] = []
    async with ActorSystem(notify=events.append) as system:
        slow = await system.spawn(sleeper, "slow")
        slow.tell(10)
        with anyio.move_on_after(1):
            await slow.ask(100)
        await anyio.sleep(10)

        assert "message.expired" in [event.name for event in events]


async def test_the_time_to_wait_for_room_counts() -> None:
    async with ActorSystem() as system:
        slow = await system.spawn(sleeper, "slow", capacity=1)
        slow.tell(10)
        await idle()
        slow.tell(10)

        with pytest.raises(AskTimeout):
            await slow.ask(0, timeout=2)
        assert anyio.current_time() < 5


async def test_a_chain_of_questions_has_one_deadline() -> None:
    async with ActorSystem() as system:
        slow = await system.spawn(sleeper, "slow")
        asker = await system.spawn(lambda: Asker(slow), "asker")
        slow.tell(10)

        with pytest.raises(AskTimeout):
            await asker.ask(100, timeout=5)
        await idle()
        # The one in the middle has given up as well, and is free for others.
        assert asker.pending == 0


async def test_a_question_in_the_chain_may_have_an_earlier_deadline() -> None:
    async with ActorSystem() as system:
        slow = await system.spawn(sleeper, "slow")
        asker = await system.spawn(lambda: Asker(slow, timeout=1), "asker")

        with pytest.raises(AskTimeout, match="'slow' did not answer 100 within 1 s"):
            await asker.ask(100, timeout=5)


class Chain:
    """Asks the actor that it is told, with the rest of the names."""

    def __init__(self, context: ActorContext[list[str]]) -> None:
        self.system = context.system

    async def receive(self, names: list[str]) -> object:
        return await self.system.get(names[0]).ask(names[1:]) if names else "end"


@pytest.mark.parametrize(
    ("names", "chain"),
    [
        (["b", "a"], "actor 'a' asks actor 'b' asks actor 'a'"),
        (["a"], "actor 'a' asks actor 'a'"),
        (["b", "c", "b"], "actor 'b' asks actor 'c' asks actor 'b'"),
    ],
)
async def test_who_waits_for_the_sender_cannot_be_asked(names: list[str], chain: str) -> None:
    async with ActorSystem() as system:
        first, *_ = [await system.spawn(Chain, name) for name in "abc"]

        with pytest.raises(ReentrantAsk, match=f"would wait for itself: {chain}; tell"):
            await first.ask(names)
        assert anyio.current_time() < 1


async def test_a_chain_that_began_with_a_told_message_cannot_return_either() -> None:
    async with ActorSystem() as system:
        first, *_ = [await system.spawn(Chain, name) for name in "ab"]
        first.tell(["b", "a"])
        await idle()

        assert "would wait for itself" in system.tree().children[0].last_error


async def test_the_same_actor_may_be_asked_twice_in_a_row() -> None:
    async with ActorSystem() as system:
        slow = await system.spawn(sleeper, "slow")

        async def twice(message: float) -> list[object]:
            return [await slow.ask(message), await slow.ask(message)]

        asker = await system.spawn(actor(twice), "asker")
        assert await asker.ask(1) == ["slept", "slept"]


async def test_a_task_that_an_actor_has_started_may_ask_it() -> None:
    answers: list[object] = []

    class Host:
        def __init__(self, context: ActorContext[str], tasks: anyio.abc.TaskGroup) -> None:
            self.ref = context.ref
            self.tasks = tasks

        async def receive(self, message: str) -> str:
            if message == "begin":
                self.tasks.start_soon(self.ask)
            return message

        async def ask(self) -> None:
            answers.append(await self.ref.ask("from the task"))

    async with anyio.create_task_group() as tasks, ActorSystem() as system:
        host = await system.spawn(lambda context: Host(context, tasks), "host")
        host.tell("begin")
        await idle()

    assert answers == ["from the task"]


async def test_the_answer_to_one_who_is_gone_goes_nowhere() -> None:
    async with ActorSystem() as system:
        answering = await probe(system)
        slow = await system.spawn(sleeper, "slow")
        with pytest.raises(AskTimeout):
            await slow.ask(10, timeout=5)
        await anyio.sleep(10)

        await answering.expect_no_message()
        assert await slow.ask(1) == "slept"


async def test_each_of_many_questions_has_its_own_deadline() -> None:
    times: dict[float, float] = {}

    async def ask(ref: ActorRef[float], seconds: float) -> None:
        with pytest.raises(AskTimeout):
            await ref.ask(1000, seconds)
        times[seconds] = anyio.current_time() - began

    async with ActorSystem() as system:
        refs = [await system.spawn(sleeper, f"sleeper-{n}") for n in range(4)]
        began = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for ref, seconds in zip(refs, [9.0, 2.0, 5.0, 2.5], strict=True):
                tasks.start_soon(ask, ref, seconds)
        for ref in refs:
            ref.stop()

    assert times == {seconds: pytest.approx(seconds) for seconds in (9.0, 2.0, 5.0, 2.5)}


async def test_what_was_answered_is_not_kept_until_its_deadline() -> None:
    async with ActorSystem() as system:
        slow = await system.spawn(sleeper, "slow")
        ref = await system.spawn(sleeper, "ref")
        async with anyio.create_task_group() as tasks:
            # It is the first of all that wait, and keeps nothing of those behind it.
            tasks.start_soon(slow.ask, 20, 25)
            await idle()
            for _ in range(1000):
                await ref.ask(0, 3600)
            gc.collect()
            assert sum(isinstance(each, asyncio.Future) for each in gc.get_objects()) < 200
