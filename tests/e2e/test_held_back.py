"""What a handler publishes by hand is part of its transaction, where it is held back."""

from __future__ import annotations

import os

import pytest

from callboard.kafka import KafkaBroker

from ..brokers.kafka.cluster import cluster_at
from .test_kafka import listen

pytestmark = [pytest.mark.anyio, pytest.mark.broker("kafka"), pytest.mark.slow]


async def test_what_is_published_by_hand_is_committed_with_the_position_or_not_at_all(
    kafka: KafkaBroker, topic: str
) -> None:
    collected, out = listen(kafka, topic)

    @kafka.subscriber(
        topic,
        group_id=topic,
        auto_offset_reset="earliest",
        transactional=True,
        outbox=True,
        dead_letter=f"{topic}.dead",
    )
    async def handle(number: int) -> None:
        await kafka.publish(f"{number}", f"{topic}.out")
        if number == 2:
            await kafka.publish("2" * 2000, f"{topic}.out")

    async with cluster_at(os.environ["CALLBOARD_KAFKA"]) as cluster:
        await cluster.create(f"{topic}.out", 1, {"max.message.bytes": "1000"})
    async with kafka:
        await kafka.start()
        for number in (1, 2, 3):
            await kafka.publish(number, topic)
        await out.complete()
        await collected.complete()

    assert sorted(out) == ["1", "3"]
    assert [number for number, _ in collected] == [2]
