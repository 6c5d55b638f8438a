from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from callboard_validation import Codec, DecodeError, DefinitionError, EncodeError

JSON = "application/json"


class Size(StrEnum):
    BIG = "big"


class Order(BaseModel):
    number: int = Field(alias="no")


class Event(msgspec.Struct):
    id: int
    payload: object = None


@dataclass
class Point:
    x: object


class Opaque:
    pass


def write(number: object) -> bytes:
    return b"%d" % int(str(number))


plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=50)
@given(plain_values)
def test_what_was_encoded_is_decoded_again(value: object) -> None:
    codec = Codec()

    assert codec.decode(*codec.encode(value)) == value


@given(st.binary())
def test_bytes_of_any_kind_decode_without_content_type(body: bytes) -> None:
    Codec().decode(body)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (None, (b"", JSON)),
        (b"\xff", (b"\xff", None)),
        (bytearray(b"x"), (b"x", None)),
        ("ä", ("ä".encode(), "text/plain")),
        (Size.BIG, (b'"big"', JSON)),
        (1, (b"1", JSON)),
        (datetime(2030, 1, 31, tzinfo=UTC), (b'"2030-01-31T00:00:00Z"', JSON)),
        ([Decimal("1.5"), UUID(int=1)], (b'["1.5","00000000-0000-0000-0000-000000000001"]', JSON)),
        (Order(no=1), (b'{"no":1}', JSON)),
        (Point([Order(no=1)]), (b'{"x":[{"no":1}]}', JSON)),
        (Event(1, Order(no=1)), (b'{"id":1,"payload":{"no":1}}', JSON)),
        ({"events": [Event(1)]}, (b'{"events":[{"id":1,"payload":null}]}', JSON)),
        (float("nan"), (b'"NaN"', JSON)),
        ({"raw": b"\xff"}, (b'{"raw":"data:application/octet-stream;base64,/w=="}', JSON)),
    ],
)
def test_values_are_encoded_by_their_kind(value: object, encoded: tuple[bytes, str | None]) -> None:
    assert Codec().encode(value) == encoded


@pytest.mark.parametrize(
    ("body", "content_type", "value"),
    [
        (b"1", None, 1),
        (b"one", None, b"one"),
        (b"", None, b""),
        (b"", JSON, None),
        (b"", "application/msgpack", None),
        (b"1", "text/plain", "1"),
        (b"1", "application/json; charset=utf-8", 1),
        (b"1", "application/problem+json", 1),
        (b"1", "application/unknown", b"1"),
        (b"\x81\xa1a\x01", "application/msgpack", {"a": 1}),
    ],
)
def test_bodies_are_decoded_by_content_type(
    body: bytes, content_type: str | None, value: object
) -> None:
    assert Codec().decode(body, content_type) == value


@pytest.mark.parametrize("content_type", [JSON, "application/msgpack"])
@pytest.mark.parametrize("body", [b"\xc1", b"\xc1{"])
def test_a_body_that_is_not_what_it_says_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(DecodeError, match=content_type):
        Codec().decode(body, content_type)


def test_a_given_content_type_decides() -> None:
    codec = Codec()

    assert codec.encode("x", JSON) == (b'"x"', JSON)
    assert codec.encode({"a": Event(1)}, "application/msgpack")[0].startswith(b"\x81\xa1a\x82")
    assert codec.encode(b"raw", "image/png") == (b"raw", "image/png")


@pytest.mark.parametrize(
    ("value", "kind", "culprit"),
    [
        (Opaque(), "Opaque", "Opaque"),
        ({"a": [1, Opaque()]}, "dict", "Opaque"),
        (Point({"b": Opaque()}), "Point", "Opaque"),
        (Event(1, Opaque()), "Event", "Opaque"),
    ],
)
def test_what_cannot_be_encoded_is_named_with_its_type(
    value: object, kind: str, culprit: str
) -> None:
    with pytest.raises(EncodeError, match=culprit) as caught:
        Codec().encode(value)

    assert caught.value.kind == kind


def test_a_cycle_cannot_be_encoded() -> None:
    value: dict[str, Any] = {}
    value["self"] = value

    with pytest.raises(EncodeError, match="Circular"):
        Codec().encode(value)


def test_a_moment_before_the_first_day_of_utc_is_none_of_messagepack() -> None:
    early = datetime(1, 1, 1, tzinfo=timezone(timedelta(minutes=1)))

    with pytest.raises(EncodeError, match="out of range"):
        Codec().encode(early, "application/msgpack")


def test_half_a_surrogate_pair_is_no_text() -> None:
    with pytest.raises(EncodeError, match="surrogates"):
        Codec().encode("\ud800")


def test_an_unknown_content_type_cannot_be_encoded() -> None:
    with pytest.raises(EncodeError, match=r"'application/avro' is unknown; add it"):
        Codec().encode(1, "application/avro")


def test_a_codec_of_ones_own_serves_its_content_type() -> None:
    codec = Codec().with_content_type("application/Number", write, int)

    assert codec.encode(5, "application/number") == (b"5", "application/number")
    assert codec.decode(b"5", "application/number; v=1") == 5


def test_what_a_codec_of_ones_own_raises_is_explained() -> None:
    codec = Codec().with_content_type("application/number", write, int)

    with pytest.raises(DecodeError, match="invalid literal"):
        codec.decode(b"five", "application/number")
    with pytest.raises(EncodeError, match="Opaque"):
        codec.encode(Opaque(), "application/number")


def test_with_content_type_leaves_the_first_codec_alone() -> None:
    codec = Codec()
    codec.with_content_type("application/number", write, int)

    assert codec.known("application/number") is None


@pytest.mark.parametrize("content_type", [JSON, "text/plain; charset=utf-8", "application/msgpack"])
def test_two_codecs_for_one_content_type_are_an_error(content_type: str) -> None:
    with pytest.raises(DefinitionError, match="has a codec already"):
        Codec().with_content_type(content_type, write, int)


@pytest.mark.slow
def test_without_msgspec_all_but_messagepack_works() -> None:
    script = """if True:
        import sys
        sys.modules["msgspec"] = None  # as if it were not installed
        from callboard_validation import Codec, DecodeError, decoder, encoder
        assert decoder(list[int])(b"[1]", None) == [1]
        assert encoder(int)("1") == Codec().encode(1) == (b"1", "application/json")
        try:
            Codec().decode(b"1", "application/msgpack")
        except DecodeError as error:
            print(error)
    """

    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)

    assert 'pip install "callboard-validation[msgspec]"' in run.stdout
