from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

import msgspec
import pytest
from pydantic import BaseModel, Field, PlainSerializer

from callboard_validation import DefinitionError, EncodeError, decoder, encoder

JSON = "application/json"


class Order(BaseModel):
    number: int = Field(alias="no")


class Rush(Order):
    hours: int


class Event(msgspec.Struct):
    id: int


class Opaque:
    pass


Money = Annotated[Decimal, PlainSerializer(float, return_type=float)]

Number = Annotated[Order, PlainSerializer(lambda order: order.number)]


@pytest.mark.parametrize(
    ("annotation", "value", "encoded"),
    [
        (int, "12", (b"12", JSON)),
        (Order, {"no": 1}, (b'{"no":1}', JSON)),
        (list[Order], [Rush(no=1, hours=2)], (b'[{"no":1,"hours":2}]', JSON)),
        (list[Money], [Decimal("1.5")], (b"[1.5]", JSON)),
        (Number, Order(no=1), (b"1", JSON)),
        (Event, {"id": "1"}, (b'{"id":1}', JSON)),
        (Order | str, "text", (b"text", "text/plain")),
        (Order | None, None, (b"", JSON)),
        (None, None, (b"", JSON)),
        (bytes, b"\xff", (b"\xff", None)),
        (Any, {"a": 1}, (b'{"a":1}', JSON)),
    ],
)
def test_a_result_is_cast_to_the_annotation_and_encoded(
    annotation: Any, value: object, encoded: tuple[bytes, str | None]
) -> None:
    assert encoder(annotation)(value) == encoded


def test_what_a_model_writes_it_reads_again() -> None:
    order = Order(no=1)

    assert decoder(Order)(*encoder(Order)(order)) == order


def test_a_result_of_the_wrong_type_is_refused() -> None:
    with pytest.raises(EncodeError, match=r"it was to be int: .*'many'"):
        encoder(int)("many")
    with pytest.raises(EncodeError, match="it was to be Event"):
        encoder(Event)({"id": []})


def test_a_result_that_cannot_be_encoded_is_named_with_its_type() -> None:
    with pytest.raises(EncodeError, match=r"'dict' .*Opaque"):
        encoder(dict[str, Any])({"a": Opaque()})


def test_a_return_type_that_nothing_can_validate_is_an_error_at_declaration() -> None:
    with pytest.raises(DefinitionError, match="Opaque"):
        encoder(Opaque)
