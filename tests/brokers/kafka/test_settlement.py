"""What is committed, what comes again, and where a restart goes on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from anyio import current_time, fail_after, move_on_after, sleep

from callboard_brokers import BrokerError, Capacity, Delivery, Message
from callboard_brokers.kafka import Kafka, KafkaTarget, Record, TopicPartition
from callboard_brokers.kafka.connection import KafkaConnection, KafkaSubscription

from .cluster import Cluster, bodies, client, source, take

pytestmark = [pytest.mark.anyio, pytest.mark.broker("kafka"), pytest.mark.slow]


async def publish(connection: KafkaConnection, topic: str, count: int, partition: int = 0) -> None:
    messages = [Message(b"%d" % n) for n in range(count)]
    await connection.publish_batch(messages, KafkaTarget(topic, partition=partition))


async def test_a_commit_does_not_pass_an_unsettled_record(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    reading = source(topic, commit_interval=0.1)
    await publish(connection, topic, 10)

    async with connection.subscribe(reading, Capacity(100)) as subscription:
        taken = await take(subscription, 10)
        for delivery in [*taken[5:], *taken[:3]]:
            delivery.ack()
        await cluster.until_committed(f"{topic}.readers", 3)
        for delivery in taken[3:5]:
            delivery.ack()
        await cluster.until_committed(f"{topic}.readers", 10)


async def test_a_stop_commits_what_is_settled_without_a_gap(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await publish(connection, topic, 10)

    async with connection.subscribe(source(topic), Capacity(100)) as subscription:
        for n, delivery in enumerate(await take(subscription, 10)):
            if n != 4:
                delivery.ack()

    assert await cluster.committed(f"{topic}.readers") == {0: 4}


async def test_a_restart_goes_on_exactly_where_it_stopped(
    connection: KafkaConnection, topic: str
) -> None:
    await publish(connection, topic, 30)
    read: list[bytes] = []
    for _ in range(3):
        async with connection.subscribe(source(topic), Capacity(100)) as subscription:
            taken = await take(subscription, 10)
            read += bodies(taken)
            for delivery in taken:
                delivery.ack()

    assert read == [b"%d" % n for n in range(30)]


async def test_many_settlements_are_committed_before_the_interval(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await publish(connection, topic, 50)
    reading = source(topic, commit_interval=60, commit_every=20)

    async with connection.subscribe(reading, Capacity(100)) as subscription:
        for delivery in await take(subscription, 50):
            delivery.ack()
        await cluster.until_committed(f"{topic}.readers", 50)


async def test_a_group_that_began_at_the_end_misses_nothing_after_a_restart(
    connection: KafkaConnection, topic: str
) -> None:
    reading = source(topic, auto_offset_reset="latest")
    async with connection.subscribe(reading, Capacity(100)):
        pass
    await publish(connection, topic, 3)

    async with connection.subscribe(reading, Capacity(100)) as subscription:
        assert bodies(await take(subscription, 3)) == [b"0", b"1", b"2"]


async def test_a_delayed_nack_holds_back_no_other_partition_nor_record(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await cluster.create(topic, 2)
    await publish(connection, topic, 3, partition=0)
    await publish(connection, topic, 3, partition=1)

    async with connection.subscribe(source(topic), Capacity(100)) as subscription:
        [first] = await take(subscription, 1)
        nacked_at = current_time()
        first.nack(delay=0.5)
        for delivery in await take(subscription, 5):
            delivery.ack()
        others_at = current_time()
        [again] = await take(subscription, 1)

        assert others_at - nacked_at < 0.4
        assert current_time() - nacked_at >= 0.5
        assert again.message.body == first.message.body


async def test_nacks_without_a_delay_back_off(connection: KafkaConnection, topic: str) -> None:
    await publish(connection, topic, 1)
    times: list[float] = []
    async with connection.subscribe(source(topic), Capacity(100)) as subscription:
        for _ in range(4):
            [delivery] = await take(subscription, 1)
            times.append(current_time())
            delivery.nack()

    pauses = [later - sooner for sooner, later in pairwise(times)]
    assert [round(pause, 1) for pause in pauses] == [0.1, 0.2, 0.4]


async def test_a_rejected_record_is_done_with(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await publish(connection, topic, 2)
    async with connection.subscribe(source(topic), Capacity(100)) as subscription:
        for delivery in await take(subscription, 2):
            delivery.reject()

    assert await cluster.committed(f"{topic}.readers") == {0: 2}


async def test_without_a_group_everybody_reads_everything_and_nothing_is_committed(
    connection: KafkaConnection, topic: str
) -> None:
    await publish(connection, topic, 3)
    alone = source(topic, group=None)
    for _ in range(2):
        async with connection.subscribe(alone, Capacity(100)) as subscription:
            taken = await take(subscription, 3)
            for delivery in taken:
                delivery.ack()

            assert bodies(taken) == [b"0", b"1", b"2"]


async def test_gaps_in_the_log_do_not_stop_the_commits(
    address: str, connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    """An aborted transaction and the markers of both leave offsets that no reader sees."""
    await cluster.create(topic)
    async with client.AIOKafkaProducer(
        bootstrap_servers=address, transactional_id=topic
    ) as producer:
        for keep in (True, False, True):
            await producer.begin_transaction()
            await producer.send_and_wait(topic, b"kept" if keep else b"aborted")
            await (producer.commit_transaction() if keep else producer.abort_transaction())
    reading = source(topic, isolation_level="read_committed", commit_interval=0.1)

    async with connection.subscribe(reading, Capacity(100)) as subscription:
        for delivery in await take(subscription, 2):
            assert delivery.message.body == b"kept"
            delivery.ack()
        await cluster.until_committed(f"{topic}.readers", 6)


async def test_a_compacted_log_is_read_over_its_gaps(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    compacting = {
        "cleanup.policy": "compact",
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.01",
        "max.compaction.lag.ms": "100",
    }
    await cluster.create(topic, 1, compacting)
    for n in range(4):
        for key in ("a", "b"):
            await connection.publish(Message(b"%d" % n), KafkaTarget(topic, key=key))

    # Compaction has no end that could be awaited: read until the older values are gone.
    offsets, attempt = [0], 0
    with fail_after(45):
        while offsets[0] == 0:
            attempt += 1
            await sleep(0.1)
            await connection.publish(Message(b"tick"), KafkaTarget(topic, key="tick"))
            async with connection.subscribe(
                source(topic, f"try-{attempt}"), Capacity(100)
            ) as subscription:
                taken = await subscription.receive(100)
                offsets = [each.message.raw_message.offset for each in taken]
                for delivery in taken:
                    delivery.ack()

    committed = await cluster.committed(f"{topic}.try-{attempt}")
    assert offsets == sorted(offsets)
    assert len(offsets) < offsets[-1] + 1
    assert committed == {0: offsets[-1] + 1}


async def test_offsets_that_are_gone_are_skipped_from_the_earliest(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await publish(connection, topic, 10)
    async with connection.subscribe(source(topic), Capacity(100)) as subscription:
        for delivery in await take(subscription, 2):
            delivery.ack()
    await cluster.delete_before(topic, 7)

    async with connection.subscribe(source(topic), Capacity(100)) as subscription:
        assert bodies(await take(subscription, 3)) == [b"7", b"8", b"9"]


async def test_offsets_that_are_gone_are_an_error_if_nothing_says_where_to_go_on(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await publish(connection, topic, 10)
    async with connection.subscribe(source(topic), Capacity(100)) as subscription:
        for delivery in await take(subscription, 2):
            delivery.ack()
    await cluster.delete_before(topic, 7)

    with pytest.raises(BrokerError, match=r"OffsetOutOfRange.*auto_offset_reset"):
        async with connection.subscribe(
            source(topic, auto_offset_reset="none"), Capacity(1)
        ) as subscription:
            await subscription.receive(1)


async def test_a_partition_is_held_while_its_span_is_used_up(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await cluster.create(topic, 2)
    await publish(connection, topic, 200, partition=0)
    reading = source(topic, max_span=20)
    async with connection.subscribe(reading, Capacity(10)) as subscription:
        [stuck, *others] = await take(subscription, 10)
        for delivery in others:
            delivery.ack()
        seen = 10
        while (batch := await _soon(subscription)) is not None:
            seen += len(batch)
            for delivery in batch:
                delivery.ack()
        await publish(connection, topic, 3, partition=1)
        free = await subscription.receive(3)

        assert 20 < seen <= 20 + 10 + 10
        assert {each.message.raw_message.partition for each in free} == {1}
        stuck.ack()
        assert len(await take(subscription, 15)) == 15


async def test_a_seek_reads_again_and_makes_what_was_delivered_stale(
    kafka: Kafka, connection: KafkaConnection, topic: str
) -> None:
    await publish(connection, topic, 5)
    async with connection.subscribe(source(topic), Capacity(100)) as subscription:
        before = await take(subscription, 5)
        subscription.seek(TopicPartition(topic, 0), 3)
        before[0].ack()

        assert bodies(await take(subscription, 2)) == [b"3", b"4"]
        assert kafka.counts["settle.stale"] == 1


async def _soon(subscription: KafkaSubscription) -> Sequence[Delivery[Record]] | None:
    """What comes within half a second."""
    with move_on_after(0.5):
        return await subscription.receive(100)
    return None
