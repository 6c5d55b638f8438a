"""The broker in this process, as its users see it."""

from __future__ import annotations

import pytest
from anyio import sleep, wait_all_tasks_blocked

from callboard import Event, MemoryBroker, TestBroker, TestMemoryBroker
from callboard.memory import MemoryMessage, MemorySource, MemoryTarget

pytestmark = pytest.mark.anyio


async def test_unread_counts_what_waits_for_readers(broker: MemoryBroker) -> None:
    @broker.subscriber("orders", group="a")
    @broker.subscriber("orders", group="b")
    async def handle(order: int) -> None: ...

    await broker.start()
    await broker.stop()
    async with broker:
        await broker.publish(1, "orders")

    assert broker.unread("orders") == 2
    assert broker.unread("others") == 0


async def test_what_nobody_reads_is_dropped_and_reported(broker: MemoryBroker) -> None:
    events: list[Event] = []
    broker.events.subscribe(events.append)
    async with broker:
        await broker.publish(1, "nowhere")

    dropped = [event for event in events if event.name == "deadletter"]
    assert [event.attributes for event in dropped] == [{"address": "nowhere"}]


async def test_dead_letters_are_kept_with_their_reason(broker: MemoryBroker) -> None:
    @broker.subscriber("orders", group="g")
    async def handle(order: int) -> None:
        raise ValueError

    async with broker:
        await broker.start()
        await broker.publish(1, "orders", key="k", headers={"a": "b"})
        await wait_all_tasks_blocked()

    [letter] = broker.dead_letters()
    assert (letter.address, letter.group, letter.reason) == ("orders", "g", "rejected")
    assert (letter.message.key, letter.message.headers) == (b"k", {"a": "b"})


async def test_a_message_says_how_often_it_was_delivered(broker: MemoryBroker) -> None:
    deliveries: list[int] = []

    @broker.subscriber("orders")
    async def handle(message: MemoryMessage) -> None:
        deliveries.append(message.raw_message.deliveries)
        await message.nack() if len(deliveries) < 3 else None

    async with broker:
        await broker.start()
        await broker.publish(1, "orders")
        await sleep(10)

    assert deliveries == [1, 2, 3]


async def test_what_a_broker_holds_is_its_own(broker: MemoryBroker) -> None:
    other = MemoryBroker()
    heard: list[int] = []

    @other.subscriber("orders")
    async def handle(order: int) -> None:
        heard.append(order)

    async with broker, other:
        await other.start()
        await broker.publish(1, "orders")
        await wait_all_tasks_blocked()

    assert heard == []


def test_its_records_may_be_compared_and_used_as_keys() -> None:
    assert MemorySource("a", group="g") == MemorySource("a", group="g")
    assert {MemoryTarget("a", key="k")} == {MemoryTarget("a", key="k")}


def test_its_test_double_has_the_name_that_migrating_services_know() -> None:
    assert TestMemoryBroker is TestBroker
