"""Wrong arguments of what users call: the error says which was meant, or what to write instead."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
K = TypeVar("K", bound=type)

_LEFT_OUT = "__left_out__"


def hint(
    signature: inspect.Signature,
    positions: int,
    names: Sequence[str],
    left_out: Mapping[str, str] | None = None,
) -> str:
    """Say what else could have been meant by arguments that do not fit *signature*, or nothing.

    *left_out* says it of options that are missing on purpose.
    """
    if told := next((line for name, line in (left_out or {}).items() if name in names), None):
        return f"; {told}"
    known = signature.parameters
    first = [name for name, each in known.items() if each.kind is each.POSITIONAL_OR_KEYWORD]
    takes_any = any(each.kind is each.VAR_POSITIONAL for each in known.values())
    if positions > len(first) and not takes_any:
        return f"; by position it takes {', '.join(first) or 'nothing'}, everything else by name"
    unknown = next((name for name in names if name not in known), None)
    if unknown is None:
        return ""
    close = get_close_matches(unknown, known, 1)
    return f"; do you mean {close[0]!r}?" if close else f"; it takes {', '.join(known)}"


def hinted(**left_out: str) -> Callable[[K], K]:
    """Let a class say more of wrong arguments, and of options that are *left_out* on purpose."""

    def decorate(kind: K) -> K:
        made: Any = kind
        made.__init__ = hinting(made.__init__, kind.__name__, left_out)
        setattr(kind, _LEFT_OUT, left_out)
        return kind

    return decorate


def hinting(
    function: Callable[P, R], called: str = "", left_out: Mapping[str, str] | None = None
) -> Callable[P, R]:
    """Let *function* say more of wrong arguments; errors call it *called*, or by its own name."""
    called = called or function.__qualname__

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            signature = inspect.signature(function)
            try:
                signature.bind(*args, **kwargs)
            except TypeError as mismatch:
                first, *rest = signature.parameters.values()
                has_self = first.name == "self"
                shown = signature.replace(parameters=rest) if has_self else signature
                said = hint(shown, len(args) - has_self, tuple(kwargs), left_out)
                raise TypeError(f"{called}(): {mismatch}{said}") from error
            raise

    return call


def left_out(kind: type) -> Mapping[str, str]:
    """Return which options of a class are missing on purpose, and what is said of each."""
    lines: Mapping[str, str] = getattr(kind, _LEFT_OUT, {})
    return lines
