"""Dead letters."""

from __future__ import annotations

import logging

import anyio
import pytest

from callboard_actors import ActorSystem, Event, StopActor, actor

pytestmark = pytest.mark.anyio


@actor
async def listener(message: object) -> None:
    if message == "stop":
        raise StopActor("told to")


async def test_a_message_to_an_actor_that_has_ended_is_a_dead_letter() -> None:
    events: list[Event] = []
    async with ActorSystem(notify=events.append) as system:
        ref = await system.spawn(listener, "listener")
        ref.stop()
        ref.tell("hello")

        assert system.dead_letters.count == 1
    letters = [(e.path, e.attributes) for e in events if e.name == "deadletter"]
    assert letters == [("system/listener", {"message": "'hello'"})]


async def test_what_an_actor_had_not_read_when_it_ended_is_dead_letters() -> None:
    events: list[Event] = []
    async with ActorSystem(notify=events.append) as system:
        ref = await system.spawn(listener, "listener")
        for message in ("stop", "one", "two"):
            ref.tell(message)
        await ref.ended()

    letters = [e.attributes["message"] for e in events if e.name == "deadletter"]
    assert letters == ["'stop'", "'one'", "'two'"]


async def test_what_a_cancelled_block_leaves_behind_is_dead_letters() -> None:
    @actor
    async def hanging(message: object) -> None:
        await anyio.sleep_forever()

    system = ActorSystem()
    with anyio.move_on_after(1):
        async with system:
            ref = await system.spawn(hanging, "hanging")
            ref.tell(1)
            ref.tell(2)
            await anyio.sleep_forever()

    assert system.dead_letters.count == 2


async def test_a_storm_of_dead_letters_is_logged_in_moderation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "callboard_actors")
    async with ActorSystem() as system:
        ref = await system.spawn(listener, "listener")
        ref.stop()
        for n in range(100):
            ref.tell(n)
        assert len(caplog.messages) == 10
        await anyio.sleep(61)
        ref.tell("later")

    assert caplog.messages[0] == "dead letter to system/listener, which takes no more: 0"
    assert caplog.messages[10:] == [
        "90 more dead letters",
        "dead letter to system/listener, which takes no more: 'later'",
    ]
