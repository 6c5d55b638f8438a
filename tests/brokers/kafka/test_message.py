"""What becomes of headers and ids on the wire, whatever is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import example, given
from hypothesis import strategies as st

from callboard_brokers import Message
from callboard_brokers.kafka import KafkaMessage
from callboard_brokers.kafka._message import metadata_of, wire_headers

OURS = ("callboard-binary", "content-type", "message_id", "correlation_id", "reply_to")
NAMES = st.sampled_from(OURS) | st.text()
# Neither commas, which part the names of binary headers, nor no name at all.
PLAIN = st.text(st.characters(exclude_characters=",", codec="utf-8"), min_size=1).filter(
    lambda name: name not in OURS
)


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
    return KafkaMessage(Fetched(headers), lambda record: metadata_of(record, {}))


@given(st.lists(st.tuples(NAMES, st.none() | st.binary())))
@example([("callboard-binary", b"\xff")])
def test_headers_of_whatever_octets_can_be_read(headers: list[tuple[str, bytes | None]]) -> None:
    message = received(headers)

    assert all(isinstance(value, str | bytes) for value in message.headers.values())
    for text in (message.content_type, message.message_id, message.correlation_id):
        assert text is None or isinstance(text, str)


@given(st.dictionaries(PLAIN, st.text(st.characters(codec="utf-8")) | st.binary()))
def test_headers_come_back_as_they_were_sent(headers: dict[str, str | bytes]) -> None:
    sent = Message(b"", headers=headers)

    assert received(wire_headers(sent)).headers == headers


def test_a_list_of_binary_headers_that_is_none_is_a_header_like_any_other() -> None:
    message = received([("callboard-binary", b"\xff"), ("x", b"y")])

    assert message.headers == {"callboard-binary": b"\xff", "x": "y"}
