"""What is put around a handler where it is wanted."""

from __future__ import annotations

import logging

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from callboard import AckPolicy, MemoryBroker, Message, TestBroker

pytestmark = pytest.mark.anyio


async def test_a_message_is_acknowledged_before_its_handler_begins() -> None:
    broker = MemoryBroker()
    settled: list[bool] = []

    @broker.subscriber("orders", ack_policy=AckPolicy.ACK_FIRST)
    async def handle(order: int, message: Message) -> None:
        settled.append(message.processed)
        raise LookupError("too late to matter")

    async with broker:
        await broker.start()
        await broker.publish(1, "orders")
        await wait_all_tasks_blocked()
        await anyio.sleep(60)

    assert settled == [True]
    assert broker.dead_letters() == []


async def test_every_message_leaves_two_lines_for_those_who_want_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "callboard")
    broker = MemoryBroker(log_level=logging.INFO)

    @broker.subscriber("orders")
    async def handle(order: int) -> None: ...

    async with TestBroker(broker):
        await broker.publish(1, "orders", message_id="m1")

    assert [record.getMessage() for record in caplog.records] == [
        "handle(orders) received message m1 of 'orders'",
        "handle(orders) processed message m1 of 'orders'",
    ]


async def test_nobody_pays_for_lines_that_nobody_reads(
    broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "callboard")

    @broker.subscriber("orders")
    async def handle(order: int) -> None: ...

    async with TestBroker(broker):
        await broker.publish(1, "orders")

    assert caplog.records == []


async def test_only_the_handler_that_takes_a_message_remembers_it(broker: MemoryBroker) -> None:
    orders = broker.subscriber("orders")

    @orders(filter=lambda message: message.body == b"1")
    async def first(order: int) -> None: ...

    @orders
    async def rest(order: int) -> None: ...

    async with TestBroker(broker):
        await broker.publish(1, "orders")
        await broker.publish(2, "orders")

        await first.assert_called_once_with(1)
        await rest.assert_called_once_with(2)
