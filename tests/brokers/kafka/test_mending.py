"""What the client does badly at its end, on its own parts: no server is needed for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from callboard_brokers import ConnectionClosed
from callboard_brokers.kafka import KafkaOptions
from callboard_brokers.kafka._client import make_producer
from callboard_brokers.kafka._mending import stop

from .cluster import client

pytestmark = pytest.mark.anyio

WHERE = client.TopicPartition("orders", 0)


@pytest.fixture
async def waiting() -> AsyncGenerator[Any]:
    """What holds the batches of a producer."""
    producer: Any = make_producer(["127.0.0.1:1"], KafkaOptions(enable_idempotence=False))
    yield producer._message_accumulator
    await stop(producer, 1.0)


@pytest.mark.parametrize("first", ["it fails", "it is queued again"])
async def test_a_batch_that_kafka_has_not_taken_fails_when_the_producer_is_cut_off(
    waiting: Any, first: str
) -> None:
    """The client counts on a batch being on its way while it fails, or is queued again."""
    sent = await waiting.add_message(WHERE, None, b"body", 5)
    batch = waiting._pop_batch(WHERE)
    if first == "it is queued again":
        waiting.reenqueue(batch)
    waiting.fail_all(ConnectionClosed("cut off"))
    await checkpoint()
    if first == "it fails":
        waiting.reenqueue(batch)
    await checkpoint()

    assert isinstance(sent.exception(), ConnectionClosed)
