"""Signatures that are derived from records, so that an option is declared once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import Field, fields
from difflib import get_close_matches
from functools import wraps
from typing import Any, ClassVar, Concatenate, ParamSpec, Protocol, TypeVar

from ._errors import DeclarationError

__all__ = ["part", "sends", "takes"]

P = ParamSpec("P")
R = TypeVar("R")
V = TypeVar("V")
X = TypeVar("X")


class _Record(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


D = TypeVar("D", bound=_Record)


def takes(
    record: Callable[P, V],
) -> Callable[[Callable[[X, V], R]], Callable[Concatenate[X, P], R]]:
    """Let a method be called with the fields of *record*, and receive the record itself.

    Type checkers, `help()` and editors see the fields with their defaults. An argument that is
    unknown, missing or given twice is a `DeclarationError` that names the method.
    """

    def decorate(method: Callable[[X, V], R]) -> Callable[Concatenate[X, P], R]:
        made = _made(record, method)

        @wraps(method)
        def call(self: X, /, *args: P.args, **kwargs: P.kwargs) -> R:
            return method(self, made(self, *args, **kwargs))

        _show(call, method, record, keep=1)
        return call

    return decorate


def sends(
    record: Callable[P, V],
) -> Callable[[Callable[[X, object, V], R]], Callable[Concatenate[X, object, P], R]]:
    """Do what `takes` does for a method whose first argument is the message."""

    def decorate(method: Callable[[X, object, V], R]) -> Callable[Concatenate[X, object, P], R]:
        made = _made(record, method)

        @wraps(method)
        def call(self: X, message: object, /, *args: P.args, **kwargs: P.kwargs) -> R:
            return method(self, message, made(self, *args, **kwargs))

        _show(call, method, record, keep=2)
        return call

    return decorate


def part(record: object, kind: type[D]) -> D:
    """Return the fields of *record* that make up a *kind*, one of the records that it extends."""
    return kind(**{field.name: getattr(record, field.name) for field in fields(kind)})


def _made(
    record: Callable[P, V], method: Callable[..., object]
) -> Callable[Concatenate[object, P], V]:
    def make(owner: object, /, *args: P.args, **kwargs: P.kwargs) -> V:
        try:
            return record(*args, **kwargs)
        except TypeError as error:
            # The record's own words speak of its __init__, which the user has never seen.
            signature = inspect.signature(record)
            try:
                signature.bind(*args, **kwargs)
            except TypeError as mismatch:
                kind, name = type(owner).__name__, method.__name__
                called = kind if name == "__init__" else f"{kind}.{name}"
                hint = _hint(signature, len(args), tuple(kwargs))
                raise DeclarationError(f"{called}(): {mismatch}{hint}") from error
            raise

    return make


def _hint(signature: inspect.Signature, positions: int, names: Sequence[str]) -> str:
    """Say what else could have been meant."""
    known = signature.parameters
    first = [name for name, each in known.items() if each.kind is each.POSITIONAL_OR_KEYWORD]
    if positions > len(first):
        return f"; by position it takes {', '.join(first) or 'nothing'}, everything else by name"
    unknown = next((name for name in names if name not in known), None)
    if unknown is None:
        return ""
    close = get_close_matches(unknown, known, 1)
    return f"; do you mean {close[0]!r}?" if close else f"; it takes {', '.join(known)}"


def _show(
    call: Callable[..., object],
    method: Callable[..., object],
    record: Callable[..., Any],
    *,
    keep: int,
) -> None:
    """Make *call* show the fields of *record* behind the first *keep* parameters of *method*."""
    signature = inspect.signature(method)
    kept = [
        parameter.replace(kind=inspect.Parameter.POSITIONAL_ONLY)
        for parameter in list(signature.parameters.values())[:keep]
    ]
    fields = inspect.signature(record).parameters.values()
    shown = signature.replace(parameters=[*kept, *fields])
    call.__signature__ = shown  # type: ignore[attr-defined] # functions take any attribute
