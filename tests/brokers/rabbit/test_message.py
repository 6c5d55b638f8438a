"""Messages on the wire: what is written is read, and whatever is read, reading does not raise."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_brokers import HeaderValue, Message, Unpublishable, forwarding
from callboard_brokers.kit import Template
from callboard_brokers.rabbit import RabbitMessage, RabbitTarget, Record
from callboard_brokers.rabbit._message import metadata_of, outgoing
from callboard_brokers.rabbit._table import Nested, read_table, write_table
from callboard_brokers.rabbit._waits import without_waits

ANY = Template("orders")
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.integers(0, 4_000_000_000).map(lambda s: datetime.fromtimestamp(s, UTC)),
)
tables = st.recursive(
    values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


def carried(message: Message, target: RabbitTarget | None = None) -> RabbitMessage:
    record = outgoing(message, target or RabbitTarget("orders"))
    raw = Record(record.exchange, record.routing_key, record.octets, record.body)
    return RabbitMessage.received(
        raw, raw.body, raw.routing_key, None, lambda each: metadata_of(each, ANY)
    )


@given(st.dictionaries(st.text(max_size=20), tables))
def test_a_table_is_read_as_it_was_written(table: dict[str, object]) -> None:
    assert read_table(write_table(table)[4:]) == table


@given(st.binary())
def test_a_broken_table_is_an_error_of_one_kind(octets: bytes) -> None:
    with suppress(ValueError, RecursionError):
        read_table(octets)


@given(st.binary(), st.integers(0, 0xFFFF))
def test_whatever_came_over_the_wire_asking_does_not_raise(octets: bytes, flags: int) -> None:
    raw = Record("", "orders", pack(">H", flags) + octets, b"")
    message = RabbitMessage.received(raw, b"", "orders", None, lambda each: metadata_of(each, ANY))

    for name in ("content_type", "reply_to", "headers", "message_id", "correlation_id", "path"):
        getattr(message, name)


@given(st.dictionaries(st.text(max_size=20), values))
def test_headers_travel_with_their_types(headers: dict[str, HeaderValue]) -> None:
    assert carried(Message(b"", headers=headers)).headers == headers


def test_everything_beside_the_body_travels() -> None:
    message = Message(b"{}", content_type="a/b", message_id="m", correlation_id="c", reply_to="r")
    target = RabbitTarget(
        "orders",
        priority=7,
        expiration=timedelta(seconds=1.5),
        timestamp=datetime(2026, 1, 2, tzinfo=UTC),
        content_encoding="gzip",
        message_type="order.made",
        app_id="shop",
        persist=False,
    )
    received = carried(message, target)
    properties = received.raw_message.properties

    assert (received.content_type, received.reply_to) == ("a/b", "r")
    assert (received.message_id, received.correlation_id) == ("m", "c")
    assert properties.delivery_mode == 1
    assert (properties.priority, properties.expiration) == (7, "1500")
    assert properties.timestamp == datetime(2026, 1, 2, tzinfo=UTC)
    assert properties[1] == "gzip"
    assert (properties.type, properties.app_id) == ("order.made", "shop")


def test_a_message_is_persistent_and_mandatory_unless_it_says_otherwise() -> None:
    record = outgoing(Message(b""), RabbitTarget("orders"))

    assert record.mandatory
    assert Record("", "", record.octets, b"").properties.delivery_mode == 2


def test_an_answer_to_a_direct_reply_to_is_never_mandatory() -> None:
    assert not outgoing(Message(b""), RabbitTarget("amq.rabbitmq.reply-to.g1.x")).mandatory


def test_lists_and_tables_are_text_to_a_handler_and_go_on_as_they_came() -> None:
    table = {"x-death": [{"queue": "orders", "count": 2}]}
    octets = pack(">H", 0x2000) + write_table(table)
    message = RabbitMessage.received(
        Record("", "orders", octets, b""), b"", "orders", None, lambda each: metadata_of(each, ANY)
    )
    header = message.headers["x-death"]

    assert header == '[{"queue": "orders", "count": 2}]'
    assert isinstance(header, Nested)
    assert carried(forwarding(message, {})).raw_message.headers == table


def test_what_has_waited_looks_as_if_it_had_not() -> None:
    late, off = "callboard.delayed.shop.500", "orders.wait.60"
    waits = [{"queue": each, "exchange": each, "reason": "expired"} for each in (off, late)]
    died = {"queue": "orders", "exchange": "shop", "reason": "rejected"}
    of = {"x-death": [died, *waits], "x-first-death-queue": late, "x-first-death-reason": "expired"}
    theirs = {"x-death": [{"queue": off, "exchange": ""}], "x-first-death-queue": off}

    assert without_waits({"a": 1, **of}) == {
        "a": 1,
        "x-death": [died],
        "x-first-death-queue": "orders",
        "x-first-death-reason": "rejected",
    }
    assert without_waits({"a": 1, "x-death": waits, "x-last-death-queue": off}) == {"a": 1}
    assert without_waits(theirs) == theirs


def test_headers_that_are_broken_do_not_take_the_ids_with_them() -> None:
    octets = pack(">H", 0xA000) + b"\x03a/b" + pack(">I", 3) + b"\x01aS"
    message = RabbitMessage.received(
        Record("", "orders", octets, b""), b"", "orders", None, lambda each: metadata_of(each, ANY)
    )

    assert message.content_type == "a/b"
    assert "ends too early" in str(message.headers["callboard-unreadable"])


@pytest.mark.parametrize(
    ("message", "target", "why"),
    [
        (Message(b"", content_type="x" * 256), RabbitTarget("orders"), "content_type"),
        (Message(b"", headers={"n": 2**63}), RabbitTarget("orders"), "64 bits"),
        (Message(b"", headers={"x" * 256: 1}), RabbitTarget("orders"), "255"),
        (Message(b"", correlation_id="\ud800"), RabbitTarget("orders"), "correlation_id"),
        (Message(b""), RabbitTarget("orders", priority=256), "priority=256"),
        (Message(b""), RabbitTarget("orders", expiration=-1), "passed already"),
    ],
)
def test_what_cannot_be_carried_is_refused_by_its_name(
    message: Message, target: RabbitTarget, why: str
) -> None:
    with pytest.raises(Unpublishable, match=why) as raised:
        outgoing(message, target)

    assert raised.value.hopeless
