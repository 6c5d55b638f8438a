"""JSON Schemas (draft 2020-12) of types, for documents such as AsyncAPI's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from pydantic.errors import PydanticInvalidForJsonSchema

from ._errors import DefinitionError
from ._msgspec import holds_struct, struct_schema
from ._pydantic import adapter_of, describe, is_untyped
from ._spread import VARIADIC, Parameter, as_function

Mode: TypeAlias = Literal["validation", "serialization"]


def json_schema(annotation: object, *, mode: Mode = "validation") -> dict[str, Any]:
    """Describe the bodies of *annotation*; `{}`, which is anything, if that is open.

    *mode*: what is received is described for validation, what is sent for serialization: with
    computed fields, with defaults that are always there, as serialisers write it.
    Types with a name stand in `$defs` and are referred to as `#/$defs/Name`; the outermost model
    of pydantic stands by itself, the outermost Struct as a reference.

    Raises:
        DefinitionError: The type cannot be validated, or has no JSON Schema.
    """
    if is_untyped(annotation):
        return {}
    if holds_struct(annotation):
        return struct_schema(annotation)
    return _described(annotation, describe(annotation), mode)


def spread_json_schema(
    parameters: Sequence[Parameter], *, title: str | None = None
) -> dict[str, Any]:
    """Describe the object that is spread over *parameters*; `*args` cannot be sent by name.

    Raises:
        DefinitionError: A parameter's type cannot be validated, or has no JSON Schema.
    """
    named = [each for each in parameters if each.kind not in VARIADIC]
    schema = _described(as_function(named), "the arguments")
    for each in named:
        if holds_struct(each.annotation):
            member = struct_schema(each.annotation)
            schema.setdefault("$defs", {}).update(member.pop("$defs", {}))
            schema["properties"][each.name] |= member
    return {"title": title, **schema} if title else schema


def _described(annotation: object, name: str, mode: Mode = "validation") -> dict[str, Any]:
    try:
        return adapter_of(annotation).json_schema(mode=mode)
    except PydanticInvalidForJsonSchema as error:
        raise DefinitionError(f"{name} has no JSON Schema: {error.message}") from error
