"""Events, and whoever subscribed to them."""

from __future__ import annotations

import logging

import pytest
from anyio import wait_all_tasks_blocked

from callboard import Event, MemoryBroker

pytestmark = pytest.mark.anyio


async def test_sinks_get_events_in_the_order_of_their_subscription(broker: MemoryBroker) -> None:
    seen: list[tuple[str, str]] = []
    broker.events.subscribe(lambda event: seen.append(("first", event.name)))
    broker.events.subscribe(lambda event: seen.append(("second", event.name)))

    broker.events(Event("tea.ready", "kitchen"))

    assert seen == [("first", "tea.ready"), ("second", "tea.ready")]


async def test_a_subscription_can_be_ended_and_ends_once(broker: MemoryBroker) -> None:
    seen: list[Event] = []
    end = broker.events.subscribe(seen.append)
    broker.events.subscribe(seen.append)

    end()
    broker.events(Event("tea.ready", "kitchen"))
    assert len(seen) == 1

    end()
    end()
    broker.events(Event("tea.cold", "kitchen"))
    assert len(seen) == 1


async def test_a_sink_that_raises_is_detached_and_stops_no_other(
    broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Event] = []

    def fail(event: Event) -> None:
        raise LookupError("no disk")

    broker.events.subscribe(fail)
    broker.events.subscribe(seen.append)
    broker.events(Event("tea.ready", "kitchen"))
    broker.events(Event("tea.cold", "kitchen"))

    assert [event.name for event in seen] == ["tea.ready", "tea.cold"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "is detached" in caplog.text


async def test_a_sink_may_unsubscribe_while_it_is_called(broker: MemoryBroker) -> None:
    seen: list[str] = []

    def once(event: Event) -> None:
        end()
        seen.append(event.name)

    end = broker.events.subscribe(once)
    broker.events(Event("tea.ready", "kitchen"))
    broker.events(Event("tea.cold", "kitchen"))

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
