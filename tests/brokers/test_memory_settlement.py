"""What happens to a message after it was handed over."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from anyio import create_task_group, current_time, wait_all_tasks_blocked

from callboard_brokers import (
    Capacity,
    Delivery,
    Memory,
    MemorySource,
    MemoryTarget,
    Message,
    Subscription,
)
from callboard_brokers.memory import MemoryConnection

pytestmark = pytest.mark.anyio

Connection = MemoryConnection[MemorySource, MemoryTarget]
ORDERS = MemoryTarget("orders")
SHARED = MemorySource("orders", group="shared")


def bodies(deliveries: Sequence[Delivery]) -> list[bytes]:
    return [delivery.message.body for delivery in deliveries]


async def publish(connection: Connection, *messages: bytes) -> None:
    for body in messages:
        await connection.publish(Message(body), ORDERS)


async def nack_times(subscription: Subscription, times: int) -> list[float]:
    """Nack the next delivery again and again; return after how long it came back each time."""
    delays: list[float] = []
    [delivery] = await subscription.receive(1)
    for _ in range(times):
        nacked = current_time()
        delivery.nack()
        [delivery] = await subscription.receive(1)
        delays.append(round(current_time() - nacked, 3))
    return delays


async def test_a_nacked_message_comes_back_later_each_time(connection: Connection) -> None:
    async with connection.subscribe(SHARED, Capacity(10)) as subscription:
        await publish(connection, b"1")
        delays = await nack_times(subscription, 11)

        assert delays[:4] == [0.1, 0.2, 0.4, 0.8]
        assert delays[-2:] == [30.0, 30.0]


async def test_the_redelivery_can_be_chosen() -> None:
    memory = Memory(redelivery=lambda deliveries: 10.0 * deliveries)
    async with (
        memory.connect() as connection,
        connection.subscribe(SHARED, Capacity(10)) as subscription,
    ):
        await publish(connection, b"1")

        assert await nack_times(subscription, 3) == [10.0, 20.0, 30.0]


async def test_a_message_that_is_given_up_becomes_a_dead_letter() -> None:
    memory = Memory(redelivery=lambda deliveries: 0 if deliveries < 3 else None)
    async with (
        memory.connect() as connection,
        connection.subscribe(SHARED, Capacity(10)) as subscription,
    ):
        await publish(connection, b"poison")
        for _ in range(3):
            [delivery] = await subscription.receive(1)
            delivery.nack(delay=0)
        [letter] = memory.dead_letters()

        assert letter.reason == "given up after 3 deliveries"
        assert memory.outstanding == 0


async def test_an_idle_reader_wakes_for_what_is_due_earlier(connection: Connection) -> None:
    came: list[tuple[bytes, float]] = []

    async def read(subscription: Subscription) -> None:
        [delivery] = await subscription.receive(1)
        came.append((delivery.message.body, round(current_time() - start, 3)))

    async with (
        connection.subscribe(SHARED, Capacity(10)) as one,
        connection.subscribe(SHARED, Capacity(10)) as other,
    ):
        await publish(connection, b"late", b"early")
        late, early = await one.receive(2)
        start = current_time()
        late.nack(delay=9)
        async with create_task_group() as tasks:
            tasks.start_soon(read, one)
            tasks.start_soon(read, other)
            await wait_all_tasks_blocked()
            early.nack(delay=3)

    assert came == [(b"early", 3.0), (b"late", 9.0)]


async def test_a_message_can_be_published_for_later(connection: Connection, memory: Memory) -> None:
    async with connection.subscribe(SHARED, Capacity(10)) as subscription:
        start = current_time()
        await connection.publish(Message(b"later"), MemoryTarget("orders", delay=5))
        await publish(connection, b"now")
        assert memory.stats().delayed == 1

        assert bodies(await subscription.receive(10)) == [b"now"]
        assert bodies(await subscription.receive(10)) == [b"later"]
        assert current_time() - start == pytest.approx(5)


async def test_what_is_released_comes_first_in_its_old_order(connection: Connection) -> None:
    async with connection.subscribe(SHARED, Capacity(10)) as subscription:
        await publish(connection, b"1", b"2", b"3", b"4")
        for delivery in await subscription.receive(3):
            delivery.release()

        assert bodies(await subscription.receive(10)) == [b"1", b"2", b"3", b"4"]


async def test_a_release_is_not_counted_as_a_delivery(connection: Connection) -> None:
    async with connection.subscribe(SHARED, Capacity(10)) as subscription:
        await publish(connection, b"1")
        for _ in range(3):
            [delivery] = await subscription.receive(1)
            delivery.release()
        [delivery] = await subscription.receive(1)

        assert delivery.deliveries == 1


async def test_a_redelivered_message_comes_before_later_ones(connection: Connection) -> None:
    async with connection.subscribe(SHARED, Capacity(10)) as subscription:
        await publish(connection, b"1", b"2")
        (await subscription.receive(1))[0].nack(delay=0)

        assert bodies(await subscription.receive(10)) == [b"1", b"2"]


async def test_a_reader_that_leaves_gives_back_in_order_to_its_competitor(
    connection: Connection,
) -> None:
    async with connection.subscribe(SHARED, Capacity(10)) as other:
        async with connection.subscribe(SHARED, Capacity(10)) as leaving:
            await publish(connection, b"1", b"2", b"3")
            (await leaving.receive(3))[1].ack()
        deliveries = await other.receive(10)

        assert bodies(deliveries) == [b"1", b"3"]
        assert [delivery.deliveries for delivery in deliveries] == [1, 1]


async def test_a_subscription_left_earlier_cannot_settle_for_a_later_one(
    connection: Connection, memory: Memory
) -> None:
    async with connection.subscribe(SHARED, Capacity(10)) as subscription:
        await publish(connection, b"1")
        [stale] = await subscription.receive(1)
    async with connection.subscribe(SHARED, Capacity(10)) as subscription:
        [fresh] = await subscription.receive(1)
        stale.reject()

        assert stale.epoch < fresh.epoch
        assert memory.stats().stale == 1
        assert memory.stats().unsettled == 1
        assert not memory.dead_letters()


async def test_a_dead_letter_says_where_it_was_and_why(
    connection: Connection, memory: Memory
) -> None:
    async with connection.subscribe(SHARED, Capacity(10)) as subscription:
        await connection.publish(Message(b"bad", headers={"x": "1"}), ORDERS)
        (await subscription.receive(1))[0].reject()
        [letter] = memory.dead_letters("orders")

        assert (letter.address, letter.group, letter.reason) == ("orders", "shared", "rejected")
        assert (letter.message.body, letter.message.headers) == (b"bad", {"x": "1"})
        assert memory.dead_letters("elsewhere") == []


async def test_the_oldest_of_too_many_dead_letters_is_forgotten() -> None:
    memory = Memory(dead_letters=2)
    async with (
        memory.connect() as connection,
        connection.subscribe(SHARED, Capacity(10)) as subscription,
    ):
        await publish(connection, b"1", b"2", b"3")
        for delivery in await subscription.receive(3):
            delivery.reject()

    assert [letter.message.body for letter in memory.dead_letters()] == [b"2", b"3"]
    assert memory.stats().dead_lettered == 3


async def test_a_failure_that_is_kept_counts_like_a_nack_and_ends_like_one() -> None:
    memory = Memory(redelivery=lambda deliveries: float(deliveries) if deliveries < 3 else None)
    async with (
        memory.connect() as connection,
        connection.subscribe(SHARED, Capacity(1)) as subscription,
    ):
        await connection.publish(Message(b"1"), ORDERS)
        [delivery] = await subscription.receive(1)

        assert subscription.count_failure(delivery, None) == 1.0
        assert subscription.count_failure(delivery, 7.0) == 7.0
        assert delivery.deliveries == 3
        assert subscription.count_failure(delivery, None) is None
        delivery.nack()
        assert subscription.count_failure(delivery, None) is None  # it holds that no more
    assert memory.stats().redelivered == 2
    assert memory.stats().dead_lettered == 1


async def test_what_was_kept_and_is_released_has_not_been_delivered_once_more() -> None:
    memory = Memory()
    async with (
        memory.connect() as connection,
        connection.subscribe(SHARED, Capacity(1)) as subscription,
    ):
        await connection.publish(Message(b"1"), ORDERS)
        [delivery] = await subscription.receive(1)
        subscription.count_failure(delivery, None)
        delivery.release()
        [delivery] = await subscription.receive(1)

        assert delivery.deliveries == 2
