"""Signatures: what a callable is, what it takes, and where each parameter says it comes from."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, TypeAlias

from ._annotations import Names, bare, names_for, resolve, title, unwrap
from ._errors import PlanError
from ._markers import EMPTY, ContextValue, Dependency, NoCast

__all__ = ["POSITIONAL", "BodyParameter", "Callee", "Style", "circle", "identity", "read"]

Call: TypeAlias = Callable[..., Any]
Marker: TypeAlias = Dependency | ContextValue

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Style(Enum):
    """How a callable gives its value."""

    SYNC = "function"
    CLASS = "class"
    ASYNC = "async function"
    GENERATOR = "generator"
    ASYNC_GENERATOR = "async generator"


@dataclass(frozen=True, slots=True)
class BodyParameter:
    """A parameter, which the body of a message fills unless something else supplies it.

    Attributes:
        name: As declared.
        annotation: Resolved, without our own marks; `inspect.Parameter.empty` if there is none.
        default: `inspect.Parameter.empty` if there is none.
        kind: As `inspect.Parameter.kind`; `*args` and `**kwargs` may be filled too.
        cast: False if `NoCast` asks to leave the value as it was decoded.
        marker: What supplies it; None for what is left to the body.
    """

    name: str
    annotation: Any
    default: Any
    kind: Any
    cast: bool = True
    marker: Marker | None = None

    @property
    def variadic(self) -> bool:
        """Whether it is `*args` or `**kwargs`."""
        return self.kind in _VARIADIC


@dataclass(frozen=True, slots=True)
class Callee:
    """A callable that was read.

    Attributes:
        call: The callable itself.
        title: Its name and where it stands, for errors: `'on_order' (orders.py:14)`.
        style: How it gives its value.
        parameters: In order, without `self` and without the keywords that a `partial` has filled.
        returns: The return annotation, `EMPTY` if there is none; still a string if it can't be
            resolved, which is no matter here: it decides nothing about what is injected.
    """

    call: Call
    title: str
    style: Style
    parameters: tuple[BodyParameter, ...]
    returns: Any

    def where(self, parameter: BodyParameter) -> str:
        """Return how an error names *parameter*."""
        return f"parameter {parameter.name!r} of {self.title}"


def read(call: Call) -> Callee:
    """Read the signature of *call*, and of all dependencies that its parameters name.

    Where *call* is planned later than declared, read it where it is declared: types that are
    local to enclosing functions can be resolved only while these run.

    Raises:
        PlanError: An annotation cannot be resolved, a parameter has two markers,
            dependencies go in a circle, or *call* has no signature.
    """
    return _read(call, ())


def identity(call: Call) -> object:
    """Return what tells callables apart: equal methods are the same, the unhashable are not."""
    try:
        hash(call)
    except TypeError:
        return id(call)
    return call


def circle(call: Call, chain: tuple[Call, ...]) -> PlanError | None:
    """Return the error if *call* is needed by one in *chain*, which needs it."""
    if all(identity(call) != identity(other) for other in chain):
        return None
    return PlanError(
        f"dependencies go in a circle: {' → '.join(title(other) for other in (*chain, call))}; "
        "let one of them do without the next"
    )


def _read(call: Call, chain: tuple[Call, ...]) -> Callee:
    if error := circle(call, chain):
        raise error
    names, filled, signature = names_for(call), _filled(call), _signature(call)
    parameters = tuple(
        _parameter(title(call), declared, names)
        for declared in signature.parameters.values()
        if declared.name not in filled
    )
    for parameter in parameters:
        if isinstance(parameter.marker, Dependency) and parameter.marker.callee is None:
            parameter.marker.callee = _read(parameter.marker.call, (*chain, call))
    returns = _returned(signature.return_annotation, names)
    return Callee(call, title(call), _style(call), parameters, returns)


def _returned(annotation: Any, names: Names) -> Any:
    try:
        return resolve(annotation, names)
    except NameError:
        return annotation


def _signature(call: Call) -> inspect.Signature:
    try:
        return inspect.signature(call)
    except (NameError, TypeError, ValueError) as error:
        raise PlanError(f"{title(call)} has no signature ({error}); wrap it in a def") from error


def _filled(call: Any) -> set[str]:
    return set(call.keywords) if isinstance(call, functools.partial) else set()


def _parameter(owner: str, declared: inspect.Parameter, names: Names) -> BodyParameter:
    where = f"parameter {declared.name!r} of {owner}"
    try:
        annotation = resolve(declared.annotation, names)
    except Exception as error:
        raise PlanError(
            f"{where} has the annotation {declared.annotation!r}, which cannot be resolved "
            f"({error}); define or import the name in the module, not under `if TYPE_CHECKING`"
        ) from error
    annotation, marks = _split(annotation)
    markers = [mark for mark in (*marks, declared.default) if isinstance(mark, Marker)]
    if len(markers) > 1:
        raise PlanError(f"{where} has {len(markers)} markers; give it one")
    return BodyParameter(
        declared.name,
        annotation,
        EMPTY if isinstance(declared.default, Marker) else declared.default,
        declared.kind,
        cast=len(marks) == len([mark for mark in marks if isinstance(mark, Marker)]),
        marker=markers[0] if markers else None,
    )


def _split(annotation: Any) -> tuple[Any, list[object]]:
    """Return the annotation without our marks, which no validator knows, and the marks."""
    extras: tuple[object, ...] = getattr(annotation, "__metadata__", ())
    ours: list[object] = [
        mark for mark in extras if mark is NoCast or isinstance(mark, Marker | NoCast)
    ]
    if not ours:
        return annotation, ours
    theirs = tuple(mark for mark in extras if mark not in ours)
    kind: Any = Annotated
    plain = annotation.__origin__
    return (kind[(plain, *theirs)] if theirs else plain), ours


def _style(call: Call) -> Style:
    called = bare(call)
    if isinstance(called, type):
        return Style.CLASS
    if inspect.isasyncgenfunction(called):
        return Style.ASYNC_GENERATOR
    if inspect.isgeneratorfunction(called):
        return Style.GENERATOR
    # A decorator's plain wrapper hands on the awaitable of the async function inside it.
    forms = (call, called, unwrap(call))
    return Style.ASYNC if any(map(inspect.iscoroutinefunction, forms)) else Style.SYNC
