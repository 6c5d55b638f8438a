"""The only module that knows msgspec, an optional library: Structs and MessagePack."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import lru_cache, partial
from math import isfinite
from types import NoneType
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard, get_args, get_origin

from pydantic_core import PydanticSerializationError, from_json, to_json, to_jsonable_python
from pydantic_core import ValidationError as PydanticError

from ._errors import (
    DecodeError,
    DefinitionError,
    Explanation,
    Failure,
    clipped,
    dotted,
)
from ._lossless import is_mapping, spell
from ._pydantic import Target, describe, pydantic_target, target_of_class


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

_PLAIN = frozenset({str, int, float, bool, NoneType})
_CONTAINERS = frozenset({dict, list, tuple, set, frozenset})
_NOT_FINITE = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")  # a double whose exponent is all ones
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


def msgspec_target(annotation: Any, *, strict: bool = True) -> Target[Any]:
    """Build the functions of a type that msgspec serves; unless *strict*, text stands for a number.

    Raises:
        DefinitionError: msgspec cannot handle the type.
    """
    name = describe(annotation)
    try:
        decode = msgspec.json.Decoder(annotation, dec_hook=_from_pydantic).decode
        decode_lax = msgspec.json.Decoder(annotation, dec_hook=_from_pydantic, strict=False).decode
    except (TypeError, NameError) as error:
        raise DefinitionError(
            f"{name} is left to msgspec, which cannot decode it: {error}"
        ) from error

    def from_json(body: bytes) -> Any:
        try:
            return decode(body)
        except msgspec.ValidationError:
            # Only a lax decoder takes text for a float, and nothing else is to be lax.
            if b'"NaN"' not in body and b'Infinity"' not in body:
                raise
        return decode_lax(body)

    return Target(
        name=name,
        from_json=from_json if strict else decode_lax,
        from_python=partial(convert_struct, annotation),
        to_json=_encode_struct,
        to_builtins=_as_it_is,
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
    NaN and infinity, for which JSON has no word, are text, and so are bytes.
    """
    kind: type = type(value)
    return json_writer(kind)(value)


@lru_cache(1_024)
def json_writer(kind: type) -> Callable[[Any], bytes]:
    """Return what encodes values of exactly this class; kept, as `target_of_class` is."""
    if kind not in _CONTAINERS and kind not in _PLAIN:
        target = target_of_class(kind)
        if target is not None:
            write = target.to_json
            return lambda value: write(value, _struct_to_builtins)
        if issubclass(kind, msgspec.Struct):
            return _encode_struct
    return _encode_plain


def _encode_plain(value: object) -> bytes:
    try:
        body = to_json(value, inf_nan_mode="strings", fallback=_struct_to_builtins)
    except PydanticSerializationError:
        with suppress(RecursionError):  # of a cycle, which the first error tells better
            return _encode_spelled(value)  # there may be bytes in it that are no text
        raise
    if b"null" in body and type(value) in _CONTAINERS and _holds_records(value):
        # Of a model in a container, pydantic asks the serialiser that is the model's own.
        return _encode_spelled(value)
    return body


def encode_messagepack(value: object) -> bytes:
    """Encode *value* as MessagePack; dates, UUIDs and models as text and maps, as in JSON."""
    target = _target_of(value)
    if target is not None:
        value = target.to_builtins(value)
    return msgspec.msgpack.encode(value, enc_hook=_builtins_of)


def decode_messagepack(body: bytes) -> object:
    """Decode MessagePack into plain values."""
    return msgspec.msgpack.decode(body)


def spelled(value: Any) -> Any:
    """Replace what JSON has no word for, anywhere in *value*, by what is read as it again."""
    if isinstance(value, bytes | bytearray):
        return spell(value)
    if isinstance(value, float) and not isfinite(value):
        return from_json(to_json(value, inf_nan_mode="strings"))
    if is_mapping(value):
        return {spelled(name): spelled(each) for name, each in value.items()}
    if _is_collection(value):
        return [spelled(each) for each in value]
    if isinstance(value, msgspec.Struct):
        return from_json(_encode_struct(value))
    return value if (target := _target_of(value)) is None else from_json(target.to_json(value))


def _target_of(value: object) -> Target[Any] | None:
    kind: Any = type(value)
    return target_of_class(kind)


def _is_collection(value: object) -> TypeGuard[Collection[Any]]:
    return isinstance(value, list | tuple | set | frozenset | deque)


def _holds_records(value: Any) -> bool:
    """Tell whether there are models in a container, without a look at each plain value."""
    inner = value.values() if is_mapping(value) else value
    kinds = {*map(type, inner)} - _PLAIN
    if not kinds:
        return False
    if not kinds <= _CONTAINERS:
        return True
    return any(_holds_records(each) for each in inner if type(each) in _CONTAINERS)


def _encode_spelled(value: object) -> bytes:
    return to_json(spelled(value), inf_nan_mode="strings", fallback=_struct_to_builtins)


def _encode_struct(value: object) -> bytes:
    body = msgspec.json.encode(value, enc_hook=_json_of)
    # A null may have been a NaN, of which MessagePack tells quickly.
    if b"null" in body and _NOT_FINITE.search(msgspec.msgpack.encode(value, enc_hook=str)):
        builtins = msgspec.to_builtins(value, str_keys=True, enc_hook=spelled)
        return to_json(builtins, inf_nan_mode="strings")
    return body


def _as_it_is(value: object) -> object:
    return value


def _struct_to_builtins(value: object) -> object:
    if not isinstance(value, msgspec.Struct):
        raise TypeError(f"{type(value).__qualname__} has no JSON form")
    return from_json(_encode_struct(value))


def _json_of(value: object) -> object:
    """Write what a Struct holds and msgspec does not know."""
    target = _target_of(value)
    return to_jsonable_python(value) if target is None else msgspec.Raw(target.to_json(value))


def _builtins_of(value: object) -> object:
    target = _target_of(value)
    return to_jsonable_python(value) if target is None else target.to_builtins(value)


def _from_pydantic(kind: type, value: object) -> object:
    """Serve the models in a Struct; from JSON again, which strict ones take ISO dates from."""
    target = target_of_class(kind) or pydantic_target(kind)
    try:
        return target.from_json(to_json(spelled(value)))
    except PydanticError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise ValueError(f"{dotted(first['loc'])}: {first['msg']}") from error


def _explain(name: str, error: Exception, value: object, content_type: str | None) -> Exception:
    if not isinstance(error, msgspec.ValidationError):
        cause, error = (
            error,
            (
                DecodeError(str(error), value, content_type)
                if isinstance(value, bytes)
                else msgspec.ValidationError(str(error))
            ),
        )
        error.__cause__ = cause
    if isinstance(error, DecodeError):
        return error
    reason, _, steps = str(error).removesuffix("`").partition(" - at `$")
    # A missing field is reported at its parent, whose value says nothing.
    found = None if reason.startswith("Object missing") else _look_up(value, steps)
    error.add_note(
        Explanation.of(name, [Failure(steps.removeprefix("."), found, reason)], 1, value)
    )
    return error


def _look_up(body: object, steps: str) -> str | None:
    """Find the value that msgspec's path leads to; None where the path is not exact."""
    try:
        value: Any = from_json(body) if isinstance(body, bytes) else body
        for name, index, _unknown in _STEP.findall(steps):
            value = value[name] if name else value[int(index)]
    except (ValueError, LookupError, TypeError):
        return None
    return clipped(value)
