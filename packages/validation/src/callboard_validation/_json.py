"""Values to JSON, whatever library their types come from, and where it went wrong if it did."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from typing import Any, TypeAlias

from pydantic import BaseModel
from pydantic_core import to_json

from ._errors import EncodeError
from ._excerpt import dotted
from ._msgspec import is_struct, struct_items, struct_to_builtins, struct_to_json

__all__ = ["encode_json", "unencodable"]

_Children: TypeAlias = Iterable[tuple[str | int, Any]]


def encode_json(value: object) -> bytes:
    """Encode *value* as JSON: models and dataclasses, Structs, dates, Decimal, UUID, Enum, ...

    Models are written by their aliases, so that the same model can read them again.
    NaN and infinity become null, as JSON has no word for them.

    Raises:
        EncodeError: Something in it has no JSON form; names its type and path.
    """
    try:
        return _to_json(value)
    except Exception as error:
        raise unencodable(value, error) from error


def unencodable(value: object, error: Exception) -> EncodeError:
    """Find what in *value* could not be encoded, and say so."""
    path, culprit = _culprit(value, (), (id(value),))
    return EncodeError(str(error), type(culprit).__qualname__, dotted(path))


def _to_json(value: object) -> bytes:
    if is_struct(value):
        return struct_to_json(value)
    return to_json(value, inf_nan_mode="null", fallback=struct_to_builtins)


def _culprit(
    value: object, path: tuple[str | int, ...], parents: tuple[int, ...]
) -> tuple[tuple[str | int, ...], object]:
    for step, child in _children(value):
        if id(child) in parents:  # a cycle, which has no JSON form either
            return (*path, step), child
        if not _encodes(child):
            return _culprit(child, (*path, step), (*parents, id(child)))
    return path, value


def _encodes(value: object) -> bool:
    try:
        _to_json(value)
    except Exception:  # noqa: BLE001 - the question is whether, not why
        return False
    return True


def _children(value: Any) -> _Children:
    for kinds, children in _CONTAINERS:
        if isinstance(value, kinds):
            return children(value)
    if is_struct(value):
        return struct_items(value)
    if is_dataclass(value):
        return [(field.name, getattr(value, field.name)) for field in fields(value)]
    return ()


def _members(value: dict[Any, Any]) -> _Children:
    return [(str(key), child) for key, child in value.items()]


_CONTAINERS: tuple[tuple[tuple[type, ...], Callable[[Any], _Children]], ...] = (
    ((dict,), _members),
    ((list, tuple, set, frozenset), enumerate),
    ((BaseModel,), iter),
)
