"""The adapter passes the public suite, against a real Kafka."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pytest

from callboard_brokers.conformance import CHECKS, Check, Harness
from callboard_brokers.kafka import Kafka, KafkaOptions, KafkaSource, KafkaTarget, TopicPartition

from .cluster import client

pytestmark = [pytest.mark.anyio, pytest.mark.broker("kafka"), pytest.mark.slow]


KINDS: dict[str, Callable[[str, str], KafkaSource]] = {
    "group": lambda topic, group: KafkaSource(topics=(topic,), group_id=f"{topic}.{group}"),
    "no group": lambda topic, group: KafkaSource(topics=(topic,)),
    "transactional": lambda topic, group: KafkaSource(
        topics=(topic,), group_id=f"{topic}.{group}", transactional=True
    ),
    "partitions": lambda topic, group: KafkaSource(
        partitions=[TopicPartition(topic, 0)], group_id=f"{topic}.{group}"
    ),
}


@pytest.fixture(params=KINDS)
def harness(address: str, request: pytest.FixtureRequest) -> Harness[KafkaSource, KafkaTarget]:
    # The server takes no batch of over a mebibyte: the suite's largest body has to shrink.
    kafka = Kafka(address, KafkaOptions(compression_type="gzip", max_request_size=2**21))
    kind = KINDS[request.param]

    async def smuggle(topic: str, headers: Sequence[tuple[str, bytes | None]]) -> None:
        async with client.AIOKafkaProducer(bootstrap_servers=address) as producer:
            await producer.send_and_wait(topic, b"", headers=headers, partition=0)

    return Harness(
        adapter=kafka,
        source=lambda topic, group: replace(
            kind(topic, group), auto_offset_reset="earliest", heartbeat_interval_ms=200
        ),
        target=partial(KafkaTarget, partition=0),
        stale=lambda: kafka.counts["settle.stale"],
        settled_twice=lambda: kafka.counts["settle.double"],
        smuggle=smuggle,
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_kafka_conforms(check: Check, harness: Harness[KafkaSource, KafkaTarget]) -> None:
    await check(harness)
