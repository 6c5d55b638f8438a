"""Subscribers that are started by hand, and read by hand."""

from __future__ import annotations

import pytest
from anyio import create_task_group, current_time, move_on_after, sleep, sleep_forever
from anyio import wait_all_tasks_blocked as idle

from callboard import DeclarationError, MemoryBroker, Message, NotRunning, TestBroker
from callboard_brokers import ConnectionLost

from ..faulty import FaultyBroker

pytestmark = pytest.mark.anyio


async def test_messages_are_taken_one_by_one_and_settled_by_hand(broker: MemoryBroker) -> None:
    orders = broker.subscriber("orders", group="g", persistent=False)
    async with broker:
        async with orders:
            await broker.publish({"id": 1}, "orders")
            await broker.publish({"id": 2}, "orders")
            first = await orders.get_one()
            assert first is not None
            assert await first.decode() == {"id": 1}
            await first.ack()

        assert broker.unread("orders") == 1  # what nobody asked for is given back


async def test_a_subscriber_without_a_handler_starts_with_its_broker_and_is_read(
    broker: MemoryBroker,
) -> None:
    orders = broker.subscriber("orders")
    async with broker:
        await broker.start()
        await broker.publish(1, "orders")

        message = await orders.get_one()

    assert message is not None
    assert message.raw_message.sequence == 1


async def test_nothing_within_the_time_is_none(broker: MemoryBroker) -> None:
    orders = broker.subscriber("orders", persistent=False)
    async with broker, orders:
        begin = current_time()

        assert await orders.get_one(timeout=2) is None
        assert current_time() - begin == pytest.approx(2)


async def test_messages_are_gone_through_until_the_stop(broker: MemoryBroker) -> None:
    orders = broker.subscriber("orders", persistent=False)
    heard: list[object] = []

    async def listen() -> None:
        async for message in orders:
            heard.append(await message.decode())
            await message.ack()

    async with broker, create_task_group() as tasks:
        await orders.start()
        tasks.start_soon(listen)
        for number in (1, 2, 3):
            await broker.publish(number, "orders")
        await idle()
        await orders.stop()

    assert heard == [1, 2, 3]


async def test_a_subscriber_that_is_read_rejects_to_its_dead_letters(broker: MemoryBroker) -> None:
    orders = broker.subscriber("orders", persistent=False, dead_letter="dead")
    dead = broker.subscriber("dead", persistent=False)
    async with broker, orders, dead:
        await broker.publish(1, "orders")
        message = await orders.get_one()
        assert message is not None
        await message.reject()
        letter = await dead.get_one()

        assert letter is not None
        assert letter.body == b"1"
        assert message.processed


async def test_a_handler_that_is_added_to_a_running_broker_starts_when_it_is_told_to(
    broker: MemoryBroker,
) -> None:
    heard: list[int] = []
    async with broker:
        await broker.start()
        orders = broker.subscriber("orders")

        @orders
        async def handle(number: int) -> None:
            heard.append(number)

        await broker.publish(1, "orders")
        async with orders:
            await broker.publish(2, "orders")
            await idle()
        await broker.publish(3, "orders")
        await idle()

    assert heard == [2]


async def test_one_that_was_started_alone_goes_on_when_the_others_start(
    broker: MemoryBroker,
) -> None:
    heard: list[str] = []
    first, second = broker.subscriber("a"), broker.subscriber("b")

    @first
    async def hear_a(text: str) -> None:
        heard.append(text)

    @second
    async def hear_b(text: str) -> None:
        heard.append(text)

    async with broker:
        await first.start()
        await broker.publish("a1", "a")
        await broker.publish("b1", "b")
        await broker.start()
        await broker.publish("b2", "b")
        await idle()
        with pytest.raises(DeclarationError, match="is running already"):
            await first.start()

    assert heard == ["a1", "b2"]


async def test_a_test_broker_does_not_wait_for_what_is_read_by_hand(broker: MemoryBroker) -> None:
    orders = broker.subscriber("orders", persistent=False)
    async with TestBroker(broker), orders:
        await broker.publish(1, "orders")
        message = await orders.get_one()

        assert message is not None
        await message.ack()


async def test_what_has_a_handler_is_not_read(broker: MemoryBroker) -> None:
    orders = broker.subscriber("orders")

    @orders
    async def handle(number: int) -> None: ...

    async with broker:
        await broker.start()
        with pytest.raises(DeclarationError, match="has a handler, which gets") as refused:
            await orders.get_one()

    assert isinstance(refused.value, AssertionError)


async def test_what_does_not_run_is_not_read(broker: MemoryBroker) -> None:
    orders = broker.subscriber("orders", persistent=False)
    with pytest.raises(NotRunning):
        await orders.get_one()
    async with broker:
        await orders.stop()
        with pytest.raises(NotRunning, match=r"await subscriber\.start\(\)"):
            await orders.get_one()


async def test_a_reader_that_waits_hears_of_the_stop(broker: MemoryBroker) -> None:
    orders = broker.subscriber("orders", persistent=False)

    async def wait() -> None:
        with pytest.raises(NotRunning, match="has been stopped"):
            await orders.get_one(timeout=None)

    async with broker, create_task_group() as tasks:
        await orders.start()
        tasks.start_soon(wait)
        await idle()
        await orders.stop()


async def test_messages_of_a_reader_are_given_back_by_hand_too(broker: MemoryBroker) -> None:
    orders = broker.subscriber("orders", persistent=False)
    taken: list[Message] = []
    async with broker, orders:
        await broker.publish(1, "orders")
        for _ in range(2):
            message = await orders.get_one()
            assert message is not None
            taken.append(message)
            await message.nack(delay=1)

    assert [each.body for each in taken] == [b"1", b"1"]


async def test_a_reader_hears_why_its_subscription_has_ended() -> None:
    broker = FaultyBroker()
    orders = broker.subscriber("orders", persistent=False)

    async with broker:
        broker.faulty.faults["receive"] = 100
        await orders.start()
        with pytest.raises(ConnectionLost, match="the line is dead"):
            async for _ in orders:
                pass


async def test_a_start_that_failed_can_be_repeated(broker: MemoryBroker) -> None:
    hand = broker.subscriber("by hand", persistent=False)
    first = broker.subscriber("first")
    failures = [ValueError("not yet")]

    @first
    async def handle(number: int) -> None: ...

    @broker.subscriber("second")
    class Clerk:
        async def on_start(self) -> None:
            if failures:
                raise failures.pop()

        async def receive(self, number: int) -> None: ...

    async with broker, hand:
        with pytest.raises(ValueError, match="not yet"):
            await broker.start()
        await broker.start()

        assert len(broker.tree().children[1].children) == 3


async def test_a_subscriber_that_is_being_stopped_is_not_started_and_may_be_stopped_hard(
    broker: MemoryBroker,
) -> None:
    orders = broker.subscriber("orders", group="g")
    cancelled: list[float] = []

    @orders
    async def handle(number: int) -> None:
        try:
            await sleep(10)
        finally:
            cancelled.append(current_time() - began)

    async with broker:
        await broker.start()
        await broker.publish(1, "orders")
        await idle()
        async with create_task_group() as tasks:
            tasks.start_soon(orders.stop)
            await idle()
            with pytest.raises(NotRunning, match=r"handle\(orders\) is being stopped; start it"):
                await orders.start()
            began = current_time()
            with move_on_after(2):
                await orders.stop()

        assert cancelled == [2]
        assert not orders.running
        assert broker.unread("orders") == 1
        await orders.start()
        assert orders.running


async def test_a_subscriber_that_is_stopped_while_it_starts_says_so(broker: MemoryBroker) -> None:
    orders = broker.subscriber("orders")

    @orders
    class Endless:
        async def on_start(self) -> None:
            await sleep_forever()

        async def receive(self, number: int) -> None: ...

    async def start() -> None:
        with pytest.raises(NotRunning, match=r"Endless\(orders\) was stopped before it was up"):
            await orders.start()

    async with broker, create_task_group() as tasks:
        tasks.start_soon(start)
        await idle()
        with move_on_after(1):
            await orders.stop()


async def test_stopping_a_subscriber_of_a_broker_that_does_not_run_does_nothing(
    broker: MemoryBroker,
) -> None:
    orders = broker.subscriber("orders")

    await orders.stop()

    assert not orders.running
