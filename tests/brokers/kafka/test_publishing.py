"""What goes to Kafka, and how its answer is waited for."""

from __future__ import annotations

import pytest
from anyio import CancelScope, create_task_group, fail_after

from callboard_brokers import (
    BatchFailed,
    BatchPublishing,
    BrokerError,
    Capacity,
    ConnectionClosed,
    DestinationError,
    Message,
    MessageTooLarge,
    Reaching,
    Requesting,
    Unroutable,
)
from callboard_brokers.kafka import (
    Kafka,
    KafkaMessage,
    KafkaOptions,
    KafkaTarget,
    Topic,
)
from callboard_brokers.kafka.connection import KafkaConnection

from .cluster import Cluster, bodies, source, take

pytestmark = [pytest.mark.anyio, pytest.mark.broker("kafka"), pytest.mark.slow]


async def carried(connection: KafkaConnection, message: Message, target: KafkaTarget) -> Message:
    async with connection.subscribe(source(target.topic), Capacity(10)) as subscription:
        await connection.publish(message, target)
        [delivery] = await take(subscription, 1)
        delivery.ack()
        return delivery.message


async def test_a_received_message_is_a_kafka_message_with_the_clients_record(
    connection: KafkaConnection, topic: str
) -> None:
    received = await carried(connection, Message(b"x"), KafkaTarget(topic, timestamp_ms=1234))

    assert isinstance(received, KafkaMessage)
    assert (received.raw_message.offset, received.raw_message.timestamp) == (0, 1234)


async def test_the_key_of_a_target_replaces_that_of_the_message(
    connection: KafkaConnection, topic: str
) -> None:
    received = await carried(connection, Message(b"", key=b"old"), KafkaTarget(topic, key="new"))

    assert received.key == b"new"


async def test_messages_without_a_key_have_none(connection: KafkaConnection, topic: str) -> None:
    assert (await carried(connection, Message(b"x"), KafkaTarget(topic))).key is None


async def test_a_receipt_says_where_a_record_is(connection: KafkaConnection, topic: str) -> None:
    target = KafkaTarget(topic, partition=0)
    receipts = [await connection.publish(Message(b""), target) for _ in range(2)]

    assert [(each.topic, each.offset) for each in receipts if each] == [(topic, 0), (topic, 1)]
    assert await connection.publish(Message(b""), KafkaTarget(topic, no_confirm=True)) is None


async def test_a_tombstone_arrives_as_a_null(connection: KafkaConnection, topic: str) -> None:
    received = await carried(
        connection, Message(b"ignored", key=b"k"), KafkaTarget(topic, tombstone=True)
    )

    assert isinstance(received, KafkaMessage)
    assert received.raw_message.value is None
    assert (received.body, received.key) == (b"", b"k")


async def test_a_tombstone_needs_a_key(connection: KafkaConnection, topic: str) -> None:
    with pytest.raises(DestinationError, match="key"):
        await connection.publish(Message(b""), KafkaTarget(topic, tombstone=True))


async def test_a_batch_keeps_its_order(connection: KafkaConnection, topic: str) -> None:
    assert isinstance(connection, BatchPublishing)
    messages = [Message(b"%d" % n) for n in range(500)]
    await connection.publish_batch(messages, KafkaTarget(topic))

    async with connection.subscribe(source(topic), Capacity(1000)) as subscription:
        assert bodies(await take(subscription, 500)) == [message.body for message in messages]


async def test_a_batch_says_which_of_it_kafka_has_not_taken(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await cluster.create(topic, 1, {"max.message.bytes": "30000"})
    messages = [Message(b"x" * size) for size in (10, 40_000, 20)]

    with pytest.raises(BatchFailed, match="1 of 3 not published") as caught:
        await connection.publish_batch(messages, KafkaTarget(topic))
    assert {n: type(error) for n, error in caught.value.failures.items()} == {1: MessageTooLarge}


async def test_a_record_that_was_refused_does_not_stand_in_the_way_of_the_next(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    """The client has counted it, so that the server misses a number in what follows."""
    await cluster.create(topic, 1, {"max.message.bytes": "1000"})
    for n in range(3):
        await connection.publish(Message(b"%d" % n), KafkaTarget(topic))
        with pytest.raises(MessageTooLarge):
            await connection.publish(Message(b"x" * 2000), KafkaTarget(topic))
    await connection.publish_batch([Message(b"3"), Message(b"4")], KafkaTarget(topic))

    async with connection.subscribe(source(topic), Capacity(10)) as subscription:
        assert bodies(await take(subscription, 5)) == [b"0", b"1", b"2", b"3", b"4"]


async def test_only_the_record_is_blamed_that_makes_its_batch_too_large(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await cluster.create(topic, 1, {"max.message.bytes": "1000"})
    sizes = (10, 700, 2000)
    for hopeless in ([False, False, False], [None, None, True]):
        handed = [await connection.send(Message(b"x" * size), KafkaTarget(topic)) for size in sizes]
        failures: list[BrokerError | None] = []
        for sent in handed:
            sent.then(failures.append)
        await connection.flush()

        assert [failure and failure.hopeless for failure in failures] == hopeless


async def test_whoever_waits_for_each_record_is_told_of_his_own(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await cluster.create(topic, 1, {"max.message.bytes": "1000"})
    failures: dict[int, BrokerError] = {}

    async def publish(size: int) -> None:
        try:
            await connection.publish(Message(b"x" * size), KafkaTarget(topic))
        except BrokerError as failure:
            failures[size] = failure

    async with create_task_group() as tasks:
        for size in (10, 700, 2000, 800):
            tasks.start_soon(publish, size)

    assert {size: type(failure) for size, failure in failures.items()} == {2000: MessageTooLarge}


async def test_only_the_record_of_a_batch_is_blamed_whose_contents_are_refused(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await cluster.create(topic, 1, {"cleanup.policy": "compact"})
    messages = [Message(b"a key", key=b"key"), Message(b"no key")]
    told: list[dict[int, bool]] = []
    for _ in range(2):
        with pytest.raises(BatchFailed) as caught:
            await connection.publish_batch(messages, KafkaTarget(topic))
        told.append({n: error.hopeless for n, error in caught.value.failures.items()})

    assert told == [{0: False, 1: False}, {1: True}]


async def test_records_share_their_batches_again_if_what_was_refused_does_not_come_again(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await cluster.create(topic, 1, {"cleanup.policy": "compact"})
    told: list[BrokerError | None] = []
    for others in (1000, 1):
        (await connection.send(Message(b"no key"), KafkaTarget(topic))).then(told.append)
        await connection.flush()
        await connection.publish_batch([Message(b"", key=b"k")] * others, KafkaTarget(topic))

    assert [error and error.hopeless for error in told] == [False, False]


async def test_a_record_whose_contents_are_refused_is_found_among_others(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    """Kafka refuses a whole batch, of which only one record may be to blame."""
    await cluster.create(topic, 1, {"cleanup.policy": "compact"})
    told: list[BrokerError | None] = []
    for _ in range(3):
        (await connection.send(Message(b"no key"), KafkaTarget(topic))).then(told.append)
        await connection.flush()
        await connection.publish(Message(b"a key", key=b"key"), KafkaTarget(topic))

    assert [error and error.hopeless for error in told] == [False, True, False]


async def test_a_flush_waits_for_what_was_sent(connection: KafkaConnection, topic: str) -> None:
    outcomes: list[object] = []
    for n in range(100):
        (await connection.send(Message(b"%d" % n), KafkaTarget(topic))).then(outcomes.append)
    await connection.flush()

    assert outcomes == [None] * 100


async def test_a_confirmation_says_why_a_record_was_refused(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await cluster.create(topic, 1, {"max.message.bytes": "1000"})
    sent = await connection.send(Message(b"x" * 2000), KafkaTarget(topic))
    with pytest.raises(MessageTooLarge) as waited:
        await sent.wait()
    told: list[object] = []
    sent.then(told.append)

    assert [str(error) for error in told] == [str(waited.value)]


async def test_who_is_cancelled_while_he_waits_cancels_no_record(
    connection: KafkaConnection, topic: str
) -> None:
    sent = await connection.send(Message(b"on its way"), KafkaTarget(topic))
    with CancelScope() as scope:
        scope.cancel()
        await sent.wait()
    await sent.wait()

    assert scope.cancelled_caught


async def test_a_record_beyond_the_limit_is_refused(
    kafka: Kafka, connection: KafkaConnection, topic: str
) -> None:
    with pytest.raises(MessageTooLarge, match=rf"2000\d+ bytes.*{topic}.*max_request_size"):
        await connection.publish(Message(b"x" * 2_000_000), KafkaTarget(topic))


@pytest.mark.parametrize("size", [2_000_000, 9_950])
async def test_a_record_beyond_the_limit_refuses_its_batch_before_any_of_it_is_sent(
    address: str, topic: str, size: int
) -> None:
    limit = 1_000_000 if size > 1_000_000 else 10_000
    kafka = Kafka(address, KafkaOptions(max_request_size=limit))
    messages = [Message(b"x"), Message(b"y" * size), Message(b"z")]
    async with kafka.connect() as connection:
        with pytest.raises(MessageTooLarge, match=f"max_request_size is {limit}"):
            await connection.publish_batch(messages, KafkaTarget(topic))
        await connection.publish(Message(b"first"), KafkaTarget(topic))

        async with connection.subscribe(source(topic), Capacity(10)) as subscription:
            assert bodies(await take(subscription, 1)) == [b"first"]


async def test_a_record_beyond_the_servers_limit_is_refused(address: str, topic: str) -> None:
    """Also where nobody waits for the answer: then it is told."""
    kafka = Kafka(address, KafkaOptions(max_request_size=10_000_000))
    async with kafka.connect() as connection:
        big = Message(b"x" * 2_000_000)
        told: list[BrokerError | None] = []
        (await connection.send(big, KafkaTarget(topic))).then(told.append)
        await connection.flush()
        assert "with what else was sent" in str(told)
        with pytest.raises(MessageTooLarge, match=rf"2000\d+ bytes.*{topic}.*max.message.bytes"):
            await connection.publish(big, KafkaTarget(topic))
        await connection.publish(big, KafkaTarget(topic, no_confirm=True))
        await connection.flush()
        await connection.publish(Message(b"small"), KafkaTarget(topic))

    assert kafka.counts["publish.failed"] == 1


async def test_a_partition_that_is_not_there_is_named(
    connection: KafkaConnection, topic: str
) -> None:
    with pytest.raises(DestinationError, match=rf"{topic}.*partition 7"):
        await connection.publish(Message(b""), KafkaTarget(topic, partition=7))


async def test_a_partition_that_has_come_since_the_topic_was_looked_at_is_found(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await connection.publish(Message(b""), KafkaTarget(topic, partition=0))
    await cluster.grow(topic, 2)

    with fail_after(45):
        while True:  # the servers tell each other in their own time
            try:
                await connection.publish(Message(b""), KafkaTarget(topic, partition=1))
            except DestinationError:
                continue
            break


@pytest.mark.parametrize("name", ["", "with space", "x" * 250, ".."])
async def test_an_impossible_topic_is_named(connection: KafkaConnection, name: str) -> None:
    with pytest.raises(DestinationError, match="name of a topic"):
        await connection.publish(Message(b""), KafkaTarget(name))


async def test_a_missing_topic_that_may_not_be_created_is_an_error(
    address: str, cluster: Cluster, topic: str
) -> None:
    kafka = Kafka(address, KafkaOptions(allow_auto_create_topics=False))
    async with kafka.connect() as connection:
        with pytest.raises(Unroutable, match=topic) as caught:
            await connection.publish(Message(b""), KafkaTarget(topic))
        assert not caught.value.hopeless  # it may be created yet
        with pytest.raises(DestinationError, match=topic):
            async with connection.subscribe(source(topic), Capacity(1)):
                pytest.fail("subscribed to a topic that is not there")

    assert topic not in await cluster.topics()


async def test_a_target_that_is_not_to_be_created_is_not(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    target = KafkaTarget(topic, create=False)
    assert isinstance(connection, Reaching)
    for _ in range(2):
        with pytest.raises(Unroutable, match=topic):
            await connection.reach(target)
        with pytest.raises(Unroutable, match=topic):
            await connection.publish(Message(b""), target)
        with pytest.raises(Unroutable, match=topic):
            await connection.publish_batch([Message(b"")], target)
    assert topic not in await cluster.topics()

    await cluster.create(topic)
    await connection.reach(target)
    await connection.publish(Message(b""), target)
    with pytest.raises(DestinationError, match="no partition 7"):
        await connection.reach(KafkaTarget(topic, partition=7))


async def test_a_topic_is_prepared_that_any_of_its_targets_may_create(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await connection.prepare([], [KafkaTarget(topic), KafkaTarget(topic, create=False)])
    await connection.prepare([], [KafkaTarget(f"{topic}.not", create=False)])

    assert {topic, f"{topic}.not"} & await cluster.topics() == {topic}


async def test_a_declared_topic_is_created_as_declared(
    address: str, cluster: Cluster, topic: str
) -> None:
    declared = Topic(topic, num_partitions=3, config={"cleanup.policy": "compact"})
    kafka = Kafka(address, KafkaOptions(topics=[declared], allow_auto_create_topics=False))
    for _ in range(2):  # the second time it is there already
        async with kafka.connect() as connection:
            await connection.publish(Message(b"", key=b"k"), KafkaTarget(topic, partition=2))


async def test_a_reply_comes_with_what_was_asked_beside_others_that_overlap(
    address: str, topic: str
) -> None:
    kafka = Kafka(address, KafkaOptions(reply_topic=f"{topic}.replies"))
    async with (
        kafka.connect() as connection,
        connection.subscribe(source(topic), Capacity(10)) as reader,
    ):
        assert isinstance(connection, Requesting)
        replies: list[Message] = []

        async def ask(body: bytes) -> None:
            asking = Message(body, correlation_id="the same for all")
            replies.append(await connection.request(asking, KafkaTarget(topic), 5))

        async with create_task_group() as tasks:
            for body in (b"1", b"2", b"3"):
                tasks.start_soon(ask, body)
            for delivery in reversed(await take(reader, 3)):
                asked = delivery.message
                answer = Message(b"re " + asked.body, correlation_id=asked.correlation_id)
                await connection.publish(answer, KafkaTarget(asked.reply_to or ""))

    assert sorted(reply.body for reply in replies) == [b"re 1", b"re 2", b"re 3"]


async def test_a_reply_topic_that_may_not_be_created_fails_the_request(
    address: str, cluster: Cluster, topic: str
) -> None:
    await cluster.create(topic)
    options = KafkaOptions(reply_topic=f"{topic}.replies", allow_auto_create_topics=False)
    async with Kafka(address, options).connect() as connection:
        for _ in range(2):
            with pytest.raises(DestinationError, match="replies"), fail_after(45):
                await connection.request(Message(b""), KafkaTarget(topic), 60)


async def test_a_request_that_waits_ends_with_its_connection(address: str, topic: str) -> None:
    ended: list[Exception] = []

    async def ask(connection: KafkaConnection) -> None:
        try:
            await connection.request(Message(b""), KafkaTarget(topic), 10)
        except ConnectionClosed as error:
            ended.append(error)

    async with (
        create_task_group() as tasks,
        Kafka(address).connect() as connection,
        connection.subscribe(source(topic), Capacity(1)) as reader,
    ):
        tasks.start_soon(ask, connection)
        await take(reader, 1)

    assert len(ended) == 1


async def test_a_batch_goes_where_its_keys_and_partitions_say_in_order(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await cluster.create(topic, partitions=3)
    keyed = [Message(b"%d" % n, key=b"%d" % (n % 9)) for n in range(300)]

    await connection.publish_batch(keyed, KafkaTarget(topic))
    for message in keyed[:9]:
        await connection.publish(message, KafkaTarget(topic))  # the partition of a key is the same
    await connection.publish_batch([Message(b"here")] * 3, KafkaTarget(topic, partition=2))
    await connection.publish_batch([Message(b"anywhere")] * 50, KafkaTarget(topic))

    async with connection.subscribe(source(topic, None), Capacity(1000)) as subscription:
        taken = await take(subscription, 362)
    of_key: dict[bytes, list[bytes]] = {}
    partitions: dict[bytes, set[int]] = {}
    for delivery in taken:
        assert isinstance(delivery.message, KafkaMessage)
        record = delivery.message.raw_message
        if record.key is not None:
            of_key.setdefault(record.key, []).append(delivery.message.body)
            partitions.setdefault(record.key, set()).add(record.partition)
        elif delivery.message.body == b"here":
            assert record.partition == 2
    assert all(len(found) == 1 for found in partitions.values())
    for n in range(9):
        expected = [b"%d" % m for m in range(n, 300, 9)]
        assert of_key[b"%d" % n] == [*expected, b"%d" % n]
