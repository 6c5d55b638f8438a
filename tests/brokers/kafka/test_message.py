"""What becomes of headers and ids on the wire, whatever is there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiokafka.record.default_records as records  # pyright: ignore[reportMissingTypeStubs] - it says nothing of its types
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callboard_brokers import BrokerError, Message, forwarding
from callboard_brokers.kafka import KafkaMessage, KafkaTarget
from callboard_brokers.kafka._message import metadata_of
from callboard_brokers.kafka._parcel import Outgoing, outgoing

builder: Any = records.DefaultRecordBatchBuilder

OURS = ("callboard-binary", "content-type", "message_id", "correlation_id", "reply_to")
NAMES = st.sampled_from(OURS) | st.text()


@dataclass
class Fetched:
    """What a client makes of a record."""

    headers: Sequence[tuple[str, bytes | None]]
    value: bytes | None = b""
    key: bytes | None = None
    topic: str = "orders"
    partition: int = 0
    offset: int = 0
    timestamp: int = field(default=0)


def received(headers: Sequence[tuple[str, bytes | None]]) -> KafkaMessage:
    return message_of(Fetched(headers))


def message_of(record: Fetched) -> KafkaMessage:
    return KafkaMessage.received(
        record, record.value, record.topic, record.key, lambda fetched: metadata_of(fetched, {})
    )


@given(st.lists(st.tuples(NAMES, st.none() | st.binary())))
@example([("callboard-binary", b"\xff")])
def test_headers_of_whatever_octets_can_be_read(headers: list[tuple[str, bytes | None]]) -> None:
    message = received(headers)

    assert all(isinstance(value, str | bytes) for value in message.headers.values())
    for text in (message.content_type, message.message_id, message.correlation_id):
        assert text is None or isinstance(text, str)


@given(st.lists(st.tuples(NAMES, st.none() | st.binary())))
@example([("content-type", b"a"), ("callboard-binary", b"content-type"), ("content-type", b"b")])
@example([("reply_to", None), ("content-type", b"\xff")])
def test_what_is_read_alone_is_what_is_read_with_the_rest(
    headers: list[tuple[str, bytes | None]],
) -> None:
    alone, whole = received(headers), received(headers).metadata

    assert (alone.content_type, alone.reply_to) == (whole.content_type, whole.reply_to)


@given(st.lists(st.tuples(NAMES, st.none() | st.binary())))
def test_a_forwarded_record_has_every_header_in_order_and_what_was_added(
    headers: list[tuple[str, bytes | None]],
) -> None:
    letter = forwarding(received(headers), {"why": "none", "raw": b"text"})

    kept = [pair for pair in headers if pair[0] not in {"why", "raw", "reply_to"}]
    wire = outgoing(letter, KafkaTarget("graves")).headers
    assert wire[: len(kept)] == kept
    assert set(wire[len(kept) :]) >= {("why", b"none"), ("raw", b"text")}
    assert letter.reply_to is None


def test_a_forwarded_record_keeps_headers_of_bytes_beside_those_that_are_added() -> None:
    sent = outgoing(Message(b"", headers={"raw": b"text"}), KafkaTarget("orders"))
    letter = forwarding(received(sent.headers), {"more": b"text", "why": "none"})

    again = received(outgoing(letter, KafkaTarget("graves")).headers)
    assert again.headers == {"raw": b"text", "more": b"text", "why": "none"}


def test_a_forwarded_tombstone_is_one() -> None:
    record = Fetched([], value=None, key=b"k")
    letter = forwarding(message_of(record), {})

    assert outgoing(letter, KafkaTarget("dead"))[:3] == ("dead", None, b"k")


@given(
    st.none() | st.binary(), st.none() | st.binary(), st.lists(st.tuples(st.text(), st.binary()))
)
def test_the_size_of_a_record_is_what_the_client_counts(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    try:
        counted = builder.estimate_size_in_bytes(key, value, headers)
    except UnicodeEncodeError:
        return
    assert Outgoing("t", value, key, None, None, headers).size == counted


@pytest.mark.parametrize("length", [0, 63, 64, 8191, 8192, 2**20])
def test_long_parts_are_counted_alike(length: int) -> None:
    value = b"x" * length

    counted = builder.estimate_size_in_bytes(value, value, [("x", value)])
    assert Outgoing("t", value, value, None, None, [("x", value)]).size == counted


@pytest.mark.parametrize(
    ("message", "target", "wrong"),
    [
        ({"headers": {"n": []}}, {}, "the header 'n' for 'orders': list is none of"),
        ({"correlation_id": 5}, {}, "the header 'correlation_id' for 'orders': it is a int"),
        ({"content_type": 1}, {}, "the header 'content-type' for 'orders'"),
        ({"key": 5}, {}, "the key for 'orders' is a int"),
        ({}, {"key": 5}, "the key for 'orders' is a int"),
        ({}, {"key": "\udcff"}, "the key for 'orders' can't be written as UTF-8"),
        ({"body": "text"}, {}, "the body for 'orders' is a str"),
        ({"body": b"x" * 2**20}, {}, "max_request_size"),
        ({}, {"timestamp_ms": 2**80}, "timestamp_ms=1208"),
        ({}, {"timestamp_ms": -1}, "timestamp_ms=-1"),
        ({}, {"timestamp_ms": "1"}, "timestamp_ms='1'"),
        ({}, {"partition": "0"}, "no partition '0'"),
        ({}, {"partition": -1}, "no partition -1"),
        ({}, {"tombstone": True}, "a tombstone for 'orders' says no key"),
    ],
)
def test_what_kafka_cannot_carry_is_named(
    message: dict[str, Any], target: dict[str, Any], wrong: str
) -> None:
    parts: dict[str, Any] = {"body": b"", **message}
    with pytest.raises(BrokerError, match=re.escape(wrong)) as caught:
        outgoing(Message(**parts), KafkaTarget("orders", **target), 2**20)

    assert caught.value.hopeless
