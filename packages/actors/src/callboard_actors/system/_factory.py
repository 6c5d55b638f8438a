"""What makes an actor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import Parameter, signature
from typing import Generic, TypeGuard, TypeVar

from callboard_actors._errors import SpecError
from callboard_actors.system._actor import Actor
from callboard_actors.system._context import Factory, Make

M = TypeVar("M")


def actor(function: Callable[[M], Awaitable[object]]) -> Callable[[], Actor[M]]:
    """Make a factory of a function, which is then an actor without a state of its own.

    A class needs no decorator: one that has `async receive(message)` is a factory already.
    """
    return lambda: _Function(function)


class _Function(Generic[M]):
    def __init__(self, function: Callable[[M], Awaitable[object]]) -> None:
        self._function = function

    async def receive(self, message: M, /) -> object:
        return await self._function(message)


def made_by(factory: Factory[M]) -> Make[M]:
    """Return *factory* as one that takes a context.

    Raises:
        SpecError: It wants more than a context.
    """
    if _wants_context(factory):
        return factory
    if _wants_nothing(factory):
        return lambda _: factory()
    raise SpecError(f"{factory!r} makes no actor: it wants more than a context")


def _wants_context(factory: Factory[M]) -> TypeGuard[Make[M]]:
    return _needed(factory) == 1


def _wants_nothing(factory: Factory[M]) -> TypeGuard[Callable[[], Actor[M]]]:
    return _needed(factory) == 0


def _needed(factory: Callable[..., object]) -> int:
    parameters = signature(factory).parameters.values()
    variable = {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}
    return sum(p.default is p.empty and p.kind not in variable for p in parameters)
