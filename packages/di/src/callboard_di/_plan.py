"""Plans: what a function needs, found out once, and closures that supply it per message."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeAlias, TypeVar

from ._errors import MissingValue, PlanError
from ._markers import EMPTY, Dependency
from ._overrides import Overrides
from ._planner import Planner, Sources
from ._resolver import Caster, Resolver
from ._run import Frame, Read, Step, as_awaitable, running, scoped
from ._signature import POSITIONAL, BodyParameter, Callee, Style, read

__all__ = ["Body", "Plan", "plan"]

S = TypeVar("S")
Run = TypeVar("Run")

Body: TypeAlias = Callable[[S], Any]
"""Reads the body: the value itself, or `(args, kwargs)` if the plan is `spread`."""


def plan(
    call: Callable[..., object] | Callee,
    *,
    resolver: Resolver[S],
    caster: Caster | None = None,
    dependencies: Sequence[Dependency] = (),
    overrides: Overrides | None = None,
) -> Plan[S]:
    """Plan *call*: a function, method, class or callable object, or what `read` made of it.

    Args:
        call: Read now if it was not; `read` says why one would read it earlier.
        resolver: Finds context values.
        caster: Makes conversions; None: values are injected as they are.
        dependencies: `Depends(...)` to run for their effects, in this order, before those of
            the parameters.
        overrides: Consulted now and whenever they change.

    Raises:
        PlanError: A name, a parameter or a chain of dependencies that cannot be satisfied.
    """
    callee = call if isinstance(call, Callee) else read(call)
    if callee.style in {Style.GENERATOR, Style.ASYNC_GENERATOR}:
        raise PlanError(
            f"{callee.title} is no handler but a generator; return a value, or make it a dependency"
        )
    for each in dependencies:
        if not isinstance(each, Dependency):  # pyright: ignore[reportUnnecessaryIsInstance] - markers pass for Any
            raise PlanError(f"the dependencies of {callee.title} hold {each!r}; write Depends({_name(each)})")
    return Plan(callee, Sources(resolver, caster, overrides), tuple(dependencies))


class Plan(Generic[S]):
    """How to call a function: what the body fills, and what is injected. Made by `plan`.

    Attributes:
        callee: The planned function, as it was read.
        body: Its parameters that the body fills, in order; may be empty.
        spread: Whether a body is spread over several parameters (or `*args`, `**kwargs`)
            rather than given as a whole to one.
    """

    __slots__ = ("_dependencies", "_sources", "body", "callee", "spread")

    def __init__(
        self, callee: Callee, sources: Sources[S], dependencies: tuple[Dependency, ...]
    ) -> None:
        self.callee = callee
        self.body = tuple(part for part in callee.parameters if _is_body(part, sources.resolver))
        self.spread = len(self.body) > 1 or any(part.variadic for part in self.body)
        self._sources = sources
        self._dependencies = dependencies
        self._planned(self.call)  # to have its errors now

    @property
    def call(self) -> Callable[..., object]:
        """The planned function itself."""
        return self.callee.call

    def bind(
        self, body: Body[S] | None = None, *, sync_to_thread: bool = True
    ) -> Callable[[S], Awaitable[object]]:
        """Return `await run(s)`, which supplies everything and returns what the function returns.

        Args:
            body: Reads the body, decoded and validated, first of all: the value itself for one
                body parameter, `(args, kwargs)` for a `spread` plan (by position over the body
                parameters, the rest to `*args`; by name; what fits none is left out).
                Not called if there are no body parameters.
                None: there is no body, and every body parameter needs a default.
            sync_to_thread: Run a sync function in a worker thread. If the call is cancelled the
                thread goes on, and its result is dropped. A class is always called inline.

        Raises:
            PlanError: There is no *body*, and a body parameter has no default. Also out of
                `run`, if an override came that cannot be planned.
        """
        call = as_awaitable(self.call, self.callee.style, sync_to_thread=sync_to_thread)
        begin = self._beginning(body)

        def compiled() -> Callable[[S], Awaitable[object]]:
            steps, invoke = self._planned(call)
            if body is not None and not steps and self._takes_only_the_body():
                return _body_only(call, body)
            return running(begin, steps, invoke)

        return self._following(compiled)

    def bind_scope(
        self, body: Body[S] | None = None
    ) -> Callable[[S], AbstractAsyncContextManager[object]]:
        """Return `async with run(s) as result`: generators are closed when the block is left.

        For what outlives its call: an object that keeps the connection injected into it.
        A sync function is called inline. Leave the block in the task that entered it.
        """
        call = as_awaitable(self.call, self.callee.style, sync_to_thread=False)
        begin = self._beginning(body)
        return self._following(lambda: scoped(begin, *self._planned(call)))

    def _planned(self, call: Callable[..., object]) -> tuple[Sequence[Step], Read]:
        planner = Planner(self._sources, self.body)
        for marker in self._dependencies:
            planner.place(marker)
        invoke = planner.invocation(self.callee, call, handler=True)
        return planner.steps, invoke

    def _takes_only_the_body(self) -> bool:
        kinds = [part.kind for part in self.callee.parameters]
        return len(self.body) == len(kinds) == 1 and kinds[0] in POSITIONAL

    def _beginning(self, body: Body[S] | None) -> Callable[[S], Frame]:
        """Return how a frame begins: with what travels, and a value for each body parameter."""
        if not self.body:
            return lambda travelling: [travelling]
        if body is None:
            values = self._without_body()
            return lambda travelling: [travelling, *values]
        if not self.spread:
            return lambda travelling: [travelling, body(travelling)]
        return lambda travelling: [travelling, *_fit(self, *body(travelling))]

    def _without_body(self) -> list[object]:
        try:
            return _fit(self, (), {})
        except MissingValue as error:
            raise PlanError(f"{error} (there is no body)") from error

    def _following(self, compiled: Callable[[], Callable[[S], Run]]) -> Callable[[S], Run]:
        """Return what was compiled, made anew when the overrides have changed."""
        run, overrides = compiled(), self._sources.overrides
        if overrides is None:
            return run
        version = overrides.version

        def current(travelling: S) -> Run:
            nonlocal run, version
            if version != overrides.version:
                version, run = overrides.version, compiled()
            return run(travelling)

        return current


def _name(call: object) -> str:
    return str(getattr(call, "__name__", "..."))


def _body_only(call: Callable[..., Any], body: Body[S]) -> Callable[[S], Awaitable[object]]:
    return lambda travelling: call(body(travelling))


def _is_body(parameter: BodyParameter, resolver: Resolver[S]) -> bool:
    if parameter.marker is not None:
        return False
    return parameter.annotation is EMPTY or resolver.given(parameter.annotation) is None


def _fit(planned: Plan[Any], args: Sequence[object], kwargs: Mapping[str, object]) -> list[object]:
    """Return a value for each body parameter; what fits none of them is left out."""
    names = [part.name for part in planned.body if part.kind in POSITIONAL]
    filled = dict(zip(names, args, strict=False)) | dict(kwargs)
    values: list[object] = []
    for part in planned.body:
        value = filled.pop(part.name, part.default)
        if part.kind is inspect.Parameter.VAR_POSITIONAL:
            value = args[len(names) :]
        elif part.kind is inspect.Parameter.VAR_KEYWORD:
            value = filled  # it is the last parameter: all others have taken theirs
        elif value is EMPTY:
            where = planned.callee.where(part)
            raise MissingValue(where, path=(part.name,), parameter=part.name)
        values.append(value)
    return values
