"""Injection into any function: what handlers may ask for, for whoever calls it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, TypeVar, overload

from callboard._context import ContextRepo
from callboard._errors import DeclarationError
from callboard.declare._handler import signature_of, where
from callboard.declare._resolver import HookResolver
from callboard_di import EMPTY, BodyParameter, Callee, Overrides, Plan, PlanError, plan
from callboard_validation import OWN, Serializer, caster

R = TypeVar("R")


class Applies(Protocol):
    """A decorator that leaves a function what it was, to those who check."""

    def __call__(self, function: Callable[..., R], /) -> Callable[..., R]:
        """Return the function, with injection."""
        ...


@overload
def apply_types(function: Callable[..., R], /) -> Callable[..., R]: ...
@overload
def apply_types(
    *,
    context__: ContextRepo | None = None,
    cast: bool = True,
    cast_result: bool = False,
    dependency_provider: Overrides | None = None,
    serializer_cls: Serializer | None = None,
) -> Applies: ...
def apply_types(  # noqa: PLR0913 - each may be said, by name
    function: Callable[..., Any] | None = None,
    /,
    *,
    context__: ContextRepo | None = None,
    cast: bool = True,
    cast_result: bool = False,
    dependency_provider: Overrides | None = None,
    serializer_cls: Serializer | None = None,
) -> Any:
    """Inject into *function* what it asks for by `Depends` and `Context`, whoever calls it.

    What the caller gives is cast to its annotation, and comes before what would be injected. What a
    dependency needs of the caller is given by name. A sync function stays one.

    Args:
        function: None: the decorator is returned.
        context__: Where `Context` looks; None: nowhere.
        cast: Whether values are cast at all.
        cast_result: Whether the result is cast to the return annotation.
        dependency_provider: What stands in for dependencies.
        serializer_cls: By which library values are cast; None: each type by its own.

    Raises:
        DeclarationError: It can't be planned. It is an `AssertionError` too where a sync function
            has an async dependency.
    """
    context = ContextRepo() if context__ is None else context__
    overrides = Overrides() if dependency_provider is None else dependency_provider

    def decorate(target: Callable[..., Any]) -> Callable[..., Any]:
        applied = _Applied(
            target,
            context,
            overrides,
            cast=cast,
            cast_result=cast_result,
            serializer=OWN if serializer_cls is None else serializer_cls,
        )
        if applied.is_async:

            @functools.wraps(target)
            async def call(*args: Any, **kwargs: Any) -> Any:
                return applied.result(await applied.begin(args, kwargs))

            return call
        applied.refuse_async(applied.callee)

        @functools.wraps(target)
        def call_inline(*args: Any, **kwargs: Any) -> Any:
            # Nothing that it calls waits, so that one step goes through to its end.
            coroutine: Any = applied.begin(args, kwargs)
            try:
                if inspect.isawaitable(coroutine):
                    coroutine.__await__().send(None)
            except StopIteration as end:
                return applied.result(end.value)
            raise DeclarationError(f"{where(target)} is sync, and something that it needs waits")

        return call_inline

    return decorate if function is None else decorate(function)


class _AsyncDependency(DeclarationError, AssertionError):
    """A sync function needs what only an async one can wait for."""


class _Applied:
    """A function, and how it is called by what its caller gives."""

    def __init__(  # noqa: PLR0913 - what `apply_types` is told
        self,
        target: Callable[..., Any],
        context: ContextRepo,
        overrides: Overrides,
        *,
        cast: bool,
        cast_result: bool,
        serializer: Serializer,
    ) -> None:
        self.callee = signature_of(target)
        self.is_async = self.callee.style == "async"
        self._resolver = HookResolver(context)
        self._overrides = overrides
        self._cast = cast
        self._caster = partial(caster, by=serializer)
        self._plans: dict[frozenset[str], Plan[Any]] = {}
        returns = self.callee.returns
        is_cast = cast and cast_result and returns is not EMPTY
        self.result: Callable[[object], object] = self._caster(returns) if is_cast else _same
        parameters = [each for each in self.callee.parameters if not each.variadic]
        self._own = frozenset(each.name for each in parameters)
        self._by_place = [
            each.name for each in parameters if each.kind is not inspect.Parameter.KEYWORD_ONLY
        ]
        self._planned(frozenset())

    def begin(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Awaitable[object]:
        """Return what calls it; what is given by the caller is not injected.

        Raises:
            TypeError: It does not take what it is given, or lacks a value.
        """
        by_place = self._by_place
        given = {**dict(zip(by_place, args, strict=False)), **kwargs}
        planned = self._planned(self._own.intersection(given))
        known = self._own | {each.name for each in planned.body}
        unknown = set[str]() if self._takes(inspect.Parameter.VAR_KEYWORD) else given.keys() - known
        twice = kwargs.keys() & {*by_place[: len(args)]}
        if unknown or twice:
            raise TypeError(
                f"{self.callee.title} got {', '.join(sorted(unknown or twice))}"
                f" {'and does not take it' if unknown else 'twice'}"
            )
        more = args[len(by_place) :]
        if more and not self._takes(inspect.Parameter.VAR_POSITIONAL):
            raise TypeError(
                f"{self.callee.title} takes {len(by_place)} by position, and got {len(args)}"
            )
        others = {name: value for name, value in given.items() if name not in self._own}
        values = [self._value(each, given, more, others) for each in planned.body]
        body = values if planned.spread else next(iter(values), None)
        return planned.bind(lambda _: body, sync_to_thread=False)(None)

    def _takes(self, kind: object) -> bool:
        return any(each.kind is kind for each in self.callee.parameters)

    def refuse_async(self, callee: Callee) -> None:
        """Refuse what a sync function can't wait for."""
        for each in callee.parameters:
            needed = getattr(each.marker, "callee", None)
            if not isinstance(needed, Callee):
                continue
            if needed.style in {"async", "async generator"}:
                raise _AsyncDependency(
                    f"{self.callee.title} is sync, and can't wait for {needed.title}: make it async"
                )
            self.refuse_async(needed)

    def _planned(self, given: frozenset[str]) -> Plan[Any]:
        if given not in self._plans:
            parameters = [
                replace(each, marker=None) if each.name in given else each
                for each in self.callee.parameters
            ]
            callee = replace(self.callee, parameters=tuple(parameters))
            try:
                self._plans[given] = plan(
                    callee,
                    resolver=self._resolver,
                    caster=self._caster if self._cast else None,
                    overrides=self._overrides,
                )
            except PlanError as error:
                raise DeclarationError(str(error)) from error
        return self._plans[given]

    def _value(
        self,
        part: BodyParameter,
        given: Mapping[str, Any],
        more: Sequence[Any],
        others: Mapping[str, Any],
    ) -> object:
        convert = self._caster(part.annotation) if self._cast and part.cast else _same
        if part.kind is inspect.Parameter.VAR_POSITIONAL:
            return tuple(map(convert, more))
        if part.kind is inspect.Parameter.VAR_KEYWORD:
            return {name: convert(value) for name, value in others.items()}
        if part.name in given:
            return convert(given[part.name])
        if part.default is EMPTY:
            raise TypeError(f"{self.callee.title} needs a value for {part.name!r}")
        return part.default


def _same(value: object) -> object:
    return value
