from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callboard_brokers.nats import NatsMessage, NatsRecord, Stored
from callboard_brokers.nats._message import reader

ACK = b"$JS.ACK.S.d.3.7.9.1700000000000000000.2"


def _message(header: bytes, reply: bytes = b"") -> NatsMessage:
    record = NatsRecord(b"a.b", reply, header, b"")
    return NatsMessage.received(record, b"", "a.b", None, reader(lambda _: {}))


@example(header=b"content-type", stored=False)
@given(header=st.binary() | st.text("\r\n: ab").map(str.encode), stored=st.booleans())
def test_what_is_asked_of_every_message_is_what_the_rest_says(header: bytes, stored: bool) -> None:
    block = b"NATS/1.0\r\ncontent-type: x\r\nreply_to:y\r\n" + header
    quick, whole = (_message(block, ACK if stored else b"") for _ in range(2))

    assert quick.raw_message.status == 0
    assert whole.metadata.reply_to == quick.reply_to
    assert whole.metadata.content_type == quick.content_type


def test_an_answer_goes_to_the_reply_subject_unless_that_is_for_the_stream() -> None:
    header = b"NATS/1.0\r\nreply_to: answers\r\n\r\n"

    assert _message(header, b"_INBOX.1").reply_to == "_INBOX.1"
    assert _message(header, ACK).reply_to == "answers"
    assert _message(b"").reply_to is None


@pytest.mark.parametrize("subject", [ACK, ACK.replace(b"ACK.", b"ACK.domain.hash.") + b".token"])
def test_a_stored_message_says_where_it_stands(subject: bytes) -> None:
    stored = _message(b"", subject).raw_message.metadata

    assert stored == Stored("S", "d", 3, 7, 9, 1_700_000_000_000_000_000, 2)
    assert stored is not None
    assert stored.timestamp.year == 2023


def test_a_core_message_stands_nowhere() -> None:
    assert _message(b"", b"_INBOX.1").raw_message.metadata is None
