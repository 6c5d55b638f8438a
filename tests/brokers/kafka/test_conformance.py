"""The adapter passes the public suite, against a real Kafka."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from callboard_brokers.conformance import CHECKS, Check, Harness
from callboard_brokers.kafka import Kafka, KafkaOptions, KafkaSource, KafkaTarget, TopicPartition
from callboard_brokers.kit import SASLPlaintext

from ...proxy import proxy
from .cluster import client

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.broker("kafka"),
    pytest.mark.slow,
    pytest.mark.timeout(120),
]

# The server takes no batch of over a mebibyte: the suite's largest body has to shrink.
OPTIONS = KafkaOptions(
    compression_type="gzip",
    max_request_size=2**21,
    request_timeout_ms=1000,
    metadata_max_age_ms=1000,
)


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


def refused() -> Kafka | None:
    """Say a wrong password, where there is a server that asks for one; see `wanting`."""
    address = os.environ.get("CALLBOARD_KAFKA_SASL")
    security = SASLPlaintext("alice", "wrong")
    return Kafka(address, replace(OPTIONS, security=security)) if address else None


@pytest.fixture(params=KINDS)
async def harness(
    address: str, request: pytest.FixtureRequest
) -> AsyncGenerator[Harness[KafkaSource, KafkaTarget]]:
    through = os.environ["CALLBOARD_KAFKA_PROXY"]
    kafka, kind = Kafka(through, OPTIONS), KINDS[request.param]

    async def smuggle(topic: str, headers: Sequence[tuple[str, bytes | None]]) -> None:
        async with client.AIOKafkaProducer(bootstrap_servers=address) as producer:
            await producer.send_and_wait(topic, b"", headers=headers, partition=0)

    async with proxy(through, os.environ["CALLBOARD_KAFKA_PROXIED"]) as network:

        async def cut() -> None:
            network.refuse = True
            network.cut()
            await checkpoint()

        async def restore() -> None:
            network.restore()
            await checkpoint()

        yield Harness(
            adapter=kafka,
            source=lambda topic, group: replace(
                kind(topic, group), auto_offset_reset="earliest", heartbeat_interval_ms=200
            ),
            target=partial(KafkaTarget, partition=0),
            stale=lambda: kafka.counts["settle.stale"],
            settled_twice=lambda: kafka.counts["settle.double"],
            smuggle=smuggle,
            cut=cut,
            restore=restore,
            refused=refused(),
            patience=30.0,
        )


def wanting(check: Check) -> Any:
    """Name the servers that *check* needs: to be turned away takes one that asks for a password."""
    needed = ["kafka", "kafka_sasl"] if "not_let_in" in check.__name__ else ["kafka"]
    return pytest.param(check, id=check.__name__, marks=pytest.mark.broker(*needed))


@pytest.mark.parametrize("check", [*map(wanting, CHECKS)])
async def test_kafka_conforms(check: Check, harness: Harness[KafkaSource, KafkaTarget]) -> None:
    await check(harness)
