"""A handler that ends its subscriber, or its application."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import Event, wait_all_tasks_blocked

from callboard import BaseMiddleware, MemoryBroker, StopConsume, TestBroker

pytestmark = pytest.mark.anyio


async def test_a_handler_stops_its_subscriber_and_no_other(broker: MemoryBroker) -> None:
    seen: list[str] = []
    one = broker.subscriber("one", group="one")

    @one
    async def first(number: int) -> None:
        seen.append(f"one {number}")
        raise StopConsume

    @broker.subscriber("two")
    async def second(number: int) -> None:
        seen.append(f"two {number}")

    async with broker:
        await broker.start()
        for number in (1, 2):
            await broker.publish(number, "one")
            await broker.publish(number, "two")
            await wait_all_tasks_blocked()

        assert sorted(seen) == ["one 1", "two 1", "two 2"]
        assert not one.running
        assert broker.ready
        assert broker.dead_letters("one") == []


async def test_a_subscriber_that_has_stopped_itself_may_start_again(broker: MemoryBroker) -> None:
    seen: list[int] = []
    subscriber = broker.subscriber("in", group="g")

    @subscriber
    async def handle(number: int) -> None:
        seen.append(number)
        if number == 1:
            raise StopConsume

    async with broker:
        await broker.start()
        await broker.publish(1, "in")
        await wait_all_tasks_blocked()
        await broker.publish(2, "in")
        await subscriber.start()
        await wait_all_tasks_blocked()

        assert subscriber.running
    assert seen == [1, 2]


@pytest.mark.parametrize("batch", [False, True])
async def test_what_waits_behind_the_last_message_goes_back_to_the_broker(
    broker: MemoryBroker, batch: bool
) -> None:
    seen: list[object] = []
    begun = Event()

    @broker.subscriber("in", group="g", batch=batch, max_records=1 if batch else None)
    async def handle(body: Any) -> None:
        seen.append(body)
        await begun.wait()
        raise StopConsume

    async with broker:
        await broker.start()
        for number in (1, 2, 3):
            await broker.publish(number, "in")
        await wait_all_tasks_blocked()
        begun.set()
        await wait_all_tasks_blocked()

        assert seen == [[1] if batch else 1]
        assert broker.unread("in") == 2


async def test_a_middleware_stops_the_subscriber_as_well() -> None:
    class Stop(BaseMiddleware):
        async def on_receive(self) -> None:
            raise StopConsume

    broker = MemoryBroker(middlewares=[Stop])
    subscriber = broker.subscriber("in")

    @subscriber
    async def handle(number: int) -> None:
        pytest.fail("it was stopped before")

    async with TestBroker(broker):
        await broker.publish(1, "in")
        await wait_all_tasks_blocked()

        assert not subscriber.running
