"""What the page on failure says of each broker is what its adapter says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from callboard import MemoryBroker
from callboard.kafka import KafkaBroker
from callboard.nats import NatsBroker
from callboard.rabbit import QueueType, RabbitBroker, RabbitQueue
from callboard.redis import RedisBroker, StreamSub

PAGE = Path(__file__).parents[2] / "docs" / "failure.md"
ROWS = {
    "comes again after a nack": "redelivers",
    "a nack with a delay": "delays",
    "tries are counted beyond a restart": "counts_deliveries",
    "dead letters of the broker's own": "keeps_rejected",
    "messages have keys": "keys",
}


def features(broker: Any, *source: Any, **options: Any) -> Any:
    subscriber = broker.subscriber(*source, **options)
    return broker.slot.adapter.features(subscriber.source)


def queue(kind: QueueType) -> Any:
    return features(
        RabbitBroker("amqp://localhost/"), RabbitQueue("q", kind, dead_letter_exchange="dead")
    )


SAID = {
    "memory": lambda: features(MemoryBroker(), "t", group="g"),
    "Kafka": lambda: features(KafkaBroker("localhost:9092"), "t", group_id="g"),
    "RabbitMQ, classic queue": lambda: queue(QueueType.CLASSIC),
    "RabbitMQ, quorum queue": lambda: queue(QueueType.QUORUM),
    "JetStream": lambda: features(NatsBroker("localhost:4222"), "t", stream="s", durable="d"),
    "Redis, stream with a group": lambda: features(
        RedisBroker("redis://localhost"), stream=StreamSub("t", group="g", consumer="c")
    ),
    "Redis, list": lambda: features(RedisBroker("redis://localhost"), list="t"),
    "NATS core": lambda: features(NatsBroker("localhost:4222"), "t"),
}


def table() -> Mapping[str, Mapping[str, str]]:
    """Return the cells of the first table, by row and column."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    columns = rows[0][1:]
    return {
        name: dict(zip(columns, cells, strict=True))
        for name, *cells in rows[2:]
        if len(cells) == len(columns)
    }


@pytest.mark.parametrize("column", SAID)
def test_the_page_on_failure_says_of_a_broker_what_its_adapter_says(column: str) -> None:
    said, cells = SAID[column](), table()

    assert {row: not cells[row][column].startswith("no") for row in ROWS} == {
        row: getattr(said, name) for row, name in ROWS.items()
    }


def test_the_page_on_failure_leaves_no_broker_out() -> None:
    assert table()["comes again after a nack"].keys() == SAID.keys()
