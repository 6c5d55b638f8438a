"""Plans: what a function needs, found out once, and closures that supply it per message."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

from anyio import CapacityLimiter

from ._errors import PlanError
from ._markers import EMPTY, Dependency
from ._overrides import Overrides
from ._planner import Planner, Sources
from ._resolver import Caster, Resolver
from ._run import Begin, Step, running, scoped
from ._signature import POSITIONAL, BodyParameter, Callee, read

S = TypeVar("S")
Run = TypeVar("Run")

Body: TypeAlias = Callable[[S], Any]
"""Reads the body: the value itself or, if the plan is `spread`, one for each body parameter."""


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
    if callee.style in {"generator", "async generator"}:
        raise PlanError(
            f"{callee.title} is no handler but a generator; return a value, or make it a dependency"
        )
    for each in dependencies:
        if not isinstance(each, Dependency):  # pyright: ignore[reportUnnecessaryIsInstance] - markers pass for Any
            raise PlanError(f"the dependencies of {callee.title} hold {each!r}; write Depends(...)")
    return Plan(callee, Sources(resolver, caster, overrides or Overrides()), tuple(dependencies))


class Plan(Generic[S]):
    """How to call a function: what the body fills, and what is injected. Made by `plan`.

    Attributes:
        callee: The planned function, as it was read.
        body: The parameters that the body fills, in order: its own, then those of its dependencies
            by other names; may be empty.
        spread: Whether a body is spread over several parameters (or `*args`, `**kwargs`)
            rather than given as a whole to one.
    """

    __slots__ = ("_dependencies", "_sources", "body", "callee", "spread")

    def __init__(
        self, callee: Callee, sources: Sources[S], dependencies: tuple[Dependency, ...]
    ) -> None:
        self.callee = callee
        self.body = tuple(_flat(callee, dependencies, sources).values())
        self.spread = len(self.body) > 1 or any(part.variadic for part in self.body)
        self._sources = sources
        self._dependencies = dependencies
        self._steps(sync_to_thread=False)  # to have its errors now

    @property
    def call(self) -> Callable[..., object]:
        """The planned function itself."""
        return self.callee.call

    def bind(
        self,
        body: Body[S] | None = None,
        *,
        sync_to_thread: bool = True,
        limiter: CapacityLimiter | None = None,
    ) -> Callable[[S], Awaitable[object]]:
        """Return `await run(s)`, which supplies everything and returns what the function returns.

        Args:
            body: Reads the body, decoded and validated, first of all: the value itself for one
                body parameter; for a `spread` plan one value for each, in order, with a sequence
                for `*args` and a mapping for `**kwargs`.
                Not called if there are no body parameters.
                None: there is no body, and every body parameter needs a default.
            sync_to_thread: Run a sync function in a worker thread. If the call is cancelled the
                thread goes on, and its result is dropped.
            limiter: Bounds the threads, those of dependencies too; None: anyio's own limiter,
                40 threads that it shares with everything else.

        Raises:
            PlanError: There is no *body*, and a body parameter has no default. Also out of
                `run`, if an override came that cannot be planned.
        """
        if body is not None and self._is_called_with_the_body():
            return _body_only(self.call, body)
        begin = self._beginning(body)

        def compiled() -> Callable[[S], Awaitable[object]]:
            steps = self._steps(
                sync_to_thread=sync_to_thread, bodiless=body is None, limiter=limiter
            )
            return running(begin, steps)

        return self._following(compiled)

    def bind_scope(
        self, body: Body[S] | None = None, *, limiter: CapacityLimiter | None = None
    ) -> Callable[[S], AbstractAsyncContextManager[object]]:
        """Return `async with run(s) as result`: generators are closed when the block is left.

        For what outlives its call: an object that keeps the connection injected into it.
        A sync function is called inline. Leave the block in the task that entered it.
        """
        begin = self._beginning(body)
        steps = partial(self._steps, sync_to_thread=False, bodiless=body is None, limiter=limiter)
        return self._following(lambda: scoped(begin, steps()))

    def _steps(
        self,
        *,
        sync_to_thread: bool,
        bodiless: bool = False,
        limiter: CapacityLimiter | None = None,
    ) -> Sequence[Step]:
        planner = Planner(self._sources, self.body, bodiless=bodiless, limiter=limiter)
        for marker in self._dependencies:
            planner.depend(marker)
        planner.call(self.callee, sync_to_thread=sync_to_thread, variadic=True)
        return planner.steps

    def _is_called_with_the_body(self) -> bool:
        """Whether that is all it needs: no override is of any concern to it."""
        if self._dependencies or len(self.body) != 1 or [*self.body] != [*self.callee.parameters]:
            return False
        return self.callee.style == "async" and self.body[0].kind in POSITIONAL

    def _beginning(self, body: Body[S] | None) -> Begin[S]:
        if not self.body:
            return lambda travelling: [travelling]
        if body is None:
            values = [self._without_body(part) for part in self.body]
            return lambda travelling: [travelling, *values]
        if self.spread:
            return lambda travelling: [travelling, *body(travelling)]
        return lambda travelling: [travelling, body(travelling)]

    def _without_body(self, part: BodyParameter) -> object:
        if part.variadic:
            return () if part.kind is inspect.Parameter.VAR_POSITIONAL else {}
        if part.default is EMPTY:
            raise PlanError(f"{self.callee.where(part)} gets no value: there is no body")
        return part.default

    def _following(self, compiled: Callable[[], Callable[[S], Run]]) -> Callable[[S], Run]:
        """Return what was compiled, made anew when the overrides have changed."""
        overrides = self._sources.overrides
        run, version = compiled(), overrides.version

        def current(travelling: S) -> Run:
            nonlocal run, version
            if version != overrides.version:
                version, run = overrides.version, compiled()
            return run(travelling)

        return current


def _body_only(call: Callable[..., Any], body: Body[S]) -> Callable[[S], Awaitable[object]]:
    return lambda travelling: call(body(travelling))


def _read(marker: Dependency) -> Callee:
    if not isinstance(marker.callee, Callee):
        marker.callee = read(marker.call)
    return marker.callee


def _flat(
    callee: Callee, dependencies: Sequence[Dependency], sources: Sources[S]
) -> dict[str, BodyParameter]:
    """Return what the body fills, by name: for *callee*, then for all that it depends on.

    Of a dependency, a parameter with a default counts only where a body is spread in any case: it is
    left to its default else. That of a class always is: settings are read from the environment.
    """
    found = {each.name: each for each in callee.parameters if _is_body(each, sources.resolver)}
    wanted: list[tuple[Callee, BodyParameter]] = []
    waiting: list[Any] = [*dependencies, *(each.marker for each in callee.parameters)]
    seen: set[int] = set()
    for marker in waiting:
        if not isinstance(marker, Dependency) or id(marker) in seen:
            continue
        seen.add(id(marker))
        needed = sources.overrides.replacement(marker.call) or _read(marker)
        waiting += [each.marker for each in needed.parameters]
        wanted += [(needed, each) for each in needed.parameters if not each.variadic]
    for needed, each in sorted(wanted, key=lambda pair: pair[1].default is not EMPTY):
        is_free = each.default is not EMPTY and (isinstance(needed.call, type) or len(found) < 2)
        if not is_free and _is_body(each, sources.resolver):
            found.setdefault(each.name, each)
    return found


def _is_body(parameter: BodyParameter, resolver: Resolver[S]) -> bool:
    if parameter.marker is not None:
        return False
    return parameter.annotation is EMPTY or resolver.given(parameter.annotation) is None
