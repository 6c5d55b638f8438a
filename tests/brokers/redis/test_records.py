"""Records and envelopes, without a server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from callboard_brokers import DestinationError, Unpublishable
from callboard_brokers.redis import (
    BinaryMessageFormatV1,
    PubSub,
    RedisSource,
    RedisTarget,
    StreamSub,
)
from callboard_brokers.redis._message import RedisRecord, view
from callboard_brokers.redis._records import beside

# As faststream 0.7.8 writes it.
THEIRS = (
    b"\x89BIN\r\n\x1a\n\x00\x01\x00\x00\x00\x12\x00\x00\x00C\x00\x02\x00\x0ecorrelation_id\x00\x03cid"
    b"\x00\x0ccontent-type\x00\ntext/plaintext"
)


def test_the_envelope_is_the_one_that_others_write() -> None:
    body, pairs = BinaryMessageFormatV1.unpack(THEIRS)

    assert (body, list(pairs)) == (
        b"text",
        [("correlation_id", b"cid"), ("content-type", b"text/plain")],
    )
    assert BinaryMessageFormatV1.pack(body, pairs, "") == THEIRS


@given(some.binary())
def test_whatever_came_is_read(octets: bytes) -> None:
    for written in (octets, THEIRS[:18] + octets, b'{"headers":' + octets, THEIRS + octets):
        body, pairs = BinaryMessageFormatV1.unpack(written)

        assert isinstance(body, bytes)
        assert all(isinstance(name, str) for name, _ in pairs)


NAMES = some.sampled_from(["content-type", "reply_to", "message_id"]) | some.text(max_size=3)
VALUES = some.binary(max_size=20) | some.sampled_from(
    [b"\x00\x0ccontent-type\x00\x01x", b"\x00\x08reply_to\x00\x01x"]
)


@given(some.lists(some.tuples(NAMES, VALUES), max_size=4), some.binary(max_size=8))
def test_what_is_asked_first_is_what_all_of_the_envelope_says(
    pairs: list[tuple[str, bytes]], more: bytes
) -> None:
    written = BinaryMessageFormatV1.pack(b"body", pairs, "orders")
    make = view(RedisSource(list="orders"), BinaryMessageFormatV1)
    for octets in (written, written[:18] + more + written[18:], THEIRS[:18] + more):
        message = make(RedisRecord("orders", octets))
        asked = message.content_type, message.reply_to

        assert asked == (message.metadata.content_type, message.metadata.reply_to)


def test_json_that_is_no_envelope_is_a_body() -> None:
    for body in (b'{"data": 1, "headers": {}, "more": 2}', b'{"headers": "x"}', b'["headers"]'):
        assert BinaryMessageFormatV1.unpack(body) == (body, ())
    assert BinaryMessageFormatV1.unpack(b'{"data": {"a": 1}, "headers": {"h": "v"}}') == (
        b'{"a": 1}',
        [("h", b"v")],
    )


def test_a_header_that_does_not_fit_is_refused() -> None:
    with pytest.raises(Unpublishable, match="65535"):
        BinaryMessageFormatV1.pack(b"", [("long", b"x" * 70_000)], "orders")


@pytest.mark.parametrize(
    ("name", "found"),
    [("orders", "{orders}.x"), ("{shop}.orders", "{shop}.orders.x"), ("a{}b", "{a{}b}.x")],
)
def test_a_key_beside_another_is_in_the_same_slot(name: str, found: str) -> None:
    assert beside(name, "x") == found


def test_a_prefix_goes_before_the_name_of_each_kind() -> None:
    for source in (RedisSource("a"), RedisSource(list="a"), RedisSource(stream=StreamSub("a"))):
        assert source.prefixed("p.").address == "p.a"
        assert source.prefixed("p.").kind == source.kind


def test_names_in_braces_become_a_pattern() -> None:
    source = RedisSource("logs[1].{level}")

    assert source.is_pattern
    assert source.wire == r"logs\[1\].*"
    assert RedisSource(PubSub("logs.*", pattern=True)).is_pattern


def test_a_channel_keeps_nothing_for_later() -> None:
    with pytest.raises(DestinationError, match="list or a stream"):
        RedisTarget("news", delay=5)
