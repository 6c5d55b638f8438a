"""Headers and ids come back as they were sent, and no bytes of anybody's break their reader."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_brokers import Metadata, Unpublishable
from callboard_brokers.kit import RESERVED, from_pairs, text_of, to_pairs

texts = st.text(st.characters(codec="utf-8"))
names = texts.filter(lambda name: name not in RESERVED)
ids = st.none() | texts
anything = st.text(st.characters(), max_size=8)


@given(st.dictionaries(names, texts | st.binary()), ids, ids, ids, ids)
def test_what_is_sent_is_what_is_received(
    headers: dict[str, str | bytes],
    content_type: str | None,
    message_id: str | None,
    correlation_id: str | None,
    reply_to: str | None,
) -> None:
    sent = Metadata(headers, content_type, message_id, correlation_id, reply_to)
    received = from_pairs(to_pairs(sent))

    assert received.headers == headers
    assert (received.content_type, received.message_id) == (content_type, message_id)
    assert (received.correlation_id, received.reply_to) == (correlation_id, reply_to)


names_of_anybody = st.binary() | anything | st.sampled_from(sorted(RESERVED))


@given(st.lists(st.tuples(names_of_anybody, st.none() | st.binary())), st.booleans())
def test_whatever_came_over_the_wire_can_be_read(
    pairs: list[tuple[str | bytes, bytes | None]], named: bool
) -> None:
    received = from_pairs(pairs, {"level": "error"} if named else None)

    assert set(map(type, received.headers.values())) <= {str, bytes}
    for each in (received.content_type, received.message_id, received.correlation_id):
        assert each is None or isinstance(each, str)
    assert received.path == ({"level": "error"} if named else {})


@given(st.lists(st.tuples(texts, st.none() | st.binary())), st.dictionaries(names, st.binary()))
def test_what_is_passed_on_is_as_it_came_and_nobody_answers_it(
    came: list[tuple[str, bytes | None]], added: dict[str, bytes]
) -> None:
    kept = [pair for pair in came if pair[0] != "reply_to"]
    received = from_pairs(came)
    pairs = to_pairs(Metadata({**received.headers, **added}, reply_to=None, pairs=kept))
    again = from_pairs(pairs)

    assert pairs[: len(kept)] == kept
    assert again.reply_to is None
    there = {name for name, _ in came}
    assert {name: again.headers[name] for name in added if name not in there} == {
        name: value for name, value in added.items() if name not in there
    }


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"headers": {"x": "a\ud800"}}, "'x' for 'orders': 'utf-8' codec can't encode"),
        ({"headers": {"\udfff": "a"}}, r"'\\udfff' for 'orders': 'utf-8' codec can't encode"),
        ({"headers": {"x": 10**5000}}, "'x' for 'orders': Exceeds the limit"),
        ({"headers": {"x": [1]}}, "'x' for 'orders': list is none of text"),
        ({"headers": {7: "x"}}, "7 for 'orders': its name is a int, and no text"),
        ({"message_id": "\ud800"}, "'message_id' for 'orders': 'utf-8' codec can't encode"),
        ({"correlation_id": 5}, "'correlation_id' for 'orders': it is a int, and no text"),
        ({"reply_to": b"x"}, "'reply_to' for 'orders': it is a bytes, and no text"),
    ],
)
def test_what_cannot_be_written_is_named(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(Unpublishable, match=f"cannot write the header {why}"):
        to_pairs(Metadata(**wrong), "orders")


def test_numbers_and_dates_are_written_as_text() -> None:
    values: dict[str, Any] = {"n": 7, "yes": True, "nothing": None}

    assert to_pairs(Metadata(values)) == [("n", b"7"), ("yes", b"true"), ("nothing", b"")]


def test_of_a_repeated_header_the_last_counts() -> None:
    assert from_pairs([("x", b"1"), (b"x", b"2"), ("y", None)]).headers == {"x": "2", "y": ""}


def test_bytes_that_are_text_come_back_as_bytes() -> None:
    pairs = to_pairs(Metadata({"a,b%": b"text", "c": b"\xff", "d": "text"}))

    assert pairs[-1] == ("callboard-binary", b"a%2Cb%25")
    assert from_pairs(pairs).headers == {"a,b%": b"text", "c": b"\xff", "d": "text"}


def test_a_list_of_binary_headers_that_is_no_text_is_a_header_like_any_other() -> None:
    assert from_pairs([("callboard-binary", b"\xff"), ("x", b"1")]).headers == {
        "callboard-binary": b"\xff",
        "x": "1",
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        (b"a\xff", "a\N{REPLACEMENT CHARACTER}"),
        (7, "7"),
        (0.5, "0.5"),
        (True, "true"),
        (False, "false"),
        (None, ""),
        (datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "2026-01-02T03:04:00+00:00"),
    ],
)
def test_a_value_has_a_text(value: object, text: str) -> None:
    assert text_of(value) == text
