"""Members that come, go and dawdle: nothing is lost, and the keys keep their order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest
from anyio import Event, create_task_group, fail_after, move_on_after, sleep

from callboard_brokers import Capacity, ConnectionClosed, Delivery, Message
from callboard_brokers.events import PartitionsRevoked
from callboard_brokers.kafka import Kafka, KafkaOptions, KafkaSource, KafkaTarget, TopicPartition
from callboard_brokers.kafka.connection import KafkaConnection, KafkaSubscription

from .cluster import Cluster, bodies, source, take

pytestmark = [pytest.mark.anyio, pytest.mark.broker("kafka"), pytest.mark.slow]


class Log:
    """What was handled, by key, in the order of handling."""

    def __init__(self, expected: int) -> None:
        self.by_key: dict[bytes, list[int]] = {}
        self.handled = 0
        self.complete = Event()
        self._seen: set[tuple[bytes, int]] = set()
        self._expected = expected

    def add(self, message: Message) -> None:
        key, number = message.key or b"", int(message.body)
        self.by_key.setdefault(key, []).append(number)
        self._seen.add((key, number))
        self.handled += 1
        if len(self._seen) == self._expected:
            self.complete.set()


async def handle(log: Log, connection: KafkaConnection, reading: KafkaSource, until: Event) -> None:
    """Be a member of the group, and settle what it handles, until told to leave."""
    async with (
        connection.subscribe(reading, Capacity(20)) as subscription,
        create_task_group() as tasks,
    ):

        async def work() -> None:
            while True:
                for delivery in await subscription.receive(5):
                    log.add(delivery.message)
                    await sleep(0.001)
                    delivery.ack()

        async def stop() -> None:
            await until.wait()
            tasks.cancel_scope.cancel()

        tasks.start_soon(work)
        tasks.start_soon(stop)


async def test_members_that_join_and_leave_lose_nothing_and_keep_the_order_of_keys(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await cluster.create(topic, 4)
    keys, each = 20, 100
    log, reading, end, leave = Log(keys * each), source(topic), Event(), Event()

    async def publish() -> None:
        for n in range(each):
            messages = [Message(b"%d" % n, key=b"key-%d" % key) for key in range(keys)]
            for message in messages:
                await connection.send(message, KafkaTarget(topic))
            await connection.flush()
            await sleep(0.01)

    with fail_after(45):
        async with create_task_group() as tasks:
            tasks.start_soon(publish)
            tasks.start_soon(handle, log, connection, reading, end)
            await sleep(0.3)
            tasks.start_soon(handle, log, connection, reading, leave)  # joins under load
            await sleep(0.7)
            leave.set()
            await log.complete.wait()
            end.set()

    # A member that leaves gives back what it holds; what is handled twice repeats in order.
    for numbers in log.by_key.values():
        firsts = list(dict.fromkeys(numbers))
        assert firsts == list(range(each))
    assert log.handled - keys * each <= 2 * 20


async def test_a_revocation_waits_for_what_is_in_flight(
    kafka: Kafka, connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await cluster.create(topic, 2)
    for partition in (0, 1):
        await connection.publish(Message(b"slow"), KafkaTarget(topic, partition=partition))

    async with connection.subscribe(source(topic), Capacity(10)) as one:
        held = await take(one, 2)
        joined = Event()

        async def join() -> None:
            async with connection.subscribe(source(topic), Capacity(10)) as other:
                joined.set()
                with move_on_after(0.5):
                    await other.receive(1)
                    pytest.fail("the record was committed, yet it came again")

        async with create_task_group() as tasks:
            tasks.start_soon(join)
            await sleep(0.5)  # longer than a heartbeat: the rebalance has begun, and waits for us
            assert not joined.is_set()
            for delivery in held:
                delivery.ack()

    assert joined.is_set()
    assert kafka.counts["settle.stale"] == 0


async def test_what_is_not_finished_in_time_is_stale_and_comes_again_elsewhere(
    kafka: Kafka, connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await cluster.create(topic, 1)
    await connection.publish(Message(b"stuck"), KafkaTarget(topic))
    hasty = source(topic, rebalance_timeout_ms=1000)  # half of it is for what is in flight
    again: list[Delivery] = []

    async with connection.subscribe(hasty, Capacity(10)) as one:
        [stuck] = await take(one, 1)
        async with connection.subscribe(hasty, Capacity(10)) as other, create_task_group() as tasks:

            async def receive(subscription: KafkaSubscription) -> None:
                again.extend(await subscription.receive(1))
                tasks.cancel_scope.cancel()

            tasks.start_soon(receive, one)
            tasks.start_soon(receive, other)
        stuck.ack()

    assert bodies(again) == [b"stuck"]
    assert stuck.epoch < one.epoch
    assert kafka.counts["settle.stale"] == 1


async def test_a_revocation_while_nobody_takes_the_records_gives_them_to_others(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await cluster.create(topic, 2)
    for n in range(100):
        await connection.send(Message(b"%d" % n), KafkaTarget(topic, partition=n % 2))
    await connection.flush()

    async with connection.subscribe(source(topic), Capacity(10)):
        await sleep(0.1)  # its buffer is full by now
        async with connection.subscribe(source(topic), Capacity(10)) as other:
            taken = await take(other, 50)

    assert len({delivery.message.body for delivery in taken}) == 50


async def test_a_slow_reader_stays_a_member(
    kafka: Kafka, connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    for n in range(50):
        await connection.send(Message(b"%d" % n), KafkaTarget(topic))
    await connection.flush()
    impatient = source(topic, max_poll_interval_ms=600, session_timeout_ms=1000)

    async with connection.subscribe(impatient, Capacity(5)) as subscription:
        taken = await take(subscription, 5)
        before = kafka.counts["partitions.revoked"]
        await sleep(2)
        for delivery in [*taken, *await take(subscription, 45)]:
            delivery.ack()

        assert kafka.counts["partitions.revoked"] == before
    assert await cluster.committed(f"{topic}.readers") == {0: 50}


async def test_a_static_member_that_is_back_in_time_keeps_its_partitions(
    address: str, connection: KafkaConnection, topic: str
) -> None:
    told: list[object] = []
    static = partial(source, topic, session_timeout_ms=6000)
    kafka = Kafka(address, notify=lambda event: told.append(type(event)))
    async with (
        kafka.connect() as other,
        other.subscribe(static(group_instance_id="a"), Capacity(1)),
    ):
        for _ in range(2):
            async with connection.subscribe(static(group_instance_id="b"), Capacity(1)):
                await sleep(0.4)

    # "b" joined once, and was not missed; it came back as who it was.
    assert told.count(PartitionsRevoked) <= 2


async def test_a_listener_hears_of_partitions_while_nothing_is_delivered(
    connection: KafkaConnection, topic: str
) -> None:
    heard: list[tuple[str, Sequence[TopicPartition]]] = []

    class Listener:
        async def on_partitions_assigned(self, assigned: Sequence[TopicPartition], /) -> None:
            heard.append(("assigned", assigned))

        async def on_partitions_revoked(self, revoked: Sequence[TopicPartition], /) -> None:
            heard.append(("revoked", revoked))

    reading = source(topic, listener=Listener())
    async with (
        connection.subscribe(reading, Capacity(1)),
        connection.subscribe(source(topic), Capacity(1)),
    ):
        pass

    assert heard[:2] == [("assigned", [(topic, 0)]), ("revoked", [(topic, 0)])]


async def test_a_topic_that_grows_is_read_on_without_a_group(
    address: str, cluster: Cluster, topic: str
) -> None:
    kafka = Kafka(address, KafkaOptions(metadata_max_age_ms=300))
    await cluster.create(topic, 1)
    async with kafka.connect() as connection:
        await connection.publish(Message(b"before"), KafkaTarget(topic))
        async with connection.subscribe(source(topic, group=None), Capacity(10)) as subscription:
            assert bodies(await take(subscription, 1)) == [b"before"]
            await cluster.grow(topic, 2)
            await sleep(1)
            for partition in (0, 1):
                await connection.publish(Message(b"after"), KafkaTarget(topic, partition=partition))

            assert bodies(await take(subscription, 2)) == [b"after", b"after"]


async def test_a_pattern_reads_its_topics_with_their_parameters(
    connection: KafkaConnection, topic: str
) -> None:
    for level in ("error", "info"):
        await connection.publish(Message(level.encode()), KafkaTarget(f"{topic}.{level}"))
    await connection.publish(Message(b"no"), KafkaTarget(f"{topic}.error.old"))
    reading = KafkaSource(
        pattern=topic.replace(".", r"\.") + r"\.{level}",
        group_id=topic,
        auto_offset_reset="earliest",
    )

    async with connection.subscribe(reading, Capacity(10)) as subscription:
        taken = await take(subscription, 2)

        assert {each.message.body.decode(): dict(each.message.path) for each in taken} == {
            "error": {"level": "error"},
            "info": {"level": "info"},
        }


async def test_explicit_partitions_are_read_and_committed(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await cluster.create(topic, 3)
    for partition in range(3):
        await connection.publish(
            Message(b"%d" % partition), KafkaTarget(topic, partition=partition)
        )
    reading = KafkaSource(
        partitions=(TopicPartition(topic, 1),), group_id=topic, auto_offset_reset="earliest"
    )
    async with connection.subscribe(reading, Capacity(10)) as subscription:
        [delivery] = await take(subscription, 1)
        delivery.ack()

    assert delivery.message.body == b"1"
    assert await cluster.committed(topic) == {1: 1}


async def test_a_subscription_that_was_left_cannot_be_read(
    connection: KafkaConnection, topic: str
) -> None:
    async with connection.subscribe(source(topic), Capacity(1)) as subscription:
        pass

    with pytest.raises(ConnectionClosed, match=topic):
        await subscription.receive(1)
