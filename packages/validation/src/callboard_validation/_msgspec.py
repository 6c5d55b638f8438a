"""The only module that knows msgspec, an optional library: Structs and MessagePack."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard, get_args

from pydantic import TypeAdapter
from pydantic_core import ValidationError as PydanticError
from pydantic_core import from_json, to_json, to_jsonable_python

from ._errors import (
    DecodeError,
    DefinitionError,
    Failure,
    MissingExtra,
    ValidationError,
    ValidationFailed,
)
from ._excerpt import clipped, dotted
from ._target import Target, alternatives, describe, is_optional, takes_raw

__all__ = [
    "convert_struct",
    "decode_messagepack",
    "encode_messagepack",
    "holds_struct",
    "is_struct",
    "msgspec_target",
    "struct_items",
    "struct_schema",
    "struct_to_builtins",
    "struct_to_json",
]


class _Absent:
    """Stands for a library that is not installed: says so when it is used."""

    Struct = ()  # nothing is an instance of it

    def __getattr__(self, name: str) -> NoReturn:
        raise MissingExtra(
            "MessagePack and Structs need the library msgspec, which is not installed:"
            ' pip install "callboard-validation[msgspec]"'
        )


if TYPE_CHECKING:
    import msgspec
else:
    try:
        import msgspec
    except ImportError:
        msgspec = _Absent()

_STEP = re.compile(r"\.(\w+)|\[(\d+)\]|\[(\.\.\.)\]")


def is_struct(value: object) -> TypeGuard[msgspec.Struct]:
    """Tell whether *value* is a Struct; never, where msgspec is not installed."""
    return isinstance(value, msgspec.Struct)


def holds_struct(annotation: object) -> bool:
    """Tell whether *annotation* is a Struct or a container of Structs, which msgspec serves."""
    return any(
        (isinstance(one, type) and not get_args(one) and issubclass(one, msgspec.Struct))
        or any(holds_struct(inner) for inner in get_args(one))
        for one in alternatives(annotation)
    )


def msgspec_target(annotation: Any) -> Target[Any]:
    """Build the functions of a type that msgspec serves.

    Raises:
        DefinitionError: msgspec cannot handle the type.
    """
    try:
        decode = msgspec.json.Decoder(annotation, dec_hook=_from_pydantic).decode
    except (TypeError, NameError) as error:
        raise DefinitionError(
            f"{describe(annotation)} holds a msgspec Struct, and msgspec cannot decode it: {error}"
        ) from error
    return Target(
        name=describe(annotation),
        from_json=decode,
        from_python=partial(convert_struct, annotation),
        to_json=struct_to_json,
        errors=(msgspec.DecodeError, RecursionError, UnicodeDecodeError),
        explain=partial(_explain, describe(annotation)),
        optional=is_optional(annotation),
        takes_raw=takes_raw(annotation),
    )


def convert_struct(annotation: Any, value: object) -> Any:
    """Validate *value* into a type that msgspec serves."""
    return msgspec.convert(value, annotation, strict=False, dec_hook=_from_pydantic)


def struct_to_json(value: object) -> bytes:
    """Encode a Struct, or a container of them, as JSON."""
    return msgspec.json.encode(value, enc_hook=to_jsonable_python)


def struct_to_builtins(value: object) -> object:
    """Turn a Struct into plain values; anything else raises TypeError."""
    if not is_struct(value):
        raise TypeError(f"{type(value).__qualname__} has no JSON form")
    return msgspec.to_builtins(value, enc_hook=to_jsonable_python)


def struct_items(value: msgspec.Struct) -> Iterator[tuple[str, object]]:
    """Yield the fields of a Struct with their values."""
    for name in value.__struct_fields__:
        yield name, getattr(value, name)


def struct_schema(annotation: Any) -> dict[str, Any]:
    """Return the JSON Schema of a type that msgspec serves.

    Raises:
        DefinitionError: It has none.
    """
    try:
        return msgspec.json.schema(annotation)
    except (TypeError, NotImplementedError) as error:
        raise DefinitionError(f"{describe(annotation)} has no JSON Schema: {error}") from error


def encode_messagepack(value: object) -> bytes:
    """Encode *value* as MessagePack; dates, UUIDs and models as text and maps, as in JSON."""
    return msgspec.msgpack.encode(value, enc_hook=to_jsonable_python)


def decode_messagepack(body: bytes) -> object:
    """Decode MessagePack into plain values."""
    return msgspec.msgpack.decode(body)


def _from_pydantic(kind: type, value: object) -> object:
    """Serve the pydantic models inside a Struct.

    They get JSON again, since strict models accept ISO dates from JSON only.
    """
    try:
        return TypeAdapter(kind).validate_json(to_json(value))
    except PydanticError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise ValueError(f"{dotted(first['loc'])}: {first['msg']}") from error


def _explain(name: str, error: Exception, body: object) -> ValidationError:
    explained: ValidationError
    if isinstance(body, bytes) and not isinstance(error, msgspec.ValidationError):
        explained = DecodeError(str(error), body)
    else:
        reason, _, steps = str(error).removesuffix("`").partition(" - at `$")
        # A missing field is reported at its parent, whose value says nothing.
        value = None if reason.startswith("Object missing") else _look_up(body, steps)
        failure = Failure(steps.removeprefix("."), value, reason)
        explained = ValidationFailed(name, [failure], 1, body)
    explained.__cause__ = error
    return explained


def _look_up(body: object, steps: str) -> str | None:
    """Find the value that msgspec's path leads to; None where the path is not exact."""
    try:
        value: Any = from_json(body) if isinstance(body, bytes) else body
        for name, index, _unknown in _STEP.findall(steps):
            value = value[name] if name else value[int(index)]
    except (ValueError, LookupError, TypeError):
        return None
    return clipped(value)
