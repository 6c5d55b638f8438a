"""A full group makes its publishers wait."""

from __future__ import annotations

import pytest
from anyio import create_task_group, move_on_after, wait_all_tasks_blocked

from callboard_brokers import (
    Capacity,
    ConnectionClosed,
    Memory,
    MemorySource,
    MemoryTarget,
    Message,
)
from callboard_brokers.memory import MemoryConnection

pytestmark = pytest.mark.anyio

Connection = MemoryConnection[MemorySource, MemoryTarget]
ORDERS = MemoryTarget("orders")
SHARED = MemorySource("orders", group="shared")
CAPACITY = 8  # of the fixture `memory`


async def publish(connection: Connection, count: int) -> None:
    for n in range(count):
        await connection.publish(Message(b"%d" % n), ORDERS)


async def test_a_publisher_waits_until_a_full_group_is_half_empty(
    connection: Connection, memory: Memory
) -> None:
    async with (
        connection.subscribe(SHARED, Capacity(100)) as subscription,
        create_task_group() as tasks,
    ):
        tasks.start_soon(publish, connection, CAPACITY + 1)
        await wait_all_tasks_blocked()
        await subscription.receive(CAPACITY // 2 - 1)
        await wait_all_tasks_blocked()
        assert memory.stats().published == CAPACITY

        await subscription.receive(1)
        await wait_all_tasks_blocked()
        assert memory.stats().published == CAPACITY + 1


async def test_many_publishers_never_overfill_a_group(
    connection: Connection, memory: Memory
) -> None:
    async with (
        connection.subscribe(SHARED, Capacity(100)) as subscription,
        create_task_group() as tasks,
    ):
        for _ in range(10):
            tasks.start_soon(publish, connection, 5)
        received = 0
        while received < 50:
            await wait_all_tasks_blocked()
            assert memory.unread("orders") <= CAPACITY
            received += len(await subscription.receive(3))


async def test_a_message_reaches_all_groups_at_once_or_none(
    connection: Connection, memory: Memory
) -> None:
    async with (
        connection.subscribe(MemorySource("orders"), Capacity(100)) as swift,
        connection.subscribe(SHARED, Capacity(100)) as slow,
        create_task_group() as tasks,
    ):
        await publish(connection, CAPACITY)
        await swift.receive(100)
        tasks.start_soon(publish, connection, 1)
        await wait_all_tasks_blocked()
        assert memory.unread("orders") == CAPACITY

        await slow.receive(100)
        await wait_all_tasks_blocked()
        assert memory.unread("orders") == 2


async def test_a_cancelled_publisher_has_published_nothing(
    connection: Connection, memory: Memory
) -> None:
    async with connection.subscribe(SHARED, Capacity(100)) as subscription:
        await publish(connection, CAPACITY)
        async with create_task_group() as tasks:
            tasks.start_soon(publish, connection, 1)
            await wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        await subscription.receive(100)

        assert memory.stats().published == CAPACITY


async def test_closing_the_connection_ends_its_waiting_publishers(memory: Memory) -> None:
    ended: list[str] = []

    async def publish_more(connection: Connection, name: str) -> None:
        try:
            await publish(connection, 1)
        except ConnectionClosed:
            ended.append(name)

    async with create_task_group() as tasks, memory.connect() as other:
        async with memory.connect() as connection:
            async with connection.subscribe(SHARED, Capacity(100)):
                await publish(connection, CAPACITY)
            tasks.start_soon(publish_more, connection, "closed")
            tasks.start_soon(publish_more, other, "open")
            await wait_all_tasks_blocked()
        await wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()

    assert ended == ["closed"]


async def test_a_group_of_one_that_ends_lets_its_publishers_go_on(
    connection: Connection, memory: Memory
) -> None:
    async with (
        create_task_group() as tasks,
        connection.subscribe(MemorySource("orders"), Capacity(100)),
    ):
        await publish(connection, CAPACITY)
        tasks.start_soon(publish, connection, 1)
        await wait_all_tasks_blocked()

    assert memory.stats().unrouted == 1


async def test_what_is_given_back_is_taken_even_if_the_group_is_full(
    connection: Connection, memory: Memory
) -> None:
    async with connection.subscribe(SHARED, Capacity(100)) as subscription:
        await publish(connection, CAPACITY)
        taken = await subscription.receive(CAPACITY)
        await publish(connection, CAPACITY)
        for delivery in taken:
            delivery.release()

        assert memory.unread("orders") == 2 * CAPACITY


async def test_delayed_messages_count_against_the_bound(connection: Connection) -> None:
    async with connection.subscribe(SHARED, Capacity(100)):
        for _ in range(CAPACITY):
            await connection.publish(Message(b""), MemoryTarget("orders", delay=60))
        with move_on_after(1) as scope:
            await publish(connection, 1)

        assert scope.cancelled_caught
