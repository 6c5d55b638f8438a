"""The only module that knows msgspec, an optional library: Structs and MessagePack."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, get_args, get_origin

from pydantic import TypeAdapter
from pydantic_core import ValidationError as PydanticError
from pydantic_core import from_json, to_json, to_jsonable_python

from ._errors import (
    DecodeError,
    DefinitionError,
    Failure,
    ValidationError,
    ValidationFailed,
    clipped,
    dotted,
)
from ._pydantic import Target, describe

__all__ = [
    "convert_struct",
    "decode_messagepack",
    "encode_json",
    "encode_messagepack",
    "holds_struct",
    "msgspec_target",
    "struct_schema",
]


class _Absent:
    """Stands for a library that is not installed: says so when it is used."""

    Struct = ()  # nothing is an instance of it

    def __getattr__(self, name: str) -> NoReturn:
        raise ImportError(
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


def holds_struct(annotation: Any, *around: object) -> bool:
    """Tell whether *annotation* is a Struct or a container of Structs, which msgspec serves.

    *around* are the type aliases that it was found in: one may name itself.
    """
    if hasattr(annotation, "__value__") and annotation not in around:  # `type Name = ...`
        return holds_struct(annotation.__value__, annotation, *around)
    kind = get_origin(annotation) or annotation
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return True
    return any(holds_struct(inner, *around) for inner in get_args(annotation))


def msgspec_target(annotation: Any) -> Target[Any]:
    """Build the functions of a type that msgspec serves.

    Raises:
        DefinitionError: msgspec cannot handle the type.
    """
    name = describe(annotation)
    try:
        decode = msgspec.json.Decoder(annotation, dec_hook=_from_pydantic).decode
    except (TypeError, NameError) as error:
        raise DefinitionError(
            f"{name} holds a msgspec Struct, and msgspec cannot decode it: {error}"
        ) from error
    return Target(
        name=name,
        from_json=decode,
        from_python=partial(convert_struct, annotation),
        to_json=partial(msgspec.json.encode, enc_hook=to_jsonable_python),
        errors=(msgspec.DecodeError, RecursionError, UnicodeDecodeError),
        explain=partial(_explain, name),
    )


def convert_struct(annotation: Any, value: object) -> Any:
    """Validate *value* into a type that msgspec serves."""
    return msgspec.convert(value, annotation, strict=False, dec_hook=_from_pydantic)


def struct_schema(annotation: Any) -> dict[str, Any]:
    """Return the JSON Schema of a type that msgspec serves.

    Raises:
        DefinitionError: It has none.
    """
    try:
        return msgspec.json.schema(annotation)
    except (TypeError, NotImplementedError) as error:
        raise DefinitionError(f"{describe(annotation)} has no JSON Schema: {error}") from error


def encode_json(value: object) -> bytes:
    """Encode *value* as JSON: models and dataclasses, Structs, dates, Decimal, UUID, Enum, ...

    Models are written by their aliases, so that the same model can read them again.
    NaN and infinity become null, as JSON has no word for them.
    """
    if isinstance(value, msgspec.Struct):
        return msgspec.json.encode(value, enc_hook=to_jsonable_python)
    return to_json(value, inf_nan_mode="null", fallback=_struct_to_builtins)


def encode_messagepack(value: object) -> bytes:
    """Encode *value* as MessagePack; dates, UUIDs and models as text and maps, as in JSON."""
    return msgspec.msgpack.encode(value, enc_hook=to_jsonable_python)


def decode_messagepack(body: bytes) -> object:
    """Decode MessagePack into plain values."""
    return msgspec.msgpack.decode(body)


def _struct_to_builtins(value: object) -> object:
    if not isinstance(value, msgspec.Struct):
        raise TypeError(f"{type(value).__qualname__} has no JSON form")
    return msgspec.to_builtins(value, enc_hook=to_jsonable_python)


def _from_pydantic(kind: type, value: object) -> object:
    """Serve the models in a Struct; from JSON again, which strict ones take ISO dates from."""
    try:
        return TypeAdapter(kind).validate_json(to_json(value))
    except PydanticError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise ValueError(f"{dotted(first['loc'])}: {first['msg']}") from error


def _explain(
    name: str, error: Exception, value: object, content_type: str | None
) -> ValidationError:
    explained: ValidationError
    if isinstance(value, bytes) and not isinstance(error, msgspec.ValidationError):
        explained = DecodeError(str(error), value, content_type)
    else:
        reason, _, steps = str(error).removesuffix("`").partition(" - at `$")
        # A missing field is reported at its parent, whose value says nothing.
        found = None if reason.startswith("Object missing") else _look_up(value, steps)
        failure = Failure(steps.removeprefix("."), found, reason)
        explained = ValidationFailed(name, [failure], 1, value)
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
