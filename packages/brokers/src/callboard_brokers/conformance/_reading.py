"""Reading: who gets what, in which order, how much at once."""

# ruff: noqa: S101 - these are tests: they assert

from __future__ import annotations

from anyio import Event, create_task_group, fail_after, move_on_after, sleep_forever
from anyio.lowlevel import checkpoint

from callboard_brokers._delivery import Delivery
from callboard_brokers._message import Message
from callboard_brokers._port import Subscription
from callboard_brokers.conformance._harness import Harness, Stage


async def a_published_message_is_received(harness: Harness) -> None:
    async with harness.connect() as stage, stage.read() as incoming:
        await stage.publish(b"hello")
        message = (await incoming.one()).message

        assert message.body == b"hello"
        assert message.address == harness.address
        assert not message.processed


async def receive_returns_no_more_than_its_limit(harness: Harness) -> None:
    async with harness.connect() as stage, stage.read() as incoming:
        await stage.publish(*(b"%d" % n for n in range(7)))
        taken = 0
        while taken < 7:
            batch = await incoming.subscription.receive(3)
            taken += len(batch)

            assert 1 <= len(batch) <= 3


async def receive_exceeds_a_bound_in_bytes_by_one_message_at_most(harness: Harness) -> None:
    async with harness.connect() as stage, stage.read() as incoming:
        await stage.publish(*(b"%d" % n * 10 for n in range(7)))
        taken: list[bytes] = []
        while len(taken) < 7:
            batch = await incoming.subscription.receive(7, 15)
            taken += [delivery.message.body for delivery in batch]

            assert 1 <= len(batch) <= 2
        assert sorted(taken) == [b"%d" % n * 10 for n in range(7)]


async def a_cancelled_receive_loses_nothing(harness: Harness) -> None:
    received: list[Delivery] = []
    async with harness.connect() as stage, stage.read() as incoming:
        for n in range(10):
            async with create_task_group() as tasks:
                tasks.start_soon(_receive_into, received, incoming.subscription)
                await checkpoint()
                await stage.publish(b"%d" % n)
                tasks.cancel_scope.cancel()
        received += await incoming.take(10 - len(received))

        assert sorted(each.message.body for each in received) == [b"%d" % n for n in range(10)]


async def the_messages_of_a_key_come_in_order(harness: Harness) -> None:
    harness.needs("ordered_by_key", "keys")
    async with harness.connect() as stage, stage.read() as incoming:
        for n in range(30):
            await stage.send(Message(b"%02d" % n, key=b"key-%d" % (n % 3)))
        taken = [delivery.message for delivery in await incoming.take(30)]
        for key in (b"key-0", b"key-1", b"key-2"):
            bodies = [message.body for message in taken if message.key == key]

            assert bodies == sorted(bodies)
            assert len(bodies) == 10


async def every_group_gets_every_message(harness: Harness) -> None:
    harness.needs("fans_out")
    async with harness.connect() as stage, stage.read("one") as one, stage.read("other") as other:
        await stage.publish(b"to all")

        assert (await one.one()).message.body == b"to all"
        assert (await other.one()).message.body == b"to all"


async def readers_of_one_group_share_its_messages(harness: Harness) -> None:
    harness.needs("groups")
    received, complete = list[Delivery](), Event()
    async with harness.connect() as stage, stage.read() as one, stage.read() as other:
        await stage.publish(*(b"%02d" % n for n in range(20)))
        async with create_task_group() as tasks:
            for incoming in (one, other):
                tasks.start_soon(_settle_all, received, incoming.subscription, complete)
            with fail_after(harness.patience):
                await complete.wait()
            with move_on_after(harness.silence):
                await sleep_forever()  # for what comes to both
            tasks.cancel_scope.cancel()

    assert sorted(each.message.body for each in received) == [b"%02d" % n for n in range(20)]


async def a_group_keeps_its_messages_while_nobody_reads(harness: Harness) -> None:
    harness.needs("persistent")
    async with harness.connect() as stage:
        async with stage.read():
            pass
        await stage.publish(b"kept")
        async with stage.read() as incoming:
            assert (await incoming.one()).message.body == b"kept"


async def publishing_waits_for_a_reader_who_is_behind(harness: Harness) -> None:
    harness.needs("backpressure")
    if harness.bound is None:
        raise ValueError("features.backpressure is true: give the harness its bound")
    done = Event()
    async with harness.connect() as stage, stage.read() as incoming, create_task_group() as tasks:
        tasks.start_soon(_publish_many, stage, 2 * harness.bound, done)
        with move_on_after(harness.silence):
            await done.wait()
        assert not done.is_set()

        for delivery in await incoming.take(2 * harness.bound):
            delivery.ack()
        await done.wait()


async def _receive_into(received: list[Delivery], subscription: Subscription) -> None:
    received += await subscription.receive(1)


async def _settle_all(
    received: list[Delivery], subscription: Subscription, complete: Event
) -> None:
    while True:
        deliveries = await subscription.receive(3)
        received += deliveries
        for delivery in deliveries:
            delivery.ack()
        if len(received) >= 20:
            complete.set()


async def _publish_many(stage: Stage, count: int, done: Event) -> None:
    for _ in range(count):
        await stage.publish(b"one of many")
    done.set()
