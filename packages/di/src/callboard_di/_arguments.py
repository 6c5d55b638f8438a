"""Arguments: how a call is made with what a frame has, and without what nobody gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from ._markers import EMPTY, ContextValue
from ._run import Frame, Read
from ._signature import POSITIONAL, BodyParameter, Callee

Argument: TypeAlias = tuple[BodyParameter, Read | None]
"""A parameter, and how to read its value out of a frame; None: nobody gives one.

What nobody gives is left out of the call, so that the callee's own default counts: what a signature
shows of a default factory, or of settings that are read from the environment, is no value.
"""


def invocation(call: Callable[..., Any], callee: Callee, arguments: Sequence[Argument]) -> Read:
    """Return how to make *call*, by position as far as it can be."""
    leading, others = _in_row(callee, arguments)
    if not others:
        return _by_position(call, leading)

    def invoke(frame: Frame) -> Any:
        args = [argument(frame) for argument in leading]
        kwargs: dict[str, object] = {}
        for parameter, argument in others:
            value = argument(frame)
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                args.extend(value)
            elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
                kwargs.update(value)
            elif value is not EMPTY:
                kwargs[parameter.name] = value
        return call(*args, **kwargs)

    return invoke


def has_own_default(callee: Callee, parameter: BodyParameter) -> bool:
    """Whether an absent value is left out, rather than replaced by what the signature shows.

    That is the default itself of a function; a class may make anything of it.
    """
    marker, is_class = parameter.marker, isinstance(callee.call, type)
    absent = isinstance(marker, ContextValue) and marker.default is EMPTY
    return absent and is_class and parameter.default is not EMPTY


def _in_row(
    callee: Callee, arguments: Sequence[Argument]
) -> tuple[list[Read], list[tuple[BodyParameter, Read]]]:
    """Return what goes by position, and the rest: what follows one that may be left out."""
    leading: list[Read] = []
    others: list[tuple[BodyParameter, Read]] = []
    in_row = True
    for parameter, argument in arguments:
        in_row = in_row and parameter.kind in POSITIONAL and not has_own_default(callee, parameter)
        if argument is None:
            in_row = False
        elif in_row:
            leading.append(argument)
        else:
            others.append((parameter, argument))
    return leading, others


def _by_position(call: Callable[..., Any], arguments: Sequence[Read]) -> Read:
    match arguments:  # the short ones cost a third of what a list and a star cost
        case []:
            return lambda _: call()
        case [only]:
            return lambda frame: call(only(frame))
        case _:
            return lambda frame: call(*[argument(frame) for argument in arguments])
