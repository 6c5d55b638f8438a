"""What becomes of an actor: its end, and who is told."""

from __future__ import annotations

import anyio
import pytest

from callboard_actors import (
    ActorContext,
    ActorRef,
    ActorSystem,
    StopActor,
    Supervision,
    Terminated,
    actor,
)
from callboard_actors.testing import crash, idle, probe

pytestmark = pytest.mark.anyio


@actor
async def listener(message: str) -> None:
    if message == "stop":
        raise StopActor("told to")
    if message == "hang":
        await anyio.sleep_forever()


async def test_who_watches_an_actor_is_told_of_its_end() -> None:
    async with ActorSystem() as system:
        watcher, watched = await probe(system), await system.spawn(listener, "listener")
        watcher.watch(watched)
        watched.stop()

        notice = await watcher.expect(Terminated)
        assert (notice.ref, notice.reason.kind) == (watched, "normal")


async def test_a_restart_is_no_end() -> None:
    async with ActorSystem() as system:
        watcher, watched = await probe(system), await system.spawn(listener, "listener")
        watcher.watch(watched)
        crash(watched)

        await watcher.expect_no_message()


async def test_an_exception_that_stops_an_actor_is_its_end() -> None:
    async with ActorSystem() as system:
        watcher, watched = await probe(system), await system.spawn(listener, "listener")
        watcher.watch(watched)
        watched.tell("stop")

        assert (await watcher.expect(Terminated)).ref is watched
        assert system.tree().children[-1].id == "probe"


async def test_who_watches_the_dead_is_told_at_once() -> None:
    async with ActorSystem() as system:
        watcher, watched = await probe(system), await system.spawn(listener, "listener")
        watched.stop()
        await watched.ended()
        watcher.watch(watched)

        await watcher.expect(Terminated, within=0.1)


async def test_the_end_of_a_team_is_the_end_of_its_actors() -> None:
    async with ActorSystem() as system:
        team = await system.supervise("team", supervision=Supervision(intensity=0))
        watcher = await probe(system)
        watched = await system.spawn(listener, "listener", parent=team)
        watcher.watch(watched)
        crash(watched)

        assert (await watcher.expect(Terminated)).ref is watched
        await idle()
        assert system.tree().children[0].restarts == 1


class Widow:
    """Watches, as it is told, and counts the dead."""

    def __init__(self, context: ActorContext[ActorRef[str] | Terminated | int]) -> None:
        self.context = context
        self.notices = 0

    async def receive(self, message: ActorRef[str] | Terminated | int) -> int:
        if isinstance(message, ActorRef):
            self.context.watch(message)
        elif isinstance(message, Terminated):
            self.notices += 1
        return self.notices


async def test_no_notice_arrives_after_unwatch_not_even_one_already_sent() -> None:
    class Fickle(Widow):
        async def receive(self, message: ActorRef[str] | Terminated | int) -> int:
            if isinstance(message, ActorRef):
                self.context.watch(message)
                await anyio.sleep(10)  # the notice is in the mailbox meanwhile
                self.context.unwatch(message)
            return await super().receive(0 if isinstance(message, ActorRef) else message)

    async with ActorSystem() as system:
        watched = await system.spawn(listener, "listener")
        fickle = await system.spawn(Fickle, "fickle")
        fickle.tell(watched)
        await idle()
        watched.stop()

        assert await fickle.ask(0) == 0


async def test_a_watch_ends_with_the_life_that_asked_for_it() -> None:
    async with ActorSystem() as system:
        watched = await system.spawn(listener, "listener")
        widow = await system.spawn(Widow, "widow")
        widow.tell(watched)
        await idle()
        crash(widow)
        await idle()
        watched.stop()
        await watched.ended()

        assert await widow.ask(0) == 0


async def test_ended_waits_until_the_actor_has_handled_what_it_has() -> None:
    async with ActorSystem() as system:

        @actor
        async def slow(seconds: float) -> None:
            await anyio.sleep(seconds)

        ref = await system.spawn(slow, "slow")
        ref.tell(5)
        ref.stop()

        assert (await ref.ended()).kind == "normal"
        assert anyio.current_time() >= 5


async def test_actors_may_watch_each_other() -> None:
    async with ActorSystem() as system:
        one, other = await probe(system, "one"), await probe(system, "other")
        one.watch(other.ref)
        other.watch(one.ref)
        one.ref.stop()

        await other.expect(Terminated)
        await one.expect_no_message()
