"""How payloads' schemas and their definitions find their places among the components."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
import pytest
from pydantic import BaseModel, Field, TypeAdapter

from callboard_asyncapi import Channel, DescriptorError, Info, Message, document

Json = dict[str, Any]
Write = Callable[..., Json]


class Item(BaseModel):
    name: str


class Order(BaseModel):
    items: list[Item]


class Node(BaseModel):
    children: list[Node] = []


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Part(msgspec.Struct):
    number: int
    inner: Part | None = None


def schema(annotation: Any) -> Json:
    return TypeAdapter(annotation).json_schema()


def test_definitions_are_lifted_and_references_follow(write: Write) -> None:
    written = write(Message(payload=schema(Order)))

    schemas = written["components"]["schemas"]
    assert list(schemas) == ["Order", "Item"]
    assert schemas["Order"]["properties"]["items"]["items"] == {"$ref": "#/components/schemas/Item"}
    assert "$defs" not in schemas["Order"]


def test_a_model_is_one_schema_wherever_it_occurs(write: Write) -> None:
    payloads = [schema(each) for each in (Order, Item, list[Item])]

    written = write(*(Message(name=f"on_{n}", payload=each) for n, each in enumerate(payloads)))

    assert list(written["components"]["schemas"]) == [
        "Order",
        "Item",
        "orders:OnOrder:on_2:Payload",
    ]


def test_different_models_of_one_name_get_two_keys(write: Write) -> None:
    other = {**schema(Order), "$defs": {"Item": {"type": "string", "title": "Item"}}}

    written = write(Message(name="a", payload=schema(Order)), Message(name="b", payload=other))

    schemas = written["components"]["schemas"]
    assert list(schemas) == ["Order", "Item", "Order-2", "Item-2"]
    assert schemas["Order-2"]["properties"]["items"]["items"] == {
        "$ref": "#/components/schemas/Item-2"
    }


def test_a_recursive_model_refers_to_itself(write: Write) -> None:
    written = write(
        Message(name="a", payload=schema(Node)), Message(name="b", payload=schema(Node))
    )

    [(key, node)] = written["components"]["schemas"].items()
    assert key == "Node"
    assert node["properties"]["children"]["items"] == {"$ref": "#/components/schemas/Node"}


def test_structs_of_msgspec_are_lifted_as_well(write: Write) -> None:
    written = write(Message(payload=msgspec.json.schema(Part)))

    assert list(written["components"]["schemas"]) == ["Part"]
    assert written["components"]["messages"]["orders:OnOrder:Message"]["payload"] == {
        "$ref": "#/components/schemas/Part"
    }


def test_tuples_are_said_in_the_words_of_draft_7(write: Write) -> None:
    written = write(Message(payload=schema(tuple[int, str])))

    assert written["components"]["schemas"]["orders:OnOrder:Message:Payload"] == {
        "type": "array",
        "items": [{"type": "integer"}, {"type": "string"}],
        "minItems": 2,
        "maxItems": 2,
    }


def test_the_rest_of_a_tuple_becomes_additional_items(write: Write) -> None:
    payload = {"type": "array", "prefixItems": [{"type": "integer"}], "items": False}

    written = write(Message(payload=payload))

    [entry] = written["components"]["schemas"].values()
    assert entry == {"type": "array", "items": [{"type": "integer"}], "additionalItems": False}


def test_a_discriminator_is_the_name_of_its_property(write: Write) -> None:
    written = write(Message(payload=schema(Annotated[Cat | Dog, Field(discriminator="kind")])))

    schemas = written["components"]["schemas"]
    assert schemas["orders:OnOrder:Message:Payload"]["discriminator"] == "kind"
    assert list(schemas) == ["orders:OnOrder:Message:Payload", "Cat", "Dog"]


def test_properties_may_be_called_like_keywords(write: Write) -> None:
    payload = {
        "type": "object",
        "properties": {"$ref": {"$ref": "#/$defs/A"}, "enum": {"type": "null"}},
    }

    written = write(Message(payload={**payload, "$defs": {"A": {"type": "string"}}}))

    assert written["components"]["schemas"]["orders:OnOrder:Message:Payload"]["properties"] == {
        "$ref": {"$ref": "#/components/schemas/A"},
        "enum": {"type": "null"},
    }


def test_values_are_left_alone() -> None:
    value = {"$ref": "#/$defs/A", "prefixItems": [1]}
    channel = Channel(
        address="orders", messages=[Message(payload={"title": "V", "default": value})]
    )

    written = document(Info(title="Shop", version="1"), channels=[channel])

    assert written["components"]["schemas"]["V"]["default"] == value


def test_a_definition_that_is_missing_is_named() -> None:
    channel = Channel(address="orders", messages=[Message(payload={"$ref": "#/$defs/Gone"})])

    with pytest.raises(DescriptorError, match=r"refers to \['Gone'\]; its \$defs are \[\]"):
        document(Info(title="Shop", version="1"), channels=[channel])


def test_headers_have_a_schema_too(write: Write) -> None:
    headers = {"type": "object", "properties": {"x-id": {"type": "string"}}}

    written = write(Message(headers=headers))

    assert written["components"]["schemas"] == {"orders:OnOrder:Message:Headers": headers}


def test_what_was_given_is_not_changed(write: Write) -> None:
    payload = schema(Order)

    write(Message(payload=payload))

    assert payload == schema(Order)


def test_references_to_definitions_are_read_as_the_uris_that_they_are(write: Write) -> None:
    payload = {
        "properties": {"a": {"$ref": "#/$defs/Box%5Bint%5D"}, "b": {"$ref": "#/%24defs/x~1y"}},
        "$defs": {"Box[int]": {"type": "integer"}, "x/y": {"type": "string"}},
    }

    written = write(Message(payload=payload))

    assert {"Box[int]", "x.y"} <= set(written["components"]["schemas"])


def test_a_reference_to_another_document_stays() -> None:
    elsewhere = {"$ref": "https://example.com/order.json#/$defs/Order"}

    written = document(
        Info(title="Shop", version="1"),
        channels=[Channel(address="a", messages=[Message(payload={"items": elsewhere})])],
    )

    [found] = written["components"]["schemas"].values()
    assert found == {"items": elsewhere}
