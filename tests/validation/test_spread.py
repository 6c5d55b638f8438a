from __future__ import annotations

from datetime import date
from inspect import Parameter as Native
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict
from pydantic import ValidationError as PydanticError

from callboard_validation import (
    DecodeError,
    Parameter,
    explained,
    spread_decoder,
    spread_json_schema,
)


class Order(BaseModel):
    model_config = ConfigDict(strict=True)

    due: date


class Event(msgspec.Struct):
    id: int


ORDER = Order(due=date(2030, 1, 31))
ARGUMENTS = [
    Parameter("a", int),
    Parameter("b", int, default=2),
    Parameter("rest", int, kind=Native.VAR_POSITIONAL),
]


def test_an_object_is_spread_by_name() -> None:
    read = spread_decoder([Parameter("order", Order), Parameter("count", int)])

    assert read(b'{"count": "3", "order": {"due": "2030-01-31"}}', None) == (ORDER, 3)


def test_an_array_is_spread_by_position_and_the_rest_is_cast_one_by_one() -> None:
    read = spread_decoder(ARGUMENTS)

    assert read(b"[1, 2.0, 3.0, 4.0]", "application/json") == (1, 2, (3, 4))


def test_defaults_are_filled_in() -> None:
    assert spread_decoder(ARGUMENTS)(b"[1]", None) == (1, 2, ())
    assert spread_decoder(ARGUMENTS)(b'{"a": 1}', None) == (1, 2, ())


def test_positional_only_parameters_are_filled_by_name_too() -> None:
    read = spread_decoder([Parameter("a", int, kind=Native.POSITIONAL_ONLY), Parameter("b", int)])

    assert read(b'{"b": 2, "a": 1}', None) == (1, 2)


def test_keyword_only_parameters_come_by_name() -> None:
    read = spread_decoder([Parameter("a", int), Parameter("k", int, kind=Native.KEYWORD_ONLY)])

    assert read(b'{"a": 1, "k": "2"}', None) == (1, 2)


def test_unknown_members_are_ignored() -> None:
    read = spread_decoder([Parameter("a", int), Parameter("b", int)])

    assert read(b'{"a": 1, "b": 2, "new": 3}', None) == (1, 2)


def test_unknown_members_go_to_var_keyword() -> None:
    read = spread_decoder([Parameter("a", int), Parameter("more", int, kind=Native.VAR_KEYWORD)])

    assert read(b'{"a": 1, "new": "3"}', None) == (1, {"new": 3})


def test_a_parameter_without_annotation_takes_anything() -> None:
    read = spread_decoder([Parameter("a"), Parameter("b")])

    assert read(b'[{"x": 1}, null]', None) == ({"x": 1}, None)


def test_a_struct_among_the_parameters_is_msgspecs() -> None:
    read = spread_decoder([Parameter("event", Event), Parameter("order", Order)])

    assert read(b'[{"id": 1}, {"due": "2030-01-31"}]', None) == (Event(1), ORDER)
    with pytest.raises(PydanticError, match=r"event = .*Expected `int`"):
        read(b'{"event": {"id": "x"}, "order": {"due": "2030-01-31"}}', None)


def test_messagepack_is_spread_as_well() -> None:
    body = msgspec.msgpack.encode({"a": 1, "b": "2"})

    assert spread_decoder(ARGUMENTS)(body, "application/msgpack") == (1, 2, ())


def test_an_empty_body_leaves_all_to_the_defaults() -> None:
    read = spread_decoder([Parameter("a", int, default=1), Parameter("b", int, default=2)])

    assert read(b"", None) == (1, 2)
    assert read(b"[5]", None) == (5, 2)


def test_an_empty_body_is_refused_if_a_parameter_needs_it() -> None:
    with pytest.raises(DecodeError, match="it is empty"):
        spread_decoder(ARGUMENTS)(b"", None)


@pytest.mark.parametrize(
    ("body", "path", "value"),
    [
        (b'{"b": 1}', "a", None),
        (b'{"a": "x"}', "a", "'x'"),
        (b"[1, 2, 3, null]", "[3]", "None"),
        (b"3", "", "3"),
    ],
)
def test_a_failure_names_the_argument(body: bytes, path: str, value: str | None) -> None:
    with pytest.raises(PydanticError, match=r"arguments \(a, b, rest\)") as caught:
        spread_decoder(ARGUMENTS)(body, None)

    explanation = explained(caught.value)
    assert explanation is not None
    assert explanation.failures[0][:2] == (path, value)


def test_too_long_an_array_is_refused() -> None:
    with pytest.raises(PydanticError, match="Unexpected positional argument"):
        spread_decoder([Parameter("a", int), Parameter("b", int)])(b"[1, 2, 3]", None)


def test_the_schema_describes_an_object_with_all_definitions() -> None:
    parameters = [Parameter("order", Order), Parameter("event", Event), Parameter("n", int, 1)]

    schema: dict[str, Any] = spread_json_schema(parameters, title="Handle")

    assert schema["title"] == "Handle"
    assert schema["required"] == ["order", "event"]
    assert schema["properties"]["event"]["$ref"] == "#/$defs/Event"
    assert schema["properties"]["n"]["default"] == 1
    assert set(schema["$defs"]) == {"Order", "Event"}
