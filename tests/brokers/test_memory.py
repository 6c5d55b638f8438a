"""Who gets what, by which rules, and what the broker tells about it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from anyio import create_task_group, move_on_after, wait_all_tasks_blocked
from anyio.abc import TaskGroup

from callboard_brokers import (
    Capacity,
    ConnectionClosed,
    Delivery,
    DestinationError,
    Memory,
    MemorySource,
    MemoryTarget,
    Message,
    Subscription,
)
from callboard_brokers.events import Event, MessageUnrouted
from callboard_brokers.memory import MemoryConnection, Readership

pytestmark = pytest.mark.anyio

Connection = MemoryConnection[MemorySource, MemoryTarget]
ORDERS = MemoryTarget("orders")
SHARED = MemorySource("orders", group="shared")


def bodies(deliveries: Sequence[Delivery]) -> list[bytes]:
    return [delivery.message.body for delivery in deliveries]


async def test_readers_without_a_group_each_get_every_message(connection: Connection) -> None:
    source = MemorySource("orders")
    async with (
        connection.subscribe(source, Capacity(10)) as one,
        connection.subscribe(source, Capacity(10)) as other,
    ):
        await connection.publish(Message(b"1"), ORDERS)

        assert bodies(await one.receive(10)) == bodies(await other.receive(10)) == [b"1"]


async def test_a_group_of_one_ends_with_its_subscription(
    connection: Connection, memory: Memory
) -> None:
    async with connection.subscribe(MemorySource("orders"), Capacity(10)):
        await connection.publish(Message(b"1"), ORDERS)
        assert memory.unread("orders") == 1
    await connection.publish(Message(b"2"), ORDERS)

    assert memory.unread("orders") == 0
    assert memory.stats().unrouted == 1


async def test_what_nobody_reads_is_dropped_and_reported() -> None:
    events: list[Event] = []
    memory = Memory(notify=events.append)
    async with memory.connect() as connection:
        await connection.publish(Message(b"1"), ORDERS)

    assert events == [MessageUnrouted("orders")]


async def test_all_connections_share_one_broker(memory: Memory) -> None:
    async with (
        memory.connect() as writer,
        memory.connect() as reader,
        reader.subscribe(SHARED, Capacity(10)) as subscription,
    ):
        await writer.publish(Message(b"1"), ORDERS)

        assert bodies(await subscription.receive(1)) == [b"1"]


async def test_waiting_competitors_are_served_in_turn(connection: Connection) -> None:
    served: list[str] = []

    async def serve(name: str, subscription: Subscription) -> None:
        while True:
            for delivery in await subscription.receive(1):
                delivery.ack()
                served.append(name)

    async with (
        connection.subscribe(SHARED, Capacity(1)) as one,
        connection.subscribe(SHARED, Capacity(1)) as other,
        create_task_group() as tasks,
    ):
        tasks.start_soon(serve, "one", one)
        await wait_all_tasks_blocked()
        tasks.start_soon(serve, "other", other)
        for n in range(4):
            await wait_all_tasks_blocked()
            await connection.publish(Message(b"%d" % n), ORDERS)
        await wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()

    assert served == ["one", "other", "one", "other"]


async def test_a_cancelled_reader_passes_its_turn_on(connection: Connection) -> None:
    received: list[Delivery] = []

    async def read(subscription: Subscription, tasks: TaskGroup) -> None:
        received.extend(await subscription.receive(1))
        tasks.cancel_scope.cancel()

    async with (
        connection.subscribe(SHARED, Capacity(1)) as one,
        connection.subscribe(SHARED, Capacity(1)) as other,
        create_task_group() as first,
        create_task_group() as second,
    ):
        first.start_soon(read, one, first)
        await wait_all_tasks_blocked()
        second.start_soon(read, other, second)
        await wait_all_tasks_blocked()
        await connection.publish(Message(b"1"), ORDERS)
        first.cancel_scope.cancel()

    assert bodies(received) == [b"1"]


async def test_no_more_than_the_capacity_is_received_at_once(connection: Connection) -> None:
    async with connection.subscribe(SHARED, Capacity(2)) as subscription:
        for n in range(3):
            await connection.publish(Message(b"%d" % n), ORDERS)

        assert bodies(await subscription.receive(100)) == [b"0", b"1"]


async def test_a_template_puts_the_parameters_into_the_path(connection: Connection) -> None:
    async with connection.subscribe(MemorySource("logs.{level}"), Capacity(10)) as subscription:
        await connection.publish(Message(b"", headers={"x": "1"}), MemoryTarget("logs.error"))
        [delivery] = await subscription.receive(1)

        assert delivery.message.address == "logs.error"
        assert delivery.message.path == {"level": "error"}
        assert delivery.message.headers == {"x": "1"}


async def test_a_forwarded_message_leaves_its_path_behind(connection: Connection) -> None:
    async with (
        connection.subscribe(MemorySource("logs.{level}"), Capacity(10)) as logs,
        connection.subscribe(MemorySource("all"), Capacity(10)) as everything,
    ):
        await connection.publish(Message(b""), MemoryTarget("logs.error"))
        [first] = await logs.receive(1)
        await connection.publish(first.message, MemoryTarget("all"))
        [second] = await everything.receive(1)

        assert dict(second.message.path) == {}


@pytest.mark.parametrize(
    ("given", "expected"), [(None, b"own"), ("é", b"\xc3\xa9"), (b"\xff", b"\xff"), (b"", b"")]
)
async def test_the_target_may_replace_the_key(
    connection: Connection, given: str | bytes | None, expected: bytes
) -> None:
    async with connection.subscribe(SHARED, Capacity(10)) as subscription:
        await connection.publish(Message(b"", key=b"own"), MemoryTarget("orders", key=given))
        [delivery] = await subscription.receive(1)

        assert delivery.message.key == expected


async def test_other_rules_can_be_plugged_in() -> None:
    class Prefixes:
        def source(self, source: MemorySource) -> Readership:
            prefix = source.address.removesuffix("*")
            return Readership(
                source.group, prefix, lambda address: {} if address.startswith(prefix) else None
            )

        def target(self, target: MemoryTarget) -> MemoryTarget:
            return target

    memory = Memory(routing=Prefixes())
    async with (
        memory.connect() as connection,
        connection.subscribe(MemorySource("logs.*"), Capacity(10)) as subscription,
    ):
        await connection.publish(Message(b"1"), MemoryTarget("logs.error.{old}"))

        assert bodies(await subscription.receive(1)) == [b"1"]


async def test_a_template_cannot_be_published_to(connection: Connection) -> None:
    with pytest.raises(DestinationError, match=r"logs\.\{level\}"):
        await connection.publish(Message(b""), MemoryTarget("logs.{level}"))


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_reader_that_can_hold_nothing_is_refused(capacity: int) -> None:
    for bounds in ((capacity, 1), (1, capacity)):
        with pytest.raises(ValueError, match="at least one"):
            Capacity(*bounds)
    with pytest.raises(ValueError, match="1 or more"):
        Memory(capacity=capacity)


async def test_receiving_nothing_is_refused(connection: Connection) -> None:
    async with connection.subscribe(SHARED, Capacity(1)) as subscription:
        with pytest.raises(ValueError, match="at least one"):
            await subscription.receive(0)


async def test_a_subscription_that_was_left_cannot_be_read(connection: Connection) -> None:
    async with connection.subscribe(SHARED, Capacity(10)) as subscription:
        pass
    with pytest.raises(ConnectionClosed, match="'shared' has been left"):
        await subscription.receive(1)


async def test_closing_the_connection_ends_a_waiting_reader(memory: Memory) -> None:
    ended: list[str] = []

    async def read(subscription: Subscription) -> None:
        try:
            await subscription.receive(1)
        except ConnectionClosed:
            ended.append("reader")

    async with create_task_group() as tasks:
        async with memory.connect() as connection:
            subscribed = connection.subscribe(SHARED, Capacity(10))
            tasks.start_soon(read, await subscribed.__aenter__())
            await wait_all_tasks_blocked()
        await subscribed.__aexit__(None, None, None)

    assert ended == ["reader"]


async def test_a_busy_publisher_lets_others_run(connection: Connection) -> None:
    turns: list[int] = []

    async def other() -> None:
        turns.append(1)

    async with create_task_group() as tasks:
        tasks.start_soon(other)
        for _ in range(200):
            await connection.publish(Message(b""), ORDERS)

        assert turns == [1]


async def test_the_broker_tells_what_it_holds(connection: Connection, memory: Memory) -> None:
    async with connection.subscribe(SHARED, Capacity(10)) as subscription:
        for n in range(5):
            await connection.publish(Message(b"%d" % n), ORDERS)
        first, second, third = await subscription.receive(3)
        first.ack()
        second.nack(delay=5)
        stats = memory.stats()

        assert (stats.published, stats.waiting, stats.delayed, stats.unsettled) == (5, 2, 1, 1)
        assert memory.unread("orders") == 2
        assert memory.outstanding == 3
        third.ack()


async def test_settled_waits_for_everything_but_what_is_delayed(
    connection: Connection, memory: Memory
) -> None:
    async with (
        connection.subscribe(SHARED, Capacity(10)) as subscription,
        create_task_group() as tasks,
    ):
        await connection.publish(Message(b"1"), ORDERS)
        await connection.publish(Message(b"2"), ORDERS)
        first, second = await subscription.receive(2)
        first.ack()
        with move_on_after(1) as scope:
            await memory.settled()
        assert scope.cancelled_caught

        tasks.start_soon(memory.settled)
        await wait_all_tasks_blocked()
        second.nack(delay=60)


async def test_what_waits_for_no_reader_is_not_outstanding(
    connection: Connection, memory: Memory
) -> None:
    async with connection.subscribe(SHARED, Capacity(10)):
        pass
    await connection.publish(Message(b"1"), ORDERS)
    await memory.settled()

    assert memory.outstanding == 0
    assert memory.unread("orders") == 1
