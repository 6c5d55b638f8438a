"""The adapter passes the public suite, against a real Kafka."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from callboard_brokers.conformance import CHECKS, Check, Harness
from callboard_brokers.kafka import Kafka, KafkaOptions, KafkaSource, KafkaTarget

from .cluster import client

pytestmark = [pytest.mark.anyio, pytest.mark.broker("kafka"), pytest.mark.slow]


@pytest.fixture
def harness(address: str) -> Harness[KafkaSource, KafkaTarget]:
    # The server takes no batch of over a mebibyte: the suite's largest body has to shrink.
    kafka = Kafka(address, KafkaOptions(compression_type="gzip", max_request_size=2**21))

    async def smuggle(topic: str, headers: Sequence[tuple[str, bytes | None]]) -> None:
        async with client.AIOKafkaProducer(bootstrap_servers=address) as producer:
            await producer.send_and_wait(topic, b"", headers=headers)

    return Harness(
        adapter=kafka,
        source=lambda topic, group: KafkaSource(
            topics=(topic,),
            group_id=f"{topic}.{group}",
            auto_offset_reset="earliest",
            heartbeat_interval_ms=200,
        ),
        target=KafkaTarget,
        stale=lambda: kafka.counts["settle.stale"],
        settled_twice=lambda: kafka.counts["settle.double"],
        smuggle=smuggle,
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_kafka_conforms(check: Check, harness: Harness[KafkaSource, KafkaTarget]) -> None:
    await check(harness)
