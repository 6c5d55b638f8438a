"""What is done beyond a committed position travels beside it, and is not handled again."""

from __future__ import annotations

import random
import zlib
from base64 import b64encode

import pytest
from anyio import create_task_group
from hypothesis import given
from hypothesis import strategies as st

from callboard_brokers import Capacity, Message
from callboard_brokers.kafka import Kafka, KafkaSource, KafkaTarget, TopicPartition
from callboard_brokers.kafka._ahead import LIMIT, decode, encode
from callboard_brokers.kafka.connection import KafkaConnection, KafkaSubscription

from .cluster import Cluster, bodies, client, source, take

pytestmark = pytest.mark.anyio

OFFSETS = st.sets(st.integers(0, 3000), max_size=300).map(sorted)


@given(st.integers(0, 2**62), OFFSETS)
def test_what_is_written_down_is_read(position: int, distances: list[int]) -> None:
    ahead = [position + distance for distance in distances]

    assert sorted(decode(position, encode(position, ahead))) == ahead


@given(st.integers(0, 2**62), OFFSETS, st.integers(0, 200))
def test_what_does_not_fit_is_left_out_from_the_end(
    position: int, distances: list[int], limit: int
) -> None:
    ahead = [position + distance for distance in distances]
    text = encode(position, ahead, limit)
    carried = sorted(decode(position, text))

    assert len(text) <= limit
    assert carried == ahead[: len(carried)]


@pytest.mark.parametrize("missing", [0.5, 0.05, 0.005])
def test_a_whole_span_fits(missing: float) -> None:
    chance = random.Random(1)
    ahead = [offset for offset in range(1, 10_000) if chance.random() >= missing]

    assert sorted(decode(0, encode(0, ahead))) == ahead


def test_one_straggler_among_many_takes_little_room() -> None:
    assert len(encode(7, range(8, 50_000))) < 80


@given(st.text() | st.none())
def test_a_text_of_somebody_else_says_nothing(text: str | None) -> None:
    assert decode(3, text) == ()


@given(st.binary(max_size=200), st.booleans())
def test_whatever_stands_in_our_form_is_read_without_an_error(data: bytes, pack: bool) -> None:
    packed = b64encode(zlib.compress(data) if pack else data).decode()
    decode(3, f"callboard.1:3:{packed}")


def test_a_text_that_would_unpack_to_far_too_much_says_nothing() -> None:
    packed = b64encode(zlib.compress(b"\xff" * 10_000_000)).decode()

    assert decode(0, f"callboard.1:0:{packed[:LIMIT]}") == ()
    assert decode(0, f"callboard.1:0:{packed}") == ()


def test_a_text_that_was_copied_to_another_position_says_nothing() -> None:
    assert decode(8, encode(7, [9, 10])) == ()


async def publish(connection: KafkaConnection, topic: str, count: int, partition: int = 0) -> None:
    messages = [Message(b"%d" % n) for n in range(count)]
    await connection.publish_batch(messages, KafkaTarget(topic, partition=partition))


async def read_all_but(subscription: KafkaSubscription, nacked: bytes, count: int) -> list[bytes]:
    """Handle *count* records; one of them fails, and waits for its time."""
    taken = await take(subscription, count)
    for delivery in taken:
        delivery.nack(delay=600) if delivery.message.body == nacked else delivery.ack()
    return bodies(taken)


@pytest.mark.broker("kafka")
@pytest.mark.slow
async def test_a_restart_repeats_only_what_waits_for_its_time(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await publish(connection, topic, 6)
    async with connection.subscribe(source(topic), Capacity(100)) as subscription:
        await read_all_but(subscription, b"2", 6)
    await publish(connection, topic, 2)

    async with connection.subscribe(source(topic), Capacity(100)) as subscription:
        again = await take(subscription, 3)
        for delivery in again:
            delivery.ack()

    assert bodies(again) == [b"2", b"0", b"1"]
    assert await cluster.committed(f"{topic}.readers") == {0: 8}


@pytest.mark.broker("kafka")
@pytest.mark.slow
async def test_a_takeover_repeats_only_what_waits_for_its_time(
    kafka: Kafka, connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await publish(connection, topic, 6)
    again: list[bytes] = []

    async def read(subscription: KafkaSubscription) -> None:
        while True:
            for delivery in await subscription.receive(10):
                again.append(delivery.message.body)
                delivery.ack()

    async with (
        connection.subscribe(source(topic), Capacity(100)) as first,
        create_task_group() as tasks,
    ):
        await read_all_but(first, b"2", 6)
        async with connection.subscribe(source(topic), Capacity(100)) as second:
            tasks.start_soon(read, first)
            tasks.start_soon(read, second)
            await cluster.until_committed(f"{topic}.readers", 6)
            tasks.cancel_scope.cancel()

    assert again == [b"2"]
    assert kafka.counts["settle.stale"] == 0


@pytest.mark.broker("kafka")
@pytest.mark.slow
async def test_an_idle_member_that_gets_a_partition_gets_all_of_it(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    """It waits inside the client, which hands out what is assigned before we know what is done."""
    await cluster.create(topic, 2)
    async with connection.subscribe(source(topic), Capacity(100)) as second:
        async with connection.subscribe(source(topic), Capacity(100)) as first:
            for partition in (0, 1):
                await publish(connection, topic, 5, partition)
            for delivery in await take(second, 5):
                delivery.ack()
            for delivery in await take(first, 5):
                done = delivery.message.body in {b"1", b"3"}
                delivery.ack() if done else delivery.nack(delay=600)

        assert bodies(await take(second, 3)) == [b"0", b"2", b"4"]


@pytest.mark.broker("kafka")
@pytest.mark.slow
async def test_explicit_partitions_know_what_was_done_as_well(
    connection: KafkaConnection, topic: str
) -> None:
    await publish(connection, topic, 4)
    reading = KafkaSource(
        partitions=(TopicPartition(topic, 0),), group_id=topic, auto_offset_reset="earliest"
    )
    async with connection.subscribe(reading, Capacity(100)) as subscription:
        await read_all_but(subscription, b"0", 4)
    await publish(connection, topic, 1)

    async with connection.subscribe(reading, Capacity(100)) as subscription:
        [again] = await take(subscription, 1)
        again.ack()
        [new] = await subscription.receive(10)

        assert new.message.raw_message.offset == 4


@pytest.mark.broker("kafka")
@pytest.mark.slow
@pytest.mark.parametrize("text", ["mine", "callboard.1:2:AAAA", "callboard.1:9:eJwDAAAAAAE="])
async def test_what_others_write_beside_a_position_is_ignored(
    address: str, connection: KafkaConnection, topic: str, text: str
) -> None:
    await publish(connection, topic, 4)
    name = client.TopicPartition(topic, 0)
    group = f"{topic}.readers"
    # Left to itself it would commit where it is, when it stops.
    other = client.AIOKafkaConsumer(
        bootstrap_servers=address, group_id=group, enable_auto_commit=False
    )
    await other.start()
    other.assign([name])
    await other.commit({name: (2, text)})
    await other.stop()
    await other._client.close()

    async with connection.subscribe(source(topic), Capacity(100)) as subscription:
        assert bodies(await take(subscription, 2)) == [b"2", b"3"]
