"""Requests and their replies."""

from __future__ import annotations

import pytest
from anyio import create_task_group, wait_all_tasks_blocked

from callboard_brokers import (
    Capacity,
    ConnectionClosed,
    DestinationError,
    Memory,
    MemorySource,
    MemoryTarget,
    Message,
    RequestTimeout,
)
from callboard_brokers.memory import MemoryConnection

pytestmark = pytest.mark.anyio

Connection = MemoryConnection[MemorySource, MemoryTarget]
PRICES = MemoryTarget("prices")


async def test_a_request_that_nobody_reads_fails_at_once(
    connection: Connection, memory: Memory
) -> None:
    with pytest.raises(DestinationError, match="nobody reads 'prices'"):
        await connection.request(Message(b"?"), PRICES, 30)

    assert memory.stats().published == 0


async def test_a_request_travels_with_all_that_it_carries(connection: Connection) -> None:
    asked = Message(
        b"?", key=b"k", headers={"x": b"1"}, content_type="text/plain", correlation_id="c"
    )
    async with (
        connection.subscribe(MemorySource("prices"), Capacity(10)) as subscription,
        create_task_group() as tasks,
    ):
        tasks.start_soon(connection.request, asked, PRICES, 30)
        [delivery] = await subscription.receive(1)
        await connection.publish(Message(b"!"), MemoryTarget(delivery.message.reply_to or ""))

        assert (delivery.message.body, delivery.message.key) == (b"?", b"k")
        assert delivery.message.headers == {"x": b"1"}
        assert (delivery.message.content_type, delivery.message.correlation_id) == (
            "text/plain",
            "c",
        )


async def test_a_reply_that_comes_too_late_finds_nobody(
    connection: Connection, memory: Memory
) -> None:
    async with connection.subscribe(MemorySource("prices"), Capacity(10)) as subscription:
        with pytest.raises(RequestTimeout, match="no reply from 'prices' within 2 s"):
            await connection.request(Message(b"?"), PRICES, 2)
        [delivery] = await subscription.receive(1)
        await connection.publish(Message(b"!"), MemoryTarget(delivery.message.reply_to or ""))

        assert memory.stats().unrouted == 1


async def test_a_second_reply_is_ignored(connection: Connection) -> None:
    replies: list[bytes] = []

    async def ask() -> None:
        replies.append((await connection.request(Message(b"?"), PRICES, 30)).body)

    async with (
        connection.subscribe(MemorySource("prices"), Capacity(10)) as subscription,
        create_task_group() as tasks,
    ):
        tasks.start_soon(ask)
        [delivery] = await subscription.receive(1)
        for body in (b"first", b"second"):
            await connection.publish(Message(body), MemoryTarget(delivery.message.reply_to or ""))

    assert replies == [b"first"]


async def test_a_source_that_reads_everything_takes_no_reply(connection: Connection) -> None:
    async with (
        connection.subscribe(MemorySource("prices"), Capacity(10)) as prices,
        connection.subscribe(MemorySource("{any}.{number}"), Capacity(10)),
        create_task_group() as tasks,
    ):
        tasks.start_soon(connection.request, Message(b"?"), PRICES, 30)
        [delivery] = await prices.receive(1)
        await connection.publish(Message(b"!"), MemoryTarget(delivery.message.reply_to or ""))


async def test_closing_the_connection_ends_its_requests(memory: Memory) -> None:
    ended: list[str] = []

    async def ask(connection: Connection) -> None:
        try:
            await connection.request(Message(b"?"), PRICES, 30)
        except ConnectionClosed:
            ended.append("request")

    async with (
        memory.connect() as other,
        other.subscribe(MemorySource("prices"), Capacity(10)),
        create_task_group() as tasks,
        memory.connect() as connection,
    ):
        tasks.start_soon(ask, connection)
        await wait_all_tasks_blocked()

    assert ended == ["request"]
