"""Targets that pydantic serves: models, dataclasses, TypedDict, builtins and their unions."""

from __future__ import annotations

from functools import partial
from typing import Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation
from pydantic_core import ErrorDetails, SchemaError
from pydantic_core import ValidationError as PydanticError

from ._errors import DecodeError, DefinitionError, Failure, ValidationError, ValidationFailed
from ._excerpt import clipped, dotted
from ._target import Target, describe, is_optional, takes_raw

__all__ = ["ANYTHING", "adapter_of", "pydantic_target"]

ANYTHING = ConfigDict(arbitrary_types_allowed=True)  # unknown classes: checked with isinstance
_STRUCTS = (
    " (a msgspec Struct may stand in other Structs and in builtin containers,"
    " not inside a pydantic model, dataclass or TypedDict)"
)
LISTED = 1_000  # failures; beyond, pydantic would need seconds and gigabytes to describe them


def pydantic_target(
    annotation: Any, *, config: ConfigDict | None = None, name: str | None = None
) -> Target[Any]:
    """Build the functions of a type that pydantic serves, called *name* in errors.

    Raises:
        DefinitionError: pydantic cannot handle the type.
    """
    adapter = adapter_of(annotation, config)
    name = name or describe(annotation)
    return Target(
        name=name,
        from_json=adapter.validator.validate_json,
        from_python=adapter.validator.validate_python,
        # By alias, since the same type must read what it has written; polymorphic, since a model
        # that is returned for its base class must not lose its own fields on the way.
        to_json=partial(adapter.serializer.to_json, by_alias=True, polymorphic_serialization=True),
        errors=(PydanticError,),
        explain=partial(_explain, name),
        optional=is_optional(annotation),
        takes_raw=takes_raw(annotation),
    )


def adapter_of(annotation: Any, config: ConfigDict | None = None) -> TypeAdapter[Any]:
    """Build pydantic's own adapter of a type.

    Raises:
        DefinitionError: pydantic cannot handle the type.
    """
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=config)
        # Touching the validator resolves forward references now rather than at the first message.
        _ = adapter.validator.validate_json
    except (PydanticUserError, PydanticUndefinedAnnotation, SchemaError) as error:
        reason = f"{describe(annotation)} cannot be validated: {str(error).splitlines()[0]}"
        hint = _STRUCTS if isinstance(error, PydanticSchemaGenerationError) else ""
        raise DefinitionError(reason + hint) from error
    return adapter


def _explain(name: str, error: Exception, body: object) -> ValidationError:
    if not isinstance(error, PydanticError):
        raise error  # cannot be: `errors` holds nothing else
    count = error.error_count()
    if count > LISTED:
        # No cause either: a traceback would spell out each of its failures.
        return ValidationFailed(name, (), count, body)
    details = error.errors(include_url=False, include_context=False)
    explained: ValidationError
    if isinstance(body, bytes) and details[0]["type"] == "json_invalid" and not details[0]["loc"]:
        explained = DecodeError(details[0]["msg"], body)
    else:
        explained = ValidationFailed(name, [_failure(each) for each in details], count, body)
    explained.__cause__ = error
    return explained


def _failure(details: ErrorDetails) -> Failure:
    # For a missing field, pydantic's input is the whole object around it.
    value = None if details["type"].startswith("missing") else clipped(details["input"])
    return Failure(dotted(details["loc"]), value, details["msg"])
