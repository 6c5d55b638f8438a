"""A blocked event loop costs nobody his place in the group, as long as it comes back."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
from anyio import fail_after, sleep, to_thread

from callboard_brokers import Capacity, Message
from callboard_brokers.kafka import Kafka, KafkaOptions, KafkaTarget
from callboard_brokers.kafka._mending import Place
from callboard_brokers.kafka._pulse import Pulse
from callboard_brokers.kafka.connection import KafkaSubscription
from callboard_brokers.kit import SASLOAuthBearer

from ...proxy import proxy
from .cluster import Cluster, source, take
from .test_security import token

pytestmark = [pytest.mark.anyio, pytest.mark.broker("kafka"), pytest.mark.slow]

HEARTBEAT = b"\0\x0c"
"""What such a request begins with, behind its length."""
SHORT: dict[str, Any] = {"session_timeout_ms": 1000, "heartbeat_interval_ms": 200}


def compute(seconds: float) -> None:
    """Let the event loop stand still."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


async def until(holds: Callable[[], bool]) -> None:
    """Wait until it *holds*, of another thread."""
    with fail_after(30):
        while not holds():  # noqa: ASYNC110 - see above
            await sleep(0.02)


async def handle(subscription: KafkaSubscription, seconds: float) -> None:
    """Handle one record, for so long."""
    [delivery] = await take(subscription, 1)
    compute(seconds)
    delivery.ack()


async def test_a_member_that_computes_for_longer_than_its_session_stays_a_member(
    kafka: Kafka, cluster: Cluster, topic: str
) -> None:
    async with kafka.connect() as connection:
        await connection.publish(Message(b"hard"), KafkaTarget(topic))
        async with connection.subscribe(source(topic, **SHORT), Capacity(10)) as subscription:
            before = kafka.counts["partitions.revoked"]
            await handle(subscription, 3)
            await cluster.until_committed(f"{topic}.readers", 1)

            assert kafka.counts["partitions.revoked"] == before
    assert kafka.counts["partitions.lost"] == 0


async def test_a_member_stays_though_only_its_loop_can_ask_for_a_token(topic: str) -> None:
    security = SASLOAuthBearer(token(3600))
    kafka = Kafka(os.environ["CALLBOARD_KAFKA_OAUTH"], KafkaOptions(security=security))
    async with (
        kafka.connect() as connection,
        connection.subscribe(source(topic, **SHORT), Capacity(10)) as subscription,
    ):
        await sleep(1)  # the thread has made its connection by then
        await connection.publish(Message(b"hard"), KafkaTarget(topic))
        await handle(subscription, 3)
    assert kafka.counts["partitions.lost"] == 0


async def test_a_member_whose_loop_stands_still_for_too_long_is_let_go(
    kafka: Kafka, cluster: Cluster, topic: str
) -> None:
    impatient = source(topic, max_poll_interval_ms=500, **SHORT)
    async with kafka.connect() as connection:
        await connection.publish(Message(b"endless"), KafkaTarget(topic))
        async with connection.subscribe(impatient, Capacity(10)) as subscription:
            before = kafka.counts["partitions.revoked"]
            await handle(subscription, 3)
            await cluster.until_committed(f"{topic}.readers", 1)

            assert kafka.counts["partitions.revoked"] + kafka.counts["partitions.lost"] > before


async def test_the_thread_keeps_a_link_and_is_silent_until_the_client_is_not_heard() -> None:
    beats, asked = list[bytes](), list[float]()
    is_heard = True

    def note(piece: bytes) -> bool:
        if piece[4:6] == HEARTBEAT:
            beats.append(piece)
        return False

    def where() -> Place:
        asked.append(monotonic())
        host, _, port = os.environ["CALLBOARD_KAFKA_PROXY"].rpartition(":")
        heard = monotonic() - 0.7 if is_heard else 0.0
        return Place(host, int(port), "nobody's", 1, "nobody", heard)

    async with proxy(
        os.environ["CALLBOARD_KAFKA_PROXY"], os.environ["CALLBOARD_KAFKA_PROXIED"]
    ) as network:
        network.hushes = note
        pulse = Pulse(KafkaOptions())
        pulse.add(where, 1.0)
        try:
            await until(lambda: len(asked) > 5)
            first = len(beats)
            is_heard = False
            await until(lambda: len(beats) > 1)
        finally:
            pulse.close()

    assert first == 1  # by which the link was opened


async def test_the_thread_ends_with_its_connection(kafka: Kafka, topic: str) -> None:
    before = set(threading.enumerate())
    async with (
        kafka.connect() as connection,
        connection.subscribe(source(topic), Capacity(10)),
        connection.subscribe(source(topic), Capacity(10)),
    ):
        [thread] = [each for each in threading.enumerate() if each.name == "callboard-kafka-pulse"]
    await to_thread.run_sync(thread.join, 30)

    assert thread not in before
    assert not thread.is_alive()
