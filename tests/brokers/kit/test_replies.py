"""Requests and their replies over any broker: here, the one in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from anyio import create_task_group
from anyio.abc import TaskGroup

from callboard_actors.testing import idle
from callboard_brokers import (
    BrokerError,
    Capacity,
    ConnectionClosed,
    ConnectionLost,
    Delivery,
    MemorySource,
    MemoryTarget,
    Message,
    RequestTimeout,
    Subscription,
)
from callboard_brokers.kit import Replies, background
from callboard_brokers.memory import MemoryConnection

pytestmark = pytest.mark.anyio

Connection = MemoryConnection[MemorySource, MemoryTarget]


class Client:
    """Asks "prices" by messages, and answers there, as the test wants it."""

    def __init__(self, connection: Connection, tasks: TaskGroup) -> None:
        self.replies = Replies("answers", self.read, tasks)
        self.readings = 0
        self._connection = connection

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[Subscription]:
        self.readings += 1
        async with self._connection.subscribe(
            MemorySource("answers"), Capacity(100)
        ) as subscription:
            yield subscription

    async def publish(self, message: Message) -> None:
        await self._connection.publish(message, MemoryTarget("prices"))

    async def ask(self, body: bytes, correlation_id: str | None = None) -> bytes:
        question = Message(body, correlation_id=correlation_id)
        return (await self.replies.request(question, "prices", self.publish, 30.0)).body

    async def answer(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            asked = delivery.message
            reply = Message(b"re: " + asked.body, correlation_id=asked.correlation_id)
            await self._connection.publish(reply, MemoryTarget(asked.reply_to or ""))


@pytest.fixture
async def client(connection: Connection) -> AsyncGenerator[Client]:
    async with background() as tasks:
        yield Client(connection, tasks)


async def test_overlapping_requests_get_their_own_replies_by_one_subscription(
    connection: Connection, client: Client
) -> None:
    replies: dict[bytes, bytes] = {}

    async def ask(body: bytes) -> None:
        replies[body] = await client.ask(body, correlation_id="the same for all")

    async with (
        connection.subscribe(MemorySource("prices"), Capacity(10)) as prices,
        create_task_group() as tasks,
    ):
        for body in (b"1", b"2", b"3"):
            tasks.start_soon(ask, body)
        await idle()
        await client.answer([*reversed(await prices.receive(10))])

    assert replies == {b"1": b"re: 1", b"2": b"re: 2", b"3": b"re: 3"}
    assert client.readings == 1


async def test_a_request_keeps_its_correlation_id(connection: Connection, client: Client) -> None:
    async with (
        connection.subscribe(MemorySource("prices"), Capacity(10)) as prices,
        create_task_group() as tasks,
    ):
        tasks.start_soon(client.ask, b"?", "c-1")
        [asked] = await prices.receive(10)

        assert (asked.message.correlation_id, asked.message.reply_to) == ("c-1", "answers")
        await client.answer([asked])


async def test_the_first_reply_counts_and_one_that_nobody_waits_for_passes(
    connection: Connection, client: Client
) -> None:
    async with (
        connection.subscribe(MemorySource("prices"), Capacity(10)) as prices,
        create_task_group() as tasks,
    ):
        tasks.start_soon(client.ask, b"?")
        [asked] = await prices.receive(10)
        await client.answer([asked, asked])
        await idle()
        await client.answer([asked])

    client.replies.hand_over(Message(b"whose is this?"))


async def test_a_request_without_a_reply_ends_in_time(client: Client) -> None:
    with pytest.raises(RequestTimeout, match=r"no reply from 'prices' within 30.0 s"):
        await client.ask(b"?")


async def test_a_loss_fails_all_who_wait_and_nobody_later(
    connection: Connection, client: Client
) -> None:
    failed: list[str] = []

    async def ask() -> None:
        with pytest.raises(ConnectionLost) as caught:
            await client.ask(b"?")
        failed.append(str(caught.value))

    async with connection.subscribe(MemorySource("prices"), Capacity(10)) as prices:
        async with create_task_group() as tasks:
            tasks.start_soon(ask)
            tasks.start_soon(ask)
            await idle()
            client.replies.lose(ConnectionLost("cut"))
        await prices.receive(10)
        async with create_task_group() as tasks:
            tasks.start_soon(client.ask, b"again")
            await client.answer(await prices.receive(10))

    assert failed == ["cut", "cut"]


async def test_where_replies_cannot_be_read_the_next_request_tries_again() -> None:
    attempts: list[int] = []

    def refuse() -> AbstractAsyncContextManager[Subscription]:
        attempts.append(1)
        raise BrokerError("no such queue")

    async def publish(_message: Message) -> None:
        raise AssertionError("a reply to this could not be read")

    async with background() as tasks:
        replies = Replies("answers", refuse, tasks)
        for _ in range(2):
            with pytest.raises(BrokerError, match="no such queue"):
                await replies.request(Message(b"?"), "prices", publish, 30.0)

    assert len(attempts) == 2


async def test_the_end_of_the_connection_ends_the_wait(connection: Connection) -> None:
    async with background() as tasks:
        client = Client(connection, tasks)

        async def ask() -> None:
            with pytest.raises(ConnectionClosed):
                await client.ask(b"?")

        async with create_task_group() as asking:
            asking.start_soon(ask)
            await idle()
            tasks.cancel_scope.cancel()
