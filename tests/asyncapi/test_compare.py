"""What has changed from one document to another, and whom it breaks."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from callboard_asyncapi import Change, DocumentError, compare

from .pages import Json, old_shop, shop


def doing(action: str, schema: object, **more: Any) -> Json:
    """Return a document of one operation at `orders`, with *schema* as its payload."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Shop", "version": "1"},
        "channels": {"c": {"address": "orders", "messages": {"m": {"payload": schema, **more}}}},
        "operations": {"o": {"action": action, "channel": {"$ref": "#/channels/c"}}},
    }


def said(old: object, new: object) -> list[str]:
    return [f"{each}{f' ({each.breaks})' if each.breaks else ''}" for each in compare(old, new)]


def hurts(old: object, new: object) -> tuple[bool, bool]:
    """Tell whether the change of a schema breaks who sends it, and who receives it."""
    return tuple(
        any(each.breaks for each in compare(doing(action, old), doing(action, new)))
        for action in ("receive", "send")
    )  # type: ignore[return-value] # of two


def fields(*required: str, **properties: Any) -> Json:
    return {"type": "object", "properties": properties, "required": [*required]}


TEXT, NUMBER = {"type": "string"}, {"type": "integer"}
FEWER, MORE, BOTH, NEITHER = (True, False), (False, True), (True, True), (False, False)


@pytest.mark.parametrize(
    ("old", "new", "hurt"),
    [
        (fields(a=TEXT), fields("b", a=TEXT, b=TEXT), FEWER),
        (fields(a=TEXT), fields("a", a=TEXT), FEWER),
        (fields("a", a=TEXT), fields(a=TEXT), MORE),
        (fields("a", a=TEXT), fields(), MORE),
        (fields(a=TEXT), fields(a=TEXT, b=TEXT), NEITHER),
        (fields(a=TEXT), fields(), NEITHER),
        ({**fields(a=TEXT), "additionalProperties": False}, fields(a=TEXT), MORE),
        (fields(a=TEXT), {**fields(a=TEXT), "additionalProperties": False}, FEWER),
        (
            {**fields(a=TEXT), "additionalProperties": False},
            {**fields(a=TEXT, b=TEXT), "additionalProperties": False},
            MORE,
        ),
        (TEXT, NUMBER, BOTH),
        (NUMBER, {"type": "number"}, MORE),
        ({"type": "number"}, NUMBER, FEWER),
        (TEXT, {}, MORE),
        (True, False, FEWER),
        (TEXT, {"type": ["string", "null"]}, MORE),
        (TEXT, {"anyOf": [TEXT, {"type": "null"}]}, MORE),
        ({"type": ["string", "null"]}, {"anyOf": [{"type": "null"}, TEXT]}, NEITHER),
        ({"enum": ["a", "b"]}, {"enum": ["a"]}, FEWER),
        ({"enum": ["a"]}, {"enum": ["b", "a"]}, MORE),
        ({"const": "a"}, {"enum": ["a"], "type": "string"}, NEITHER),
        (TEXT, {**TEXT, "format": "date"}, FEWER),
        ({**TEXT, "format": "date"}, {**TEXT, "format": "time"}, BOTH),
        ({**TEXT, "pattern": "a"}, TEXT, MORE),
        (NUMBER, {**NUMBER, "minimum": 0}, FEWER),
        ({**NUMBER, "minimum": 0}, {**NUMBER, "exclusiveMinimum": 0}, FEWER),
        ({**NUMBER, "maximum": 5}, {**NUMBER, "maximum": 6}, MORE),
        ({**TEXT, "minLength": 0}, TEXT, NEITHER),
        ({**TEXT, "maxLength": 9}, {**TEXT, "maxLength": 8}, FEWER),
        ({**NUMBER, "multipleOf": 2}, {**NUMBER, "multipleOf": 4}, BOTH),
        ({"type": "array", "items": NUMBER}, {"type": "array", "items": TEXT}, BOTH),
        ({"type": "array"}, {"type": "array", "uniqueItems": True}, FEWER),
        ({"anyOf": [TEXT, NUMBER]}, TEXT, FEWER),
        ({"oneOf": [TEXT]}, {"oneOf": [NUMBER, TEXT]}, MORE),
        ({"allOf": [fields("a", a=TEXT), fields(b=TEXT)]}, fields("a", a=TEXT, b=TEXT), NEITHER),
        ({"not": TEXT}, {"not": NUMBER}, BOTH),
        ({**TEXT, "description": "Old."}, {**TEXT, "title": "New", "examples": ["a"]}, NEITHER),
    ],
)
def test_a_change_of_a_schema_breaks_those_whom_it_surprises(
    old: object, new: object, hurt: tuple[bool, bool]
) -> None:
    assert hurts(old, new) == hurt


def test_a_change_is_said_with_its_place() -> None:
    item = fields(price={"type": "number"})
    old = doing("receive", fields(items={"type": "array", "items": item}))
    new = doing("receive", fields(items={"type": "array", "items": fields(price=TEXT)}))

    assert said(old, new) == [
        "receive orders: payload.items[].price: number became string (producers)"
    ]


def test_what_is_gone_breaks_those_at_its_other_end() -> None:
    nothing = doing("send", TEXT)
    nothing["operations"].clear()

    assert said(doing("receive", TEXT), nothing) == ["receive orders: is gone (producers)"]
    assert said(doing("send", TEXT), nothing) == ["send orders: is gone (consumers)"]
    assert said(nothing, doing("send", TEXT)) == ["send orders: is new"]


def test_an_operation_is_found_again_by_what_it_does_and_not_by_its_name() -> None:
    new = doing("receive", TEXT)
    new["operations"] = {"renamed": new["operations"]["o"]}

    assert said(doing("receive", TEXT), new) == []


def test_another_address_breaks() -> None:
    new = doing("receive", TEXT)
    new["channels"]["c"]["address"] = "elsewhere"

    assert said(doing("receive", TEXT), new) == ["receive orders: is at elsewhere now (producers)"]


def test_another_kind_of_message_breaks_who_gets_it_and_one_less_who_sends_it() -> None:
    def with_two(action: str) -> Json:
        document = doing(action, TEXT)
        document["channels"]["c"]["messages"]["n"] = {"payload": NUMBER, "title": "Number"}
        return document

    assert said(doing("send", TEXT), with_two("send")) == [
        "send orders: the message Number is new (consumers)"
    ]
    assert said(doing("receive", TEXT), with_two("receive")) == [
        "receive orders: the message Number is new"
    ]
    assert said(with_two("receive"), doing("receive", TEXT)) == [
        "receive orders: the message Number is gone (producers)"
    ]


def test_an_answer_goes_the_other_way() -> None:
    new = shop()
    new["channels"]["answers"]["messages"]["Text"]["payload"] = {"type": ["string", "null"]}
    without = shop()
    del without["operations"]["onOrder"]["reply"]

    assert said(shop(), new) == [
        "receive orders.{}: answer payload: null is taken, too (consumers)"
    ]
    assert said(shop(), without) == ["receive orders.{}: answer: is gone (consumers)"]


def test_headers_parameters_and_content_types_are_compared() -> None:
    new = shop()
    message = new["components"]["messages"]["Order"]
    message |= {"headers": fields("tenant", tenant=TEXT), "contentType": "text/plain"}
    new["channels"]["orders"]["parameters"]["country"]["enum"] = ["de"]

    assert said(shop(), new) == [
        'receive orders.{}: {country}: "fr" is no longer taken (producers)',
        "receive orders.{}: content type unsaid became text/plain (producers)",
        "receive orders.{}: headers: anything became object (producers)",
        "receive orders.{}: headers.tenant: was added and is required (producers)",
    ]


def test_a_payload_that_is_no_json_schema_may_not_change() -> None:
    form = {"schemaFormat": "application/vnd.apache.avro;version=1.9.0"}
    old, new = (doing("send", {**form, "schema": {"type": each}}) for each in ("int", "long"))

    assert said(old, old) == []
    assert [each.breaks for each in compare(old, new)] == ["consumers"]


def test_the_two_generations_can_be_compared() -> None:
    without = shop()
    del without["operations"]["onOrder"]["reply"]

    assert said(old_shop(), without) == []


def test_channels_of_version_2_with_the_number_of_a_twin_are_at_its_address() -> None:
    old, new = old_shop(), old_shop()
    address = "orders.{country}"
    twin = deepcopy(old["channels"][address])
    twin["publish"]["operationId"] = "audit"
    old["channels"][f"{address}-2"] = twin

    assert said(old, new) == ["receive orders.{}: audit is gone, and others do this still"]


def test_circles_are_compared_once() -> None:
    new = shop()
    new["components"]["schemas"]["Item"] = deepcopy(new["components"]["schemas"]["Item"])
    new["components"]["schemas"]["Item"]["required"] = ["name"]

    assert said(shop(), new) == [
        "receive orders.{}: payload.items[].name: is required now (producers)"
    ]


def test_what_is_no_document_cannot_be_compared() -> None:
    with pytest.raises(DocumentError):
        compare(shop(), {})


def test_a_change_knows_the_operation_of_the_document() -> None:
    (change,) = compare(doing("send", TEXT), doing("send", {}))

    assert change == Change("send orders", "payload", "string became anything", "consumers", "o")


NAMES = st.sampled_from(["a", "b"])
PLAIN = st.one_of(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["integer", "number"])},
        optional={"minimum": st.integers(-2, 2), "exclusiveMaximum": st.integers(-2, 4)},
    ),
    st.fixed_dictionaries(
        {"type": st.just("string")},
        optional={"minLength": st.integers(0, 2), "maxLength": st.integers(0, 3)},
    ),
    st.fixed_dictionaries({"enum": st.lists(st.sampled_from(["a", "bb", 1, 2.5, None]), min_size=1, unique=True)}),
    st.sampled_from([{}, True, {"type": "null"}, {"type": "boolean"}, {"type": ["string", "null"]}]),
)  # fmt: skip


def larger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    made: st.SearchStrategy[Any] = st.one_of(
        st.fixed_dictionaries(
            # Always the same names: what may be added is no break, though it is one by the letter.
            {
                "type": st.just("object"),
                "properties": st.fixed_dictionaries({"a": inner, "b": inner}),
            },
            optional={
                "required": st.lists(NAMES, max_size=2, unique=True),
                "additionalProperties": st.booleans(),
            },
        ),
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"allOf": st.lists(inner, min_size=1, max_size=2)}),
    )
    return made


SCHEMAS: st.SearchStrategy[Any] = st.recursive(PLAIN, larger, max_leaves=5)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([None, True, -1, 0, 1, 3, 2.5, "", "a", "bb", "cccc"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)


def valid(value: Any, schema: Any) -> bool:
    return not [*Draft7Validator(schema).iter_errors(value)]  # pyright: ignore[reportUnknownMemberType] - its stub leaves a parameter open


@pytest.mark.slow
@settings(max_examples=50)
@given(SCHEMAS, st.sampled_from(["receive", "send"]))
def test_a_document_never_differs_from_itself(schema: Any, action: str) -> None:
    assert compare(doing(action, schema), doing(action, json.loads(json.dumps(schema)))) == []


@pytest.mark.slow
@given(SCHEMAS, SCHEMAS, VALUES)
def test_what_was_valid_and_is_not_any_more_is_never_missed(old: Any, new: Any, value: Any) -> None:
    was, is_now = valid(value, old), valid(value, new)
    assume(was != is_now)

    hurts_senders, hurts_receivers = hurts(old, new)

    assert hurts_senders if was else hurts_receivers


@pytest.mark.slow
@settings(max_examples=50)
@given(SCHEMAS, SCHEMAS)
def test_what_breaks_senders_one_way_breaks_receivers_the_other(old: Any, new: Any) -> None:
    assert hurts(old, new) == hurts(new, old)[::-1]


@pytest.mark.slow
@settings(max_examples=50)
@given(st.dictionaries(NAMES, SCHEMAS, max_size=3), SCHEMAS)
def test_what_is_added_and_may_be_left_out_never_breaks(properties: Any, added: Any) -> None:
    old = fields(*list(properties)[:1], **properties)
    new = fields(*list(properties)[:1], **properties, z=added)

    assert hurts(old, new) == NEITHER
