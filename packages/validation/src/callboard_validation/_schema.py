"""JSON Schemas (draft 2020-12) of types, for documents such as AsyncAPI's."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import Parameter as Native
from typing import Any, Literal, TypeAlias

from pydantic import TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema

from ._errors import DefinitionError
from ._msgspec import holds_struct, struct_schema
from ._pydantic import adapter_of
from ._spread import VARIADIC, Parameter, as_function
from ._target import describe, is_untyped

__all__ = ["SchemaMode", "json_schema", "spread_json_schema"]

SchemaMode: TypeAlias = Literal["validation", "serialization"]
"""Whether a schema describes what is read (defaults may be left out) or what is written."""


def json_schema(annotation: object, *, mode: SchemaMode = "validation") -> dict[str, Any]:
    """Describe the bodies of *annotation*; `{}`, which is anything, if that is open.

    Types with a name stand in `$defs` and are referred to as `#/$defs/Name`; the outermost model
    of pydantic stands by itself, the outermost Struct as a reference.

    Raises:
        DefinitionError: The type cannot be validated, or has no JSON Schema.
    """
    if is_untyped(annotation):
        return {}
    if holds_struct(annotation):
        return struct_schema(annotation)
    return _described(adapter_of(annotation), describe(annotation), mode)


def spread_json_schema(
    parameters: Sequence[Parameter | Native], *, title: str | None = None
) -> dict[str, Any]:
    """Describe the object that is spread over *parameters*; `*args` cannot be sent by name.

    Raises:
        DefinitionError: A parameter's type cannot be validated, or has no JSON Schema.
    """
    named = [each for each in parameters if each.kind not in VARIADIC]
    schema = _described(adapter_of(as_function(named)), "the arguments", "validation")
    for each in named:
        if holds_struct(each.annotation):
            _put(schema, each.name, struct_schema(each.annotation))
    return {"title": title, **schema} if title else schema


def _put(schema: dict[str, Any], name: str, member: dict[str, Any]) -> None:
    definitions = member.pop("$defs", {})
    schema["properties"][name] |= member
    if definitions:
        schema.setdefault("$defs", {}).update(definitions)


def _described(adapter: TypeAdapter[Any], name: str, mode: SchemaMode) -> dict[str, Any]:
    try:
        return adapter.json_schema(mode=mode)
    except PydanticInvalidForJsonSchema as error:
        raise DefinitionError(f"{name} has no JSON Schema: {error.message}") from error
