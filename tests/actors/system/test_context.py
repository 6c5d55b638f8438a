"""What an actor may ask of its system: the stash, and children."""

from __future__ import annotations

from contextvars import ContextVar

import anyio
import pytest

from callboard_actors import (
    Abandoned,
    ActorContext,
    ActorCrash,
    ActorError,
    ActorSystem,
    MailboxFull,
    Supervision,
    SupervisorStopped,
    UnknownActor,
)
from callboard_actors.testing import crash, idle

pytestmark = pytest.mark.anyio


class Door:
    """Puts everything aside until it is opened."""

    def __init__(self, context: ActorContext[str], passed: list[str]) -> None:
        self.context = context
        self.passed = passed
        self.is_open = False

    async def receive(self, message: str) -> str | None:
        if message == "open":
            self.is_open = True
            self.context.unstash_all()
        elif not self.is_open:
            self.context.stash()
            if message == "bad":
                raise ActorCrash("told to")
            return "not this answer"
        else:
            self.passed.append(message)
        return message


async def test_what_was_stashed_comes_back_first_and_in_order() -> None:
    passed: list[str] = []
    async with ActorSystem() as system:
        door = await system.spawn(lambda context: Door(context, passed), "door")
        for message in ("a", "b", "c", "open", "d"):
            door.tell(message)

    assert passed == ["a", "b", "c", "d"]


async def test_a_stashed_question_is_answered_when_it_has_come_back() -> None:
    async with ActorSystem() as system:
        door = await system.spawn(lambda context: Door(context, []), "door")
        answers: list[object] = []

        async def ask() -> None:
            answers.append(await door.ask("question"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await idle()
            assert answers == []
            door.tell("open")

        assert answers == ["question"]


async def test_what_was_stashed_survives_a_crash() -> None:
    passed: list[str] = []
    async with ActorSystem() as system:
        door = await system.spawn(lambda context: Door(context, passed), "door")
        for message in ("a", "b"):
            door.tell(message)
        await idle()
        crash(door)
        door.tell("open")
        door.tell("c")
        await idle()

    assert passed == ["a", "b", "c"]


async def test_what_was_stashed_comes_back_although_the_actor_is_ending() -> None:
    passed: list[str] = []
    async with ActorSystem() as system:
        door = await system.spawn(lambda context: Door(context, passed), "door")
        for message in ("a", "b", "open"):
            door.tell(message)
        door.stop()
        await door.ended()

    assert passed == ["a", "b"]


async def test_a_message_that_crashes_after_it_was_stashed_is_not_there_twice() -> None:
    passed: list[str] = []
    async with ActorSystem() as system:
        door = await system.spawn(lambda context: Door(context, passed), "door")
        door.tell("a")
        door.tell("bad")
        await anyio.sleep(10)
        door.tell("open")
        await idle()

        assert passed == ["a"]
        assert door.pending == 0


async def test_what_is_still_stashed_at_the_end_is_lost_by_no_one_unawares() -> None:
    async with ActorSystem() as system:
        door = await system.spawn(lambda context: Door(context, []), "door")
        door.tell("a")

        async def ask() -> None:
            with pytest.raises(Abandoned):
                await door.ask("question")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await idle()
            door.stop()

        assert system.dead_letters.count == 1


async def test_a_stash_is_bounded() -> None:
    async with ActorSystem(supervision=Supervision(decide=[])) as system:
        door = await system.spawn(lambda context: Door(context, []), "door", capacity=2)
        for message in ("a", "b"):
            door.tell(message)

        with pytest.raises(MailboxFull, match="has stashed 2 messages"):
            await door.ask("c")


async def test_only_a_message_that_is_being_received_can_be_stashed() -> None:
    class Early(Door):
        async def on_start(self) -> None:
            self.context.stash()

    async with ActorSystem() as system:
        with pytest.raises(ActorError, match="receives no message"):
            await system.spawn(lambda context: Early(context, []), "early")


class Parent:
    """Has one child, and passes on what it is asked."""

    def __init__(self, context: ActorContext[str]) -> None:
        self.context = context

    async def on_start(self) -> None:
        self.child = await self.context.spawn(lambda context: Door(context, []), "child")
        self.child.tell("open")

    async def receive(self, message: str) -> object:
        return await self.child.ask(message)


async def test_a_child_lives_below_its_parent() -> None:
    async with ActorSystem() as system:
        parent = await system.spawn(Parent, "parent")

        assert await parent.ask("hello") == "hello"
        assert system.get("parent/child").name == "child"
        assert [node.id for node in system.tree().children[0].children] == ["child"]


async def test_a_child_ends_with_its_parent_after_handling_what_it_has() -> None:
    passed: list[str] = []

    async with ActorSystem() as system:
        parent = await system.spawn(Parent, "parent")
        child = await system.spawn(lambda context: Door(context, passed), "other", parent=parent)
        child.tell("open")
        child.tell("a")
        parent.stop()
        await child.ended()

        assert passed == ["a"]
        with pytest.raises(UnknownActor, match="nobody lives at 'parent/other'"):
            system.get("parent/other")


async def test_a_parent_that_crashes_begins_anew_with_new_children() -> None:
    async with ActorSystem() as system:
        parent = await system.spawn(Parent, "parent")
        former = system.get("parent/child")
        crash(parent)
        await idle()

        assert await parent.ask("hello") == "hello"
        assert former.termination.reason is not None
        assert system.get("parent/child") is not former


async def test_a_child_that_crashes_too_often_crashes_its_parent() -> None:
    async with ActorSystem(supervision=Supervision(intensity=1)) as system:
        await system.spawn(Parent, "parent")
        for _ in range(2):
            crash(system.get("parent/child"))
            await idle()

        assert system.tree().children[0].restarts == 1
        assert system.tree().children[0].last_exit == "gave_up"


async def test_a_child_does_not_inherit_the_context_of_a_message() -> None:
    span: ContextVar[str] = ContextVar("span", default="none")
    seen: list[str] = []

    class Spawning:
        def __init__(self, context: ActorContext[str]) -> None:
            self.context = context

        async def receive(self, name: str) -> None:
            span.set("of the message")
            await self.context.spawn(Child, name)

    class Child:
        def __init__(self) -> None:
            seen.append(span.get())

        async def receive(self, message: str) -> None: ...

    async with ActorSystem() as system:
        spawning = await system.spawn(Spawning, "spawning")
        await spawning.ask("one")
        await spawning.ask("other")

    assert seen == ["none", "none"]


async def test_nothing_starts_below_an_actor_that_has_ended() -> None:
    async with ActorSystem() as system:
        parent = await system.spawn(Parent, "parent")
        parent.stop()
        await parent.ended()

        with pytest.raises(SupervisorStopped, match="'parent' does not live"):
            await system.spawn(Parent, "child", parent=parent)
