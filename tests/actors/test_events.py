"""What happens has a type, under which a sink finds it, and a name for all others."""

from __future__ import annotations

import asyncio
import json

import anyio
import pytest

from callboard_actors import ActorCrash, ActorSystem, events
from callboard_actors.events import ActorCrashed, ActorStarted, Event, SupervisorShutDown

pytestmark = pytest.mark.anyio

TYPES = [each for each in map(events.__dict__.get, events.__all__) if isinstance(each, type)]


async def test_a_sink_finds_by_type_what_it_wants_to_know() -> None:
    crashes: list[tuple[str, str | None]] = []

    def sink(event: Event) -> None:
        match event:
            case ActorCrashed(path=path, exc_type=kind):
                crashes.append((path, kind))
            case _:
                pass

    class Fragile:
        async def receive(self, message: str) -> None:
            raise ActorCrash(message)

    async with ActorSystem(notify=sink) as system:
        fragile = await system.spawn(Fragile, "fragile")
        fragile.tell("boom")
        await anyio.sleep(60)

    assert crashes == [("system/fragile", "ActorCrash")] * 2


async def test_what_a_client_calls_back_outside_of_any_task_can_be_told_as_well() -> None:
    """Anyio finds its loop by the running task, or by a variable that only its own `run` sets."""
    told = list[Event]()

    async def wait_for_a_client() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        loop.call_soon(lambda: told.append(ActorStarted("who")))
        await asyncio.sleep(0)
        assert began <= told[0].at <= loop.time()

    await anyio.to_thread.run_sync(asyncio.run, wait_for_a_client())

    assert len(told) == 1


def test_what_ends_is_no_kind_of_what_has_begun() -> None:
    """A sink that waits for room to be used up is not told of room that is there again."""
    assert not issubclass(events.MailboxRelieved, events.MailboxFilled)


async def test_the_particulars_of_an_event_are_plain_data() -> None:
    crash = ActorCrashed("shop/till", "failed", "ValueError: 3", "ValueError", None)

    assert json.loads(json.dumps(crash.attributes)) == {
        "reason": "failed",
        "error": "ValueError: 3",
        "exc_type": "ValueError",
    }


async def test_an_event_knows_when_it_happened() -> None:
    before = ActorStarted("shop")
    await anyio.sleep(3)

    assert ActorStarted("shop").at - before.at == pytest.approx(3)


async def test_an_event_cannot_be_changed() -> None:
    event = SupervisorShutDown("shop", "till")

    with pytest.raises(AttributeError):
        event.child = "door"  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue] - that is the point


async def test_each_type_that_tells_something_has_a_name_of_its_own() -> None:
    kinds = [each for each in TYPES if issubclass(each, Event)]
    names = [getattr(each, "name", None) for each in kinds]

    assert len(kinds) > 15
    assert {each.__name__ for each, name in zip(kinds, names, strict=True) if name is None} == {
        "ActorEnded",
        "Event",
    }
    assert len(set(names)) == len(kinds) - 1
