"""Signatures: what a callable is, what it takes, and where each parameter says it comes from.

Annotations are often postponed strings, and may name types that exist only inside a function,
such as a test's own `class Order`. The running enclosing functions are found on the stack.
"""

from __future__ import annotations

import builtins
import functools
import inspect
import sys
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path
from types import BuiltinMethodType, MethodType, MethodWrapperType
from typing import Annotated, Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

from ._errors import PlanError
from ._markers import EMPTY, ContextValue, Dependency, NoCast

Call: TypeAlias = Callable[..., Any]
Marker: TypeAlias = Dependency | ContextValue
Names: TypeAlias = tuple[dict[str, Any], dict[str, Any]]
"""The globals and locals that annotations are evaluated in."""

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


Style: TypeAlias = Literal["sync", "async", "generator", "async generator"]
"""How a callable gives its value: when called, awaited, or as the first item before its end."""


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
        return self.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


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
        PlanError: An annotation cannot be resolved, a parameter has two markers, dependencies
            go in a circle, or *call* cannot be called or has no signature.
    """
    return _read(call, ())


class Identity:
    """What tells callables apart: not their `==`, which may call two the same, or give no bool.

    A method is made anew each time it is asked for: those of one object are the same.
    """

    __slots__ = ("_key", "_parts")

    def __init__(self, call: object) -> None:
        # The parts are kept, so that no `id` is used again.
        self._parts: tuple[object, ...] = (call,)
        if isinstance(call, MethodType):
            self._parts = (call.__self__, call.__func__)
        # A method of C says nothing but its name of what it calls; it compares by identity itself.
        native = isinstance(call, BuiltinMethodType | MethodWrapperType)
        self._key: object = call if native else tuple(map(id, self._parts))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def unaliased(annotation: Any) -> Any:
    """Return what `type Session = Annotated[...]` (PEP 695) is a name for, or *annotation* itself."""
    while hasattr(alias := get_origin(annotation) or annotation, "__value__") and hasattr(
        alias, "__type_params__"
    ):
        # Of `type Several[T] = list[T]`, `Several[int]` is `list[int]`.
        arguments = get_args(annotation) if alias is not annotation else ()
        annotation = alias.__value__[arguments] if arguments else alias.__value__
    return annotation


def refuse_circle(call: Call, chain: tuple[Call, ...]) -> None:
    """Raise the error if *call* is needed by one in *chain*, which needs it."""
    if Identity(call) in map(Identity, chain):
        raise PlanError(
            f"dependencies go in a circle: {' → '.join(map(_title, (*chain, call)))}; "
            "let one of them do without the next"
        )


def _read(call: Call, chain: tuple[Call, ...]) -> Callee:
    given: object = call  # `Depends(anything)`
    if not callable(given):
        who = f"{_title(chain[-1])} depends on {given!r}, which" if chain else f"{given!r}"
        raise PlanError(
            f"{who} can't be called; name a function, a class or a callable object, not a result"
        )
    refuse_circle(call, chain)
    try:
        signature = inspect.signature(call)
    except (NameError, TypeError, ValueError) as error:
        raise PlanError(f"{_title(call)} has no signature ({error}); wrap it in a def") from error
    names, title = _names(call), _title(call)
    parameters = tuple(
        _parameter(title, declared, names)
        for declared in signature.parameters.values()
        if declared.name not in _filled(call)
    )
    for parameter in parameters:
        if isinstance(parameter.marker, Dependency) and parameter.marker.callee is None:
            parameter.marker.callee = _read(parameter.marker.call, (*chain, call))
    try:
        returns = _resolve(signature.return_annotation, names)
    except NameError:
        returns = signature.return_annotation
    return Callee(call, title, _style(call), parameters, returns)


def _filled(call: Any) -> Container[str]:
    return call.keywords if isinstance(call, functools.partial) else ()


def _parameter(owner: str, declared: inspect.Parameter, names: Names) -> BodyParameter:
    where = f"parameter {declared.name!r} of {owner}"
    try:
        annotation = _resolve(declared.annotation, names)
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
        cast=all(isinstance(mark, Marker) for mark in marks),
        marker=markers[0] if markers else None,
    )


def _split(annotation: Any) -> tuple[Any, list[object]]:
    """Return the annotation without our marks, which no validator knows, and the marks."""
    extras: tuple[object, ...] = getattr(annotation, "__metadata__", ())
    ours = [mark for mark in extras if _is_ours(mark)]
    if not ours:
        return annotation, ours
    theirs = [mark for mark in extras if not _is_ours(mark)]
    kind: Any = Annotated
    plain = annotation.__origin__
    return (kind[(plain, *theirs)] if theirs else plain), ours


def _is_ours(mark: object) -> bool:
    return mark is NoCast or isinstance(mark, Marker | NoCast)


def _resolve(annotation: Any, names: Names) -> Any:
    """Return *annotation* with the strings in it evaluated; `Annotated` is kept."""
    if annotation is EMPTY:
        return annotation

    def holder() -> None: ...

    holder.__annotations__ = {"it": annotation}
    return unaliased(get_type_hints(holder, *names, include_extras=True)["it"])


def _names(call: Call) -> Names:
    """Return what the annotations of *call* can see, running enclosing functions included."""
    function, called = _unwrap(call), _bare(call)
    # A class's constructor may be inherited or generated, with other globals than the class's.
    module = sys.modules.get(called.__module__) if isinstance(called, type) else None
    around = getattr(function, "__globals__", {})
    local: dict[str, Any] = {}
    frame = inspect.currentframe()
    while frame is not None:
        outer = f"{frame.f_code.co_qualname}.<locals>."
        if function.__qualname__.startswith(outer) and frame.f_globals is around:
            local = {**frame.f_locals, **local}  # the nearest wins
        frame = frame.f_back
    # The constructor of a NamedTuple has globals of its own, without builtins.
    return (vars(module) if module else {}) | around | {"__builtins__": vars(builtins)}, local


def _style(call: Call) -> Style:
    called = _bare(call)
    if inspect.isasyncgenfunction(called):
        return "async generator"
    if inspect.isgeneratorfunction(called):
        return "generator"
    # A decorator's plain wrapper hands on the awaitable of the async function inside it. That is
    # not so with generators: what `@contextmanager` has made of one is no generator any more.
    forms = (call, called, _unwrap(call))
    return "async" if any(map(inspect.iscoroutinefunction, forms)) else "sync"


def _bare(call: Call) -> Call:
    """Return what *call* calls: the function or class in a partial, an object's `__call__`."""
    called: Any = call
    while not (inspect.isroutine(called) or isinstance(called, type)):
        called = called.func if isinstance(called, functools.partial) else called.__call__
    return called


def _unwrap(call: Call) -> Any:
    """Return the function at the bottom of *call*: that which a person wrote."""
    function, within = call, _bare(inspect.unwrap(call))
    while within is not function:
        function, within = within, _bare(inspect.unwrap(within))
    if isinstance(function, type):
        made: Any = function
        function = made.__new__ if made.__init__ is object.__init__ else made.__init__
    return inspect.unwrap(function)


def _title(call: Call) -> str:
    """Return the name of *call* and where it stands: `'on_order' (orders.py:14)`."""
    called, function = _bare(call), _unwrap(call)
    named = called if isinstance(called, type) else function
    code = getattr(function, "__code__", None)
    if named is not function:  # its constructor may be inherited, or generated
        module = sys.modules.get(named.__module__)
        code = code if code and code.co_filename == getattr(module, "__file__", None) else None
    place = f" ({Path(code.co_filename).name}:{code.co_firstlineno})" if code else ""
    return repr(named.__qualname__.rpartition("<locals>.")[2]) + place
