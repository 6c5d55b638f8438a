"""What can be said, and checked, before there is a connection; and without the client."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, cast

import pytest

from callboard_brokers import Capacity, DestinationError, Memory, Message
from callboard_brokers.kafka import (
    Kafka,
    KafkaRouting,
    KafkaSource,
    KafkaTarget,
    TopicPartition,
)
from callboard_brokers.kafka._records import path_of

from .cluster import bodies, take

WITHOUT_CLIENT = """
import sys
sys.modules["aiokafka"] = None
import anyio
from callboard_brokers.kafka import Kafka

async def main():
    async with Kafka().connect(): ...

try:
    anyio.run(main)
except ImportError as error:
    print(error)
"""


def test_a_source_reads_one_kind_of_thing() -> None:
    with pytest.raises(DestinationError, match="exactly one"):
        KafkaSource()
    with pytest.raises(DestinationError, match="exactly one"):
        KafkaSource(topics=("a",), pattern="b")
    with pytest.raises(DestinationError, match="exactly one"):
        KafkaSource(topics=("a",), partitions=(TopicPartition("b", 0),))


@pytest.mark.parametrize("pattern", ["(", "{a}.{a}"])
def test_a_pattern_that_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(DestinationError, match="no pattern"):
        KafkaSource(pattern=pattern)


def test_a_topic_that_cannot_be_is_refused() -> None:
    with pytest.raises(DestinationError, match="'a b'"):
        KafkaSource(topics=("a b",))


def test_a_static_member_needs_a_group() -> None:
    with pytest.raises(DestinationError, match="group_id"):
        KafkaSource(topics=("a",), group_instance_id="one")


def test_a_source_has_an_address() -> None:
    assert KafkaSource(topics=("a", "b")).address == "a,b"
    assert KafkaSource(pattern="logs.{level}").address == "logs.{level}"
    assert KafkaSource(partitions=(TopicPartition("a", 3),)).address == "a:3"


@pytest.mark.parametrize(
    ("pattern", "topic", "path"),
    [
        ("logs.{level}", "logs.error", {"level": "error"}),
        ("logs.{level}", "logs.error.old", None),
        (r"v\d{1,2}\.{name}", "v12.orders", {"name": "orders"}),
        ("a|b", "b", {}),
        ("a|b", "ab", None),
        (None, "anything", {}),
    ],
)
def test_a_pattern_matches_whole_names_and_finds_parameters(
    pattern: str | None, topic: str, path: dict[str, str] | None
) -> None:
    assert path_of(pattern, topic) == path


@pytest.mark.slow
def test_the_records_need_no_client() -> None:
    code = "import callboard_brokers.kafka, sys; print('aiokafka' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


@pytest.mark.slow
def test_a_missing_client_names_the_extra() -> None:
    command = [sys.executable, "-c", WITHOUT_CLIENT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert 'pip install "callboard-brokers[kafka]"' in done.stdout


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_trio_is_told_that_the_client_needs_asyncio(anyio_backend: str) -> None:
    with pytest.raises(RuntimeError, match="asyncio only"):
        async with Kafka().connect():
            pytest.fail("connected")


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_the_broker_in_memory_stands_in_by_the_rules_of_kafka(anyio_backend: str) -> None:
    memory: Any = Memory(routing=cast("Any", KafkaRouting()))  # typed for its own records only
    reading = KafkaSource(pattern="orders.{country}", group_id="shipping")
    async with (
        memory.connect() as connection,
        connection.subscribe(reading, Capacity(10)) as one,
        connection.subscribe(KafkaSource(topics=("orders.fr", "orders.no")), Capacity(10)) as two,
    ):
        await connection.publish(Message(b"lamp"), KafkaTarget("orders.fr", key="7", partition=3))
        [delivery] = await take(one, 1)

        assert (delivery.message.key, delivery.message.path) == (b"7", {"country": "fr"})
        assert bodies(await take(two, 1)) == [b"lamp"]
        with pytest.raises(DestinationError):
            await connection.publish(Message(b""), KafkaTarget("no topic"))
