"""A Kafka that is away: a state, told once, that mends itself; but not what mends never."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator
from time import monotonic

import pytest
from anyio import Event as Signal
from anyio import create_task_group, fail_after, move_on_after, sleep

from callboard_brokers import Capacity, ConnectionLost, Message
from callboard_brokers.events import Event
from callboard_brokers.kafka import Kafka, KafkaOptions, KafkaTarget
from callboard_brokers.kafka._client import make_producer
from callboard_brokers.kafka._servers import Servers
from callboard_brokers.kit import Journal

from ...proxy import Proxy, proxy
from .cluster import Cluster, bodies, source, take

pytestmark = [pytest.mark.anyio, pytest.mark.broker("kafka"), pytest.mark.slow]

SOON = KafkaOptions(request_timeout_ms=1000, metadata_max_age_ms=1000)
ONCE = KafkaOptions(request_timeout_ms=1000)  # nothing is asked again before it is needed


@pytest.fixture
def through() -> str:
    """Where the proxy listens."""
    return os.environ["CALLBOARD_KAFKA_PROXY"]


@pytest.fixture
async def network(through: str) -> AsyncGenerator[Proxy]:
    async with proxy(through, os.environ["CALLBOARD_KAFKA_PROXIED"]) as network:
        yield network


async def test_a_cut_connection_heals_without_loss(
    network: Proxy, through: str, cluster: Cluster, topic: str
) -> None:
    kafka = Kafka(through, SOON)
    read: set[bytes] = set()
    async with (
        kafka.connect() as connection,
        connection.subscribe(source(topic), Capacity(10)) as subscription,
    ):
        for n in range(30):
            if n % 10 == 5:
                network.cut()
            await connection.publish(Message(b"%d" % n), KafkaTarget(topic))
        with fail_after(20):
            while len(read) < 30:
                for delivery in await subscription.receive(10):
                    read.add(delivery.message.body)
                    delivery.ack()

    assert read == {b"%d" % n for n in range(30)}
    assert network.connections > 4
    assert await cluster.committed(f"{topic}.readers") == {0: 30}


async def test_publishing_waits_while_kafka_is_away(
    network: Proxy, through: str, topic: str
) -> None:
    async with Kafka(through, SOON).connect() as connection:
        await connection.publish(Message(b"before"), KafkaTarget(topic))
        network.refuse = True
        network.cut()
        with move_on_after(0.5) as scope:
            await connection.publish(Message(b"meanwhile"), KafkaTarget(topic))
        assert scope.cancelled_caught
        with pytest.raises(ConnectionLost, match=through):
            await connection.ping()

        network.restore()
        await connection.publish(Message(b"after"), KafkaTarget(topic))
        async with connection.subscribe(source(topic), Capacity(10)) as subscription:
            # Cancelling the wait does not call back what was handed over.
            assert bodies(await take(subscription, 3)) == [b"before", b"meanwhile", b"after"]


async def test_silence_is_not_taken_for_a_topic_that_does_not_exist(
    network: Proxy, through: str, topic: str
) -> None:
    async with Kafka(through, ONCE).connect() as connection:
        async with connection.subscribe(source(topic), Capacity(10)):
            pass  # the topic is there; where it is, the producer has not asked yet
        network.refuse = True
        network.cut()
        with pytest.raises(ConnectionLost, match=topic) as caught, fail_after(15):
            await connection.publish(Message(b"meanwhile"), KafkaTarget(topic))
        with pytest.raises(ConnectionLost), fail_after(15):
            await connection.publish_batch([Message(b"meanwhile")], KafkaTarget(topic))
        assert not caught.value.hopeless

        network.restore()
        with fail_after(15):
            while True:
                try:
                    await connection.publish(Message(b"after"), KafkaTarget(topic))
                except ConnectionLost:
                    continue
                break


async def test_a_server_that_is_away_is_asked_seldom_and_told_of_seldom(
    network: Proxy, through: str, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    kafka = Kafka(through)
    async with (
        kafka.connect() as connection,
        connection.subscribe(source(topic), Capacity(10)),
        create_task_group() as tasks,
    ):
        await connection.publish(Message(b"before"), KafkaTarget(topic))
        network.refuse = True
        network.cut()
        caplog.clear()
        with caplog.at_level(logging.INFO):
            for _ in range(10):
                tasks.start_soon(connection.publish, Message(b"after"), KafkaTarget(topic))
            await sleep(3)
        network.restore()

    assert network.refused < 150
    assert len({(each.pathname, each.lineno) for each in caplog.records}) == len(caplog.records)


async def test_a_black_hole_is_left_in_time(network: Proxy, through: str, topic: str) -> None:
    kafka = Kafka(through, SOON)
    with fail_after(15):
        async with kafka.connect() as connection, connection.subscribe(source(topic), Capacity(10)):
            await connection.publish(Message(b""), KafkaTarget(topic))
            network.swallow()
            with pytest.raises(ConnectionLost):
                await connection.ping()


async def test_an_unreachable_kafka_is_told_once_and_tried_again(
    network: Proxy, through: str, topic: str
) -> None:
    told: list[tuple[str, str]] = []

    def notify(event: Event) -> None:
        told.append((event.name, event.address))

    network.refuse = True
    async with create_task_group() as tasks:

        async def open_up() -> None:
            await sleep(1.2)
            network.restore()

        tasks.start_soon(open_up)
        async with Kafka(through, notify=notify).connect() as connection:
            await connection.ping()

    assert told == [("connection.lost", through), ("connection.restored", through)]


async def test_a_subscription_to_a_kafka_that_went_away_can_be_left(
    network: Proxy, through: str, topic: str
) -> None:
    async with Kafka(through, SOON).connect() as connection:
        with fail_after(15):
            async with connection.subscribe(source(topic), Capacity(10)) as subscription:
                await connection.publish(Message(b""), KafkaTarget(topic))
                [delivery] = await take(subscription, 1)
                network.refuse = True
                network.cut()
                delivery.ack()
        network.restore()


async def hear(told: list[tuple[str, str]], count: int) -> None:
    """Wait until *count* events were told."""
    with fail_after(15):
        while len(told) < count:  # noqa: ASYNC110 - of a server
            await sleep(0.05)


async def test_no_server_is_asked_whether_it_is_there_while_one_answers_anyhow() -> None:
    """Nothing listens there: who asks finds that out."""
    lost, calls = Signal(), 0
    journal = Journal(lambda _: lost.set())
    servers = Servers(["127.0.0.1:1"], KafkaOptions(), journal)
    producer = make_producer(servers.addresses, servers.options)

    def heard() -> float:
        nonlocal calls
        calls += 1
        assert not journal.counts
        return monotonic() - 0.7 if calls < 6 else 0.0

    async with create_task_group() as tasks:
        tasks.start_soon(servers.watch, producer, heard)
        with fail_after(15):
            await lost.wait()
        tasks.cancel_scope.cancel()
    await producer.stop()

    assert calls == 6


@pytest.mark.parametrize("how", ["refused", "swallowed"])
async def test_a_kafka_that_goes_away_is_told_once_though_nobody_publishes_or_reads(
    network: Proxy, through: str, how: str
) -> None:
    told: list[tuple[str, str]] = []

    def notify(event: Event) -> None:
        told.append((event.name, event.address))

    async with Kafka(through, notify=notify).connect():
        if how == "swallowed":
            network.swallow()
        else:
            network.refuse = True
            network.cut()
        await hear(told, 1)
        await sleep(4)
        assert told == [("connection.lost", through)]

        network.restore()
        await hear(told, 2)

    assert told == [("connection.lost", through), ("connection.restored", through)]
