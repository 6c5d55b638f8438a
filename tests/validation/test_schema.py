from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel
from typing_extensions import TypedDict  # pydantic asks for it before Python 3.12

from callboard_validation import DefinitionError, json_schema


class Item(BaseModel):
    price: float = 1.0


class Order(BaseModel):
    items: list[Item]


@dataclass
class Point:
    x: int


class Options(TypedDict):
    size: int


class Event(msgspec.Struct):
    id: int


@pytest.mark.parametrize(
    "annotation",
    [Order, Item, Point, Options, Event, list[Event], list[Order], int | None, bytes, str, Any],
)
def test_a_schema_is_valid(annotation: Any) -> None:
    Draft202012Validator.check_schema(json_schema(annotation))


def test_definitions_are_kept_and_titled() -> None:
    schema = json_schema(Order)

    assert schema["title"] == "Order"
    assert schema["properties"]["items"]["items"] == {"$ref": "#/$defs/Item"}
    assert schema["$defs"]["Item"]["title"] == "Item"


def test_a_struct_stands_among_the_definitions() -> None:
    schema = json_schema(Event)

    assert schema["$ref"] == "#/$defs/Event"
    assert schema["$defs"]["Event"]["properties"] == {"id": {"type": "integer"}}


def test_what_is_sent_is_described_as_it_is_written() -> None:
    assert "required" not in json_schema(Item)
    assert json_schema(Decimal)["anyOf"][0] == {"type": "number"}
    assert json_schema(Decimal, mode="serialization")["type"] == "string"


def test_an_open_type_allows_anything() -> None:
    assert json_schema(Any) == {}


@pytest.mark.parametrize("annotation", [Callable[[], int], list[Event | Order]])
def test_a_type_without_schema_is_an_error(annotation: Any) -> None:
    with pytest.raises(DefinitionError):
        json_schema(annotation)
