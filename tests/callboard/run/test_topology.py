"""What has to be there is there before anything is read, and intakes end before handlers do."""

from __future__ import annotations

import pytest
from anyio import Event, create_task_group, sleep, wait_all_tasks_blocked

from callboard import MemoryBroker
from callboard.memory import MemoryMessage
from callboard_brokers import ConnectionClosed

pytestmark = pytest.mark.anyio


async def test_what_is_published_before_its_subscriber_has_started_is_kept(
    broker: MemoryBroker,
) -> None:
    received: list[int] = []

    @broker.subscriber("first", group="g")
    class First:
        async def on_start(self) -> None:
            await broker.publish(7, "second")

        async def receive(self, message: MemoryMessage) -> None: ...

    @broker.subscriber("second", group="g")
    async def second(number: int) -> None:
        received.append(number)

    async with broker:
        await broker.start()
        await sleep(1)

    assert received == [7]


async def test_to_connect_alone_makes_no_group_that_nobody_reads(broker: MemoryBroker) -> None:
    @broker.subscriber("orders", group="g")
    async def handle(order: int) -> None: ...

    async with broker:
        await broker.publish(1, "orders")

        assert broker.unread("orders") == 0


async def test_the_intake_ends_before_the_handlers_do(broker: MemoryBroker) -> None:
    begun, go_on, done = Event(), Event(), list[int]()

    @broker.subscriber("orders", group="g")
    async def handle(order: int) -> None:
        begun.set()
        await go_on.wait()
        done.append(order)

    async with broker, create_task_group() as tasks:
        await broker.start()
        reading = broker.subscribers[0].subscription
        await broker.publish(1, "orders")
        await begun.wait()
        tasks.start_soon(broker.stop)
        await wait_all_tasks_blocked()
        with pytest.raises(ConnectionClosed):
            await reading.receive(1)
        go_on.set()

    assert done == [1]
