"""Whatever a typed handler returns arrives equal at a handler of that type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass, make_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from ipaddress import IPv4Address
from math import inf, isnan, nan
from pathlib import Path
from types import GenericAlias
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, create_model
from pydantic import ValidationError as PydanticError
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import TypedDict  # pydantic asks for it before Python 3.12

from callboard_validation import Codec, EncodeError, decoder, encoder

JSON = "application/json"
MESSAGEPACK = "application/msgpack"
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


class Size(StrEnum):
    BIG = "big"
    SMALL = "small"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Colour(Enum):
    RED = "r"
    BLUE = "b"


class Pair(NamedTuple):
    left: int
    right: bytes


# Of pydantic and msgspec alike: what may stand in a field, and values for it.
FIELDS: Mapping[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(-(2**63), 2**64 - 1),
    float: st.floats(),
    str: text,
    bytes: st.binary(max_size=6) | st.just(b"data:application/octet-stream;base64,"),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    UUID: st.uuids(),
    date: st.dates(),
    time: st.times(),
    # With a zone: those whose moment has a date in UTC, which is what MessagePack writes.
    datetime: st.datetimes()
    | st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=zones),  # noqa: DTZ001
    timedelta: st.timedeltas(timedelta(-9999), timedelta(9999)),
    Size: st.sampled_from(Size),
    Level: st.sampled_from(Level),
    Colour: st.sampled_from(Colour),
    Literal["a", "b"]: st.sampled_from(["a", "b"]),
}
MORE: Mapping[Any, st.SearchStrategy[Any]] = {
    Path: text.filter(lambda each: "\0" not in each).map(Path),
    IPv4Address: st.ip_addresses(v=4),
    Pair: st.builds(Pair, st.integers(0, 9), st.binary(max_size=3)),
}
KEYS: Mapping[Any, st.SearchStrategy[Any]] = {
    kind: FIELDS[kind] for kind in (int, str, UUID, date, datetime, Size, Level)
}


def same(one: object, other: object) -> bool:
    """Compare as `==` does, but for NaN, which is itself here."""
    return type(one) is type(other) and opened(one) == opened(other)


def opened(value: Any) -> Any:
    """Replace NaN by something that equals itself, in records too."""
    if isinstance(value, float) and isnan(value):
        return "NaN"
    if isinstance(value, BaseModel | msgspec.Struct) or is_dataclass(value):
        return {name: opened(getattr(value, name)) for name in value.__annotations__}
    if type(value) is dict:
        return {key: opened(each) for key, each in value.items()}  # pyright: ignore[reportUnknownVariableType] - of whatever
    if isinstance(value, list | tuple):
        return type(value).__name__, [*map(opened, value)]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - of whatever
    return value


def hashable(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.frozensets(strategy.filter(lambda each: each == opened(each)), max_size=3)


def compound(kind: Any, values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, Any]]:
    """A type made of *kind*, and values of it."""
    made: list[tuple[Any, st.SearchStrategy[Any]]] = [
        (kind, values),
        (kind | None, st.none() | values),
        (list[kind], st.lists(values, max_size=3)),
        (tuple[kind, int], st.tuples(values, st.integers(0, 9))),
        (tuple[kind, ...], st.lists(values, max_size=3).map(tuple)),
        (frozenset[kind], hashable(values)),
    ]
    for key, keys in KEYS.items():
        made.append((GenericAlias(dict, (key, kind)), st.dictionaries(keys, values, max_size=3)))
    return st.sampled_from(made).flatmap(lambda pair: st.tuples(st.just(pair[0]), pair[1]))


def record_of(make: Callable[[Any], Any], kinds: Any) -> st.SearchStrategy[tuple[Any, Any]]:
    """A record with one field of a type made of *kinds*, and values of it."""
    return (
        st.sampled_from(list(kinds.items()))
        .flatmap(lambda pair: compound(*pair))
        .map(lambda pair: (record := make(pair[0]), record(value=pair[1])))
    )


def model(kind: Any) -> Any:
    return create_model("Model", value=(kind, ...))


def strict_model(kind: Any) -> Any:
    return create_model("Strict", __config__=ConfigDict(strict=True), value=(kind, ...))


def plain_dataclass(kind: Any) -> Any:
    return make_dataclass("Plain", [("value", kind)])


def struct(kind: Any) -> Any:
    return msgspec.defstruct("Struct", [("value", kind)])


records = st.one_of(
    *[record_of(make, {**FIELDS, **MORE}) for make in (model, plain_dataclass)],
    record_of(strict_model, {**FIELDS, **MORE}),
    record_of(struct, FIELDS),
)


@pytest.mark.slow
@settings(max_examples=300)
@given(records, st.sampled_from([JSON, MESSAGEPACK]))
def test_a_record_arrives_equal_at_its_type(record: tuple[Any, Any], content_type: str) -> None:
    kind, value = record

    assert same(decoder(kind)(*encoder(kind, None, content_type)(value)), value)


@pytest.mark.slow
@settings(max_examples=200)
@given(records, st.sampled_from([JSON, MESSAGEPACK]))
def test_a_record_that_is_published_untyped_arrives_equal(
    record: tuple[Any, Any], content_type: str
) -> None:
    kind, value = record

    assert same(decoder(kind)(*Codec().encode(value, content_type)), value)


class Photo(BaseModel):
    raw: bytes = b""
    ratio: float = 0.0


class Exact(BaseModel):
    model_config = ConfigDict(strict=True)

    raw: bytes
    ratio: float
    taken: date
    by: UUID
    sizes: set[Size]


class Encoded(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    raw: bytes


class Own(BaseModel):
    raw: bytes
    ratio: float = 0.0

    def __init__(self, raw: bytes, **more: Any) -> None:
        super().__init__(raw=raw, **more)


class Price(BaseModel):
    cents: Annotated[
        Decimal,
        PlainSerializer(lambda price: int(price * 100), when_used="json"),
        BeforeValidator(lambda cents: Decimal(cents) / 100 if isinstance(cents, int) else cents),
    ]


class Named(TypedDict):
    raw: bytes
    ratio: float


@pydantic_dataclass
class Aliased:
    raw: bytes
    ratio: float = Field(alias="r", default=0.0)


class Album(msgspec.Struct, tag=True):
    photo: Photo
    ratios: list[float]
    raw: bytes
    next: Album | None = None


class Shelf(msgspec.Struct, tag=True):
    albums: dict[int, Album]


PHOTO = Photo(raw=b"\xff", ratio=inf)
EXACT = Exact(raw=b"\xff", ratio=-inf, taken=date(2030, 1, 31), by=UUID(int=1), sizes={Size.BIG})
ALBUM = Album(PHOTO, [nan, 1.0, inf], b"\xff")


@pytest.mark.parametrize("content_type", [None, JSON, MESSAGEPACK])
@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (list[Photo], [PHOTO, Photo(ratio=nan)]),
        (Exact, EXACT),
        (Exact | Photo, PHOTO),
        (Encoded, Encoded(raw=b"\xff")),
        (Own, Own(b"a", ratio=nan)),
        (Price, Price(cents=Decimal("1.5"))),
        (Named, {"raw": b"\xff", "ratio": nan}),
        (Aliased, Aliased(raw=b"\xff", r=inf)),
        (Album | Shelf, Shelf({1: ALBUM})),
        (dict[str, bytes], {"a": b"\xff"}),
        (dict[bytes, float], {b"\xff": inf}),
        (float | None, nan),
        (bytes | None, b""),
        (bytes | None, b"null"),
        (bytes | None, None),
        (str | None, None),
        (Photo | None, None),
        (Any, None),
        (None, None),
        (bytes | int, b"12"),
        (Photo | bytes, b'{"raw": ""}'),
        (str | None, ""),
        (str | int, "1"),
    ],
)
def test_what_is_hard_to_carry_arrives_equal(
    annotation: Any, value: object, content_type: str | None
) -> None:
    write, read = encoder(annotation, None, content_type), decoder(annotation)

    assert same(read(*write(value)), value)


@pytest.mark.parametrize("value", [[PHOTO], {"a": PHOTO}, [ALBUM], {"a": {"b": b"\xff"}}])
def test_what_is_hard_to_carry_is_published_untyped_in_a_collection_too(value: object) -> None:
    body, _ = Codec().encode(value)

    assert b"base64,/w==" in body
    assert b"null" not in body.replace(b'"next":null', b"")


class Portrait(Photo):
    of: str


@pytest.mark.parametrize("content_type", [JSON, MESSAGEPACK])
def test_what_is_hard_to_carry_arrives_from_a_subclass_too(content_type: str) -> None:
    portrait = Portrait(raw=b"\xff", ratio=nan, of="Ann")

    body = encoder(Photo, None, content_type)(portrait)

    assert same(decoder(Portrait)(*body), portrait)
    assert same(decoder(Photo)(*body), Photo(raw=b"\xff", ratio=nan))


def test_text_is_written_as_the_model_itself_writes_it() -> None:
    photo = Photo(raw="ä".encode(), ratio=1.5)

    assert encoder(Photo)(photo)[0] == photo.model_dump_json().encode()
    assert decoder(Photo)(photo.model_dump_json().encode(), JSON) == photo


def test_bytes_that_look_like_a_data_url_arrive_as_they_were() -> None:
    photo = Photo(raw=b"data:application/octet-stream;base64,AAAA")

    assert decoder(Photo)(*encoder(Photo)(photo)) == photo


def test_text_in_a_field_of_bytes_or_text_is_text() -> None:
    assert decoder(dict[str, bytes | str])(b'{"a": "text"}', JSON) == {"a": "text"}


def test_bytes_that_a_model_with_an_init_of_its_own_cannot_read_are_refused() -> None:
    with pytest.raises(EncodeError, match="utf-8"):
        encoder(Own)(Own(b"\xff"))


def test_a_whole_number_that_messagepack_cannot_hold_is_refused() -> None:
    with pytest.raises(EncodeError, match="ints"):
        encoder(int, None, MESSAGEPACK)(2**80)


def test_malformed_base64_is_a_failure_of_the_field() -> None:
    with pytest.raises(PydanticError, match="raw"):
        decoder(Photo)(b'{"raw": "data:application/octet-stream;base64,!"}', JSON)


@pytest.mark.parametrize("body", [b'{"ratios": ["1"]}', b'{"ratios": ["nan"]}'])
def test_a_struct_takes_no_other_text_for_a_number(body: bytes) -> None:
    class Ratios(msgspec.Struct):
        ratios: list[float]

    with pytest.raises(msgspec.ValidationError):
        decoder(Ratios)(body, JSON)
