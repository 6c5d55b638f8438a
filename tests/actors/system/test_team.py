from __future__ import annotations

import anyio
import pytest

from callboard_actors import ActorSystem, MailboxClosed, SpecError, Supervision, Terminated, actor
from callboard_actors.testing import crash, idle, probe

pytestmark = pytest.mark.anyio


class Counter:
    def __init__(self) -> None:
        self.count = 0

    async def receive(self, message: float) -> int:
        await anyio.sleep(message)
        self.count += 1
        return self.count


async def test_actors_of_a_team_have_paths_below_it() -> None:
    async with ActorSystem() as system:
        team = await system.supervise("team")
        inner = await system.supervise("inner", parent=team)
        await system.spawn(Counter, "counter", parent=inner)

        assert await system.get("team/inner/counter").ask(0) == 1
        (node,) = system.tree().children
        assert (node.id, node.children[0].children[0].id) == ("team", "counter")


async def test_a_team_restarts_its_actors_by_its_strategy() -> None:
    async with ActorSystem() as system:
        team = await system.supervise("team", "one_for_all")
        one, other = [await system.spawn(Counter, name, parent=team) for name in ("one", "other")]
        await other.ask(0)
        crash(one)
        await idle()

        assert await other.ask(0) == 1


async def test_an_actor_that_is_restarted_with_its_group_finishes_its_message_and_keeps_the_rest() -> (
    None
):
    handled: list[int] = []

    @actor
    async def slow(message: int) -> None:
        await anyio.sleep(1)
        handled.append(message)

    async with ActorSystem() as system:
        team = await system.supervise("team", "one_for_all")
        one = await system.spawn(Counter, "one", parent=team)
        other = await system.spawn(slow, "other", parent=team)
        for n in range(3):
            other.tell(n)
        await idle()
        crash(one)
        await anyio.sleep(1.5)
        assert handled == [0]
        await anyio.sleep(2)

    assert handled == [0, 1, 2]


async def test_a_stopped_team_lets_its_actors_finish() -> None:
    async with ActorSystem() as system:
        team = await system.supervise("team")
        counter = await system.spawn(Counter, "counter", parent=team)
        watcher = await probe(system)
        watcher.watch(counter)
        counter.tell(1)
        counter.tell(1)
        await idle()
        team.stop()

        assert (await watcher.expect(Terminated)).reason.kind == "shutdown"
        assert system.dead_letters.count == 0
        with pytest.raises(MailboxClosed):
            await counter.ask(0)


async def test_a_team_that_gives_up_is_started_anew_without_its_actors() -> None:
    async with ActorSystem() as system:
        team = await system.supervise("team", supervision=Supervision(intensity=0))
        counter = await system.spawn(Counter, "counter", parent=team)
        counter.tell(0)
        crash(counter)
        await idle()

        assert counter.termination.reason is not None
        assert await (await system.spawn(Counter, "counter", parent=team)).ask(0) == 1


async def test_a_team_has_a_name_of_its_own() -> None:
    async with ActorSystem() as system:
        await system.supervise("team")

        with pytest.raises(SpecError, match="choose another"):
            await system.spawn(Counter, "team")
