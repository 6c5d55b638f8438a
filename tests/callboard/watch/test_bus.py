"""Events, and whoever subscribed to them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from anyio import sleep, wait_all_tasks_blocked

from callboard import ActorCrash, Event, MemoryBroker
from callboard_actors import events

pytestmark = pytest.mark.anyio


class TeaReady(events.Event):
    name = "tea.ready"


class TeaCold(events.Event):
    name = "tea.cold"


async def test_sinks_get_events_in_the_order_of_their_subscription(broker: MemoryBroker) -> None:
    seen: list[tuple[str, str]] = []
    broker.events.subscribe(lambda event: seen.append(("first", event.name)))
    broker.events.subscribe(lambda event: seen.append(("second", event.name)))

    broker.events(TeaReady("kitchen"))

    assert seen == [("first", "tea.ready"), ("second", "tea.ready")]


async def test_a_subscription_can_be_ended_and_ends_no_other(broker: MemoryBroker) -> None:
    seen: list[Event] = []
    end = broker.events.subscribe(seen.append)
    broker.events.subscribe(seen.append)

    end()
    broker.events(TeaReady("kitchen"))
    assert len(seen) == 1

    end()
    end()
    broker.events(TeaCold("kitchen"))
    assert len(seen) == 2


async def test_a_sink_that_raises_is_kept_and_stops_no_other(broker: MemoryBroker) -> None:
    seen: list[str] = []

    def fail(event: Event) -> None:
        seen.append("failing")
        raise LookupError("no disk")

    broker.events.subscribe(fail)
    broker.events.subscribe(lambda event: seen.append(event.name))
    broker.events(TeaReady("kitchen"))
    broker.events(TeaCold("kitchen"))

    assert seen == ["failing", "tea.ready", "failing", "tea.cold"]


async def test_of_a_sink_that_always_raises_a_line_tells_once_in_a_while(
    broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(event: Event) -> None:
        raise LookupError("no disk")

    broker.events.subscribe(fail)
    for _ in range(121):
        broker.events(TeaReady("kitchen"))
        await sleep(1)

    lines = [record.getMessage() for record in caplog.records]
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 3
    assert "has raised on tea.ready, for the 61. time; it is kept" in lines[1]


async def test_an_event_that_is_not_ours_silences_no_log(
    broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    @dataclass
    class Odd:
        """No subclass of ours, and what it says can't be shown."""

        name: str = "odd"
        path: str = "kitchen"
        at: float = 0.0

        @property
        def attributes(self) -> Mapping[str, object]:
            return {"error": Mute(), "path": 3, "name": None, "trace": "?"}

    class Mute:
        def __str__(self) -> str:
            raise LookupError

    @broker.subscriber("orders")
    async def handle(order: str) -> None:
        raise ActorCrash("boom")

    caplog.set_level(logging.DEBUG, "callboard")
    async with broker:
        await broker.start()
        broker.events(Odd())
        await broker.publish("order", "orders")
        await wait_all_tasks_blocked()

    assert "kitchen: odd" in caplog.messages
    assert "has raised" not in caplog.text
    assert "worker-0 crashed" in caplog.text


async def test_a_sink_may_unsubscribe_while_it_is_called(broker: MemoryBroker) -> None:
    seen: list[str] = []

    def once(event: Event) -> None:
        end()
        seen.append(event.name)

    end = broker.events.subscribe(once)
    broker.events(TeaReady("kitchen"))
    broker.events(TeaCold("kitchen"))

    assert seen == ["tea.ready"]


async def test_a_broker_tells_of_its_life_and_of_its_messages(broker: MemoryBroker) -> None:
    names: list[str] = []
    broker.events.subscribe(lambda event: names.append(event.name))

    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        raise LookupError(order)

    async with broker:
        await broker.start()
        await broker.publish(1, "orders")
        await wait_all_tasks_blocked()

    assert names[0] == "actor.starting"
    assert "message.exception" in names
    assert names[-1] == "actor.stopped"
