"""A type to decode into, as one record of bound functions, whichever library serves it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from inspect import Parameter
from types import NoneType, UnionType
from typing import Annotated, Any, Generic, TypeVar, Union, get_args, get_origin
from uuid import UUID

from ._errors import ValidationError

__all__ = ["Target", "alternatives", "describe", "is_optional", "is_untyped", "takes_raw"]

T = TypeVar("T")
_MODULES = re.compile(r"(?:[A-Za-z_<][\w<>]*\.)+")

# What a broker's client without content types writes as plain text or bytes, not as JSON.
_WRITTEN_RAW = frozenset((str, bytes, bytearray, date, datetime, time, timedelta, UUID))


@dataclass(frozen=True, slots=True, kw_only=True)
class Target(Generic[T]):
    """A type, and the functions that a library made for it.

    Attributes:
        name: How errors call the type.
        from_json: Validates a JSON body from the bytes, in one step.
        from_python: Validates a value, leniently: text may stand for a number or a date.
        to_json: Encodes a value of the type.
        errors: What the first two raise for bad input.
        explain: Makes our error of one of `errors`, given the body too.
        optional: Whether None is of the type: an empty body is None then.
        takes_raw: Whether a body without content type may be text or bytes of the type.
    """

    name: str
    from_json: Callable[[bytes], T]
    from_python: Callable[[object], T]
    to_json: Callable[[T], bytes]
    errors: tuple[type[Exception], ...]
    explain: Callable[[Exception, object], ValidationError]
    optional: bool
    takes_raw: bool


def is_untyped(annotation: Any) -> bool:
    """Tell whether *annotation* leaves the value open: none, `Any` or `object`."""
    return annotation in (Parameter.empty, Any, object)


def is_optional(annotation: object) -> bool:
    """Tell whether None is allowed by *annotation*."""
    return any(one in (None, NoneType) or is_untyped(one) for one in alternatives(annotation))


def takes_raw(annotation: Any) -> bool:
    """Tell whether plain text or bytes may stand for a value of *annotation*."""
    return any(one in _WRITTEN_RAW for one in alternatives(annotation))


def alternatives(annotation: Any) -> Iterator[Any]:
    """Yield what *annotation* allows: the members of a union, else itself, without metadata."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        for member in get_args(annotation):
            yield from alternatives(member)
    elif origin is Annotated:
        yield from alternatives(get_args(annotation)[0])
    elif hasattr(annotation, "__value__"):  # `type Name = ...` of Python 3.12
        yield from alternatives(annotation.__value__)
    else:
        yield annotation


def describe(annotation: Any) -> str:
    """Name a type for an error: `Order`, `list[Order]`, `int | None`."""
    is_class = isinstance(annotation, type) and not get_args(annotation)
    return _MODULES.sub("", annotation.__qualname__ if is_class else str(annotation))
