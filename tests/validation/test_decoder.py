from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from types import GenericAlias
from typing import Annotated, Any, Generic, Protocol, TypeVar
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field
from pydantic import ValidationError as PydanticError
from typing_extensions import TypedDict  # pydantic asks for it before Python 3.12

from callboard_validation import (
    Codec,
    DecodeError,
    DefinitionError,
    Explanation,
    caster,
    decoder,
    explained,
)


class Item(BaseModel):
    price: float


class Order(BaseModel):
    model_config = ConfigDict(strict=True)

    due: date
    items: list[Item] = []


@dataclass
class Point:
    x: int


class Options(TypedDict):
    size: int


class Event(msgspec.Struct):
    id: int
    at: datetime | None = None
    order: Order | None = None


T = TypeVar("T")


class Box(msgspec.Struct, Generic[T]):
    content: T


class Session:
    pass


class Closable(Protocol):
    def close(self) -> None: ...


@dataclass
class Envelope:
    event: Event


ORDER = b'{"due": "2030-01-31"}'


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/vnd.shop+json",
    ],
)
def test_a_strict_model_takes_an_iso_date_from_json_of_any_name(content_type: str | None) -> None:
    assert decoder(Order)(ORDER, content_type).due == date(2030, 1, 31)


@pytest.mark.parametrize(
    ("annotation", "body", "value"),
    [
        (Point, b'{"x": "1"}', Point(1)),
        (Options, b'{"size": 2}', {"size": 2}),
        (list[int], b"[1, 2.0]", [1, 2]),
        (
            Event,
            b'{"id": 1, "at": "2030-01-31T00:00:00Z"}',
            Event(1, datetime(2030, 1, 31, tzinfo=UTC)),
        ),
        (list[Event], b'[{"id": 1}]', [Event(1)]),
        (Box[int], b'{"content": 1}', Box(1)),
        (Event | None, b"null", None),
        (Any, b'{"a": 1}', {"a": 1}),
    ],
)
def test_every_kind_of_type_is_read_from_json(annotation: Any, body: bytes, value: object) -> None:
    assert decoder(annotation)(body, "application/json") == value


@pytest.mark.parametrize(
    ("annotation", "body", "value"),
    [
        (bytes, b"\xff{", b"\xff{"),
        (bytes | None, b"\xff", b"\xff"),
        (str, b"plain", "plain"),
        (str, b'"quoted"', "quoted"),
        (str, b"123", "123"),
        (Annotated[str | None, Field(max_length=9)], b"plain", "plain"),
        (date, b"2030-01-31", date(2030, 1, 31)),
        (UUID, b"00000000-0000-0000-0000-000000000001", UUID(int=1)),
        (Any, b"plain", b"plain"),
    ],
)
def test_a_body_without_content_type_may_be_raw(
    annotation: Any, body: bytes, value: object
) -> None:
    assert decoder(annotation)(body, None) == value


def test_a_model_or_bytes_prefers_the_model() -> None:
    read = decoder(Order | bytes)

    assert isinstance(read(ORDER, None), Order)
    assert read(b"\x00", None) == b"\x00"


def test_text_is_validated_leniently() -> None:
    assert decoder(int)(b"42", "text/plain; charset=utf-8") == 42
    assert decoder(str)(b"42", "text/plain") == "42"


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (Item, '{"price": 1.5}', Item(price=1.5)),
        (Event, '{"id": 1}', Event(1)),
        (Point, '{"x": 1}', Point(1)),
        (list[int], "[1, 2]", [1, 2]),
        (str | Item, '{"price": 1.5}', '{"price": 1.5}'),
        (Any, '{"price": 1.5}', '{"price": 1.5}'),
    ],
)
def test_text_may_be_json_of_a_type_that_takes_no_text(
    annotation: Any, text: str, value: object
) -> None:
    assert decoder(annotation)(*Codec().encode(text)) == value


def test_json_text_that_is_not_valid_is_refused_as_json_is() -> None:
    with pytest.raises(PydanticError, match="price: Field required"):
        decoder(Item)(b"{}", "text/plain")
    with pytest.raises(PydanticError, match="it = 'plain'"):
        decoder(Item)(b"plain", "text/plain")


def test_messagepack_is_decoded_then_validated() -> None:
    assert decoder(Point)(msgspec.msgpack.encode({"x": 1}), "application/msgpack") == Point(1)
    assert decoder(Event)(msgspec.msgpack.encode({"id": 1}), "application/msgpack") == Event(1)


def test_a_content_type_of_ones_own_is_decoded_then_validated() -> None:
    codec = Codec().with_content_type("text/x", lambda value: b"", lambda body: {"x": len(body)})

    assert decoder(Point, codec)(b"four", "text/x") == Point(4)


def test_an_empty_body_is_none_where_the_type_allows_it() -> None:
    assert decoder(Order | None)(b"", None) is None
    assert decoder(Event | None)(b"", "application/json") is None
    assert decoder(Order | None)(b"", "application/unknown") is None
    assert decoder(str | None)(b"", "text/plain") == ""
    assert decoder(str | None)(b"", "application/json") is None
    assert decoder(bytes | None)(b"", "application/json") is None


def test_an_empty_body_of_no_content_type_is_empty_bytes_or_text_where_the_type_has_them() -> None:
    assert decoder(bytes | None)(b"", None) == b""
    assert decoder(str | None)(b"", None) == ""
    assert decoder(object)(b"", None) == b""


@pytest.mark.parametrize("annotation", [Order, Event, int])
@pytest.mark.parametrize("content_type", [None, "application/json", "application/msgpack"])
def test_an_empty_body_is_refused_as_empty(annotation: Any, content_type: str | None) -> None:
    with pytest.raises(DecodeError, match="it is empty"):
        decoder(annotation)(b"", content_type)


@pytest.mark.parametrize("annotation", [Order, Event, dict[str, int]])
@pytest.mark.parametrize("body", [b"no json", b'{"due": ', b'{"a": "\xff"}', b"\xff"])
def test_a_body_that_is_no_json_is_refused(annotation: Any, body: bytes) -> None:
    with pytest.raises((DecodeError, PydanticError, msgspec.ValidationError)) as caught:
        decoder(annotation)(body, None)

    assert "the body is '" in told(caught.value)


def test_invalid_utf8_in_text_is_refused() -> None:
    with pytest.raises(DecodeError, match="'text/plain'"):
        decoder(str)(b"\xff", "text/plain")


@pytest.mark.parametrize("body", [b"x" * 10 * 2**20, b'{"due": "' + b"x" * 10 * 2**20 + b'"}'])
@pytest.mark.parametrize("annotation", [Order, Event])
def test_an_error_about_10_mib_is_short_and_says_how_long_it_was(
    annotation: Any, body: bytes
) -> None:
    with pytest.raises((DecodeError, PydanticError, msgspec.ValidationError)) as caught:
        decoder(annotation)(body, None)

    assert told(caught.value).endswith(f"({len(body)} bytes)")
    assert len(told(caught.value)) < 500
    assert len(str(caught.value)) < 1_000


HOSTILE = [
    (b"[" * 100_000 + b"]" * 100_000, "application/json"),
    (b'{"order":' * 50_000 + b"{}" + b"}" * 50_000, "application/json"),
    (b"9" * 100_000, "application/json"),
    (b'"\\ud800"', "application/json"),
    (b"[" * 100_000, "text/plain"),
    (b"9" * 100_000, "text/plain"),
    (b"\xed\xa0\x80", "text/plain"),
    (b"\x91" * 100_000 + b"\xc0", "application/msgpack"),
    (b"\x81\xa5order" * 5_000 + b"\x80", "application/msgpack"),
    (b"\x81\x91\x01\x02", "application/msgpack"),  # a list for a key
    (b"\xd4\x05a", "application/msgpack"),  # an extension
    (b"\xc7\x0c\xff" + b"\xff" * 12, "application/msgpack"),  # a time that there is not
    (b"{", "x" * 100_000),
    (b"{", "application/json;" * 10_000),
]


@pytest.mark.parametrize(("body", "content_type"), HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("annotation", [Order, Event, Point, list[Event], dict[str, Item], date])
def test_a_hostile_body_is_refused_by_a_short_error_of_ours(
    annotation: Any, body: bytes, content_type: str
) -> None:
    with pytest.raises((DecodeError, PydanticError, msgspec.ValidationError)) as caught:
        decoder(annotation)(body, content_type)

    assert len(str(caught.value)) < 2_000


@given(st.binary(max_size=40), st.sampled_from(["application/msgpack", "application/json"]))
def test_any_bytes_are_decoded_or_refused(body: bytes, content_type: str) -> None:
    for annotation in (Order, Event, list[int], Any):
        with suppress(DecodeError, PydanticError, msgspec.ValidationError):
            decoder(annotation)(body, content_type)


def told(error: BaseException) -> str:
    return explained(error) or str(error)


def why(error: BaseException) -> Explanation:
    explanation = explained(error)
    assert explanation is not None
    return explanation


def test_a_failure_names_path_value_and_reason_of_each_field() -> None:
    with pytest.raises(PydanticError) as caught:
        decoder(Order)(b'{"items": [{"price": 1}, {"price": "much"}]}', None)

    due, price = why(caught.value).failures
    assert (due.path, due.value, due.reason) == ("due", None, "Field required")
    assert (price.path, price.value) == ("items[1].price", "'much'")
    assert "no valid Order: due: Field required; items[1].price = 'much'" in told(caught.value)


def test_a_failure_inside_structs_names_path_and_value() -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        decoder(list[Event])(b'[{"id": 1}, {"id": "one"}]', None)

    (failure,) = why(caught.value).failures
    assert failure == ("[1].id", "'one'", "Expected `int`, got `str`")


def test_a_model_inside_a_struct_is_read_from_json_too() -> None:
    read = decoder(Event)

    assert read(b'{"id": 1, "order": {"due": "2030-01-31"}}', None).order == Order(
        due=date(2030, 1, 31)
    )
    with pytest.raises(msgspec.ValidationError, match="due: Input should be a valid date"):
        read(b'{"id": 1, "order": {"due": 3}}', None)


def test_a_long_value_is_clipped() -> None:
    with pytest.raises(PydanticError) as caught:
        decoder(dict[str, int])(b'{"a": [' + b"1, " * 5_000 + b"1]}", None)

    assert why(caught.value).failures[0].value == "[1, 1, 1, 1, ...]"


def test_a_flood_of_failures_is_counted_and_not_listed() -> None:
    with pytest.raises(PydanticError, match="5001 failures") as caught:
        decoder(list[int])(b"[" + b'"x", ' * 5_000 + b'"x"]', None)

    assert why(caught.value).failures == ()
    assert len(str(caught.value)) < 500


def test_an_unknown_content_type_is_named_if_the_bytes_do_not_fit() -> None:
    assert decoder(bytes | None)(b"x", "image/png") == b"x"
    with pytest.raises(DecodeError, match=r"'image/png'.*with_content_type"):
        decoder(Order)(ORDER, "image/png")


def test_a_struct_inside_a_plain_or_pydantic_type_is_an_error_at_declaration() -> None:
    with pytest.raises(DefinitionError, match=r"Envelope.*Event"):
        decoder(Envelope)


def test_a_union_of_struct_and_model_is_an_error_at_declaration() -> None:
    with pytest.raises(DefinitionError, match=r"Event \| Order"):
        decoder(Event | Order)


def test_a_type_that_nothing_can_validate_is_an_error_at_declaration() -> None:
    with pytest.raises(DefinitionError, match="Session"):
        decoder(Session)


def test_an_alias_that_names_itself_is_no_endless_loop() -> None:
    class Tree:
        """Stands for `type Tree = list[Tree]` of Python 3.12."""

        @property
        def __value__(self) -> Any:
            return GenericAlias(list, (self,))

    with pytest.raises(DefinitionError, match="cannot be validated"):
        decoder(Tree())


@pytest.mark.parametrize("annotation", [Order, Event])
def test_an_error_about_json_names_the_content_type(annotation: Any) -> None:
    with pytest.raises(DecodeError, match="'application/json'") as caught:
        decoder(annotation)(b"{", "application/json")

    assert caught.value.content_type == "application/json"


def test_a_caster_is_lenient() -> None:
    session = Session()

    assert caster(int)("100") == 100
    assert caster(Event)({"id": "1"}) == Event(1)
    assert caster(Session)(session) is session
    assert caster(Any)(session) is session


def test_a_caster_refuses_what_does_not_fit() -> None:
    with pytest.raises(PydanticError, match="no valid int: it = 'x'"):
        caster(int)("x")
    with pytest.raises(PydanticError, match="the value is 'x'"):
        caster(Session)("x")
    with pytest.raises(msgspec.ValidationError, match="id"):
        caster(Event)({"id": []})


@pytest.mark.parametrize("annotation", [Closable, Closable | None])
def test_a_caster_lets_pass_what_cannot_be_checked(annotation: Any) -> None:
    assert caster(annotation)(3) == 3


def test_a_caster_checks_callables() -> None:
    assert caster(Callable[[], int])(print) is print
