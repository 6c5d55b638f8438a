"""Annotations: the names that a function's annotations may use, and what they stand for.

Annotations are often postponed strings, and may name types that exist only inside a function,
such as a test's own `class Order`. The running enclosing functions are found on the stack.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

__all__ = ["Names", "bare", "names_for", "resolve", "title", "unwrap"]


@dataclass(frozen=True, slots=True)
class Names:
    """The namespaces in which annotations are evaluated; the local one wins."""

    module: dict[str, Any]
    local: dict[str, Any]


def bare(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return what *call* calls: the function or class in a partial, an object's `__call__`."""
    while isinstance(call, functools.partial):
        call = call.func
    return call if inspect.isroutine(call) or isinstance(call, type) else type(call).__call__


def unwrap(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function at the bottom of *call*: that which a person wrote."""
    function: Any = bare(call)
    if isinstance(function, type):
        made: Any = function
        function = made.__new__ if made.__init__ is object.__init__ else made.__init__
    unwrapped: Callable[..., Any] = inspect.unwrap(function)
    return unwrapped


def title(call: Callable[..., Any]) -> str:
    """Return the name of *call* and where it stands: `'on_order' (orders.py:14)`."""
    function = unwrap(call)
    named: Any = bare(call) if isinstance(bare(call), type) else function
    name = getattr(named, "__qualname__", repr(named)).rpartition("<locals>.")[2]
    code = getattr(function, "__code__", None)
    if code is None:
        return f"{name!r} ({getattr(named, '__module__', None) or 'builtin'})"
    return f"{name!r} ({Path(code.co_filename).name}:{code.co_firstlineno})"


def names_for(call: Callable[..., Any]) -> Names:
    """Return what the annotations of *call* can see, running enclosing functions included."""
    function, called = unwrap(call), bare(call)
    module = sys.modules.get(called.__module__) if isinstance(called, type) else None
    # A class's constructor may be inherited or generated, with other globals than the class's.
    around = {} if module is None else vars(module)
    names = {**around, **getattr(function, "__globals__", {})}
    return Names(names, {**_enclosing(function), **_captured(function)})


def resolve(annotation: Any, names: Names) -> Any:
    """Return *annotation* with its strings evaluated; `Annotated` is kept.

    Raises:
        Exception: Whatever evaluating the string raises, NameError above all.
    """
    if annotation is inspect.Parameter.empty:
        return annotation

    def holder() -> None: ...

    holder.__annotations__ = {"it": annotation}
    resolved = get_type_hints(holder, names.module, names.local, include_extras=True)["it"]
    # `type Session = Annotated[...]` (PEP 695) is a name for its value.
    return getattr(resolved, "__value__", resolved)


def _enclosing(function: Any) -> dict[str, Any]:
    """Return the local names of the functions around *function* that are running now.

    Functions nested in each other have each other's qualified names as prefixes.
    """
    parts = getattr(function, "__qualname__", "").split(".<locals>.")[:-1]
    around = {".<locals>.".join(parts[: n + 1]) for n in range(len(parts))}
    names: dict[str, Any] = {}
    frame = inspect.currentframe() if around else None
    while frame is not None:
        if frame.f_code.co_qualname in around and frame.f_globals is function.__globals__:
            names = {**frame.f_locals, **names}
        frame = frame.f_back
    return names


def _captured(function: Any) -> dict[str, Any]:
    """Return the variables of enclosing functions, also of ended ones, that *function* uses."""
    cells: tuple[Any, ...] = getattr(function, "__closure__", None) or ()
    names: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars if cells else (), cells, strict=True):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not assigned yet: a function that is defined further down
            continue
    return names
