"""Planning: from signatures to steps, every question answered before a message comes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Generic, TypeAlias, TypeVar

from anyio import CapacityLimiter

from ._arguments import has_own_default, invocation
from ._errors import MissingValue, PlanError, UnknownName
from ._markers import EMPTY, ContextValue, Dependency
from ._overrides import Overrides
from ._resolver import Caster, Getter, Resolver
from ._run import Frame, Read, Step, ready
from ._signature import BodyParameter, Callee, Identity, read, refuse_circle

S = TypeVar("S")
Convert: TypeAlias = Callable[[object], object]


@dataclass(frozen=True, slots=True)
class Sources(Generic[S]):
    """What the composer supplies."""

    resolver: Resolver[S]
    caster: Caster | None
    overrides: Overrides


class Planner(Generic[S]):
    """Lays out the frame of one handler, and collects the steps that fill it.

    A dependency that is shared has one place in the frame, so a message needs no cache.
    """

    def __init__(
        self,
        sources: Sources[S],
        body: Sequence[BodyParameter],
        *,
        bodiless: bool = False,
        limiter: CapacityLimiter | None = None,
    ) -> None:
        self.steps: list[Step] = []
        self._sources = sources
        self._bodiless = bodiless
        self._limiter = limiter
        self._body = {part.name: (place, part) for place, part in enumerate(body, start=1)}
        self._shared: dict[tuple[Identity, bool], int] = {}
        self._chain: tuple[Callable[..., object], ...] = ()

    def depend(self, marker: Dependency) -> int:
        """Return where in the frame a dependency's value will be; add its step if need be."""
        callee = self._callee(marker)
        key = (Identity(callee.call), marker.sync_to_thread)
        if marker.use_cache and key in self._shared:
            return self._shared[key]
        # Reading has found the circles of declarations; an override can close one more.
        refuse_circle(callee.call, self._chain)
        self._chain = (*self._chain, callee.call)
        place = self.call(callee, sync_to_thread=marker.sync_to_thread)
        self._chain = self._chain[:-1]
        if marker.use_cache:
            self._shared[key] = place
        return place

    def call(self, callee: Callee, *, sync_to_thread: bool, variadic: bool = False) -> int:
        """Add the step that calls *callee*, after those that it needs, and return its place.

        `*args` and `**kwargs` are filled if *variadic*, for a handler: nothing else has any.
        """
        arguments = [
            (parameter, self._argument(callee, parameter))
            for parameter in callee.parameters
            if variadic or not parameter.variadic
        ]
        call, style = ready(
            callee.call, callee.style, sync_to_thread=sync_to_thread, limiter=self._limiter
        )
        self.steps.append((invocation(call, callee, arguments), style))
        return len(self._body) + len(self.steps)

    def _callee(self, marker: Dependency) -> Callee:
        if replacement := self._sources.overrides.replacement(marker.call):
            return replacement
        if not isinstance(marker.callee, Callee):
            marker.callee = read(marker.call)
        return marker.callee

    def _argument(self, callee: Callee, parameter: BodyParameter) -> Read | None:
        """Return how to get the value of *parameter*; None: nobody gives one.

        Then it is left out of the call, so that its own default counts, whatever that is: what a
        signature shows of a default factory, or of settings from the environment, is no value.
        """
        marker = parameter.marker
        if isinstance(marker, Dependency):
            place = self.depend(marker)
            return _from(place, self._conversion(callee, parameter, wanted=marker.cast))
        if marker is not None:
            return self._context(callee, parameter, marker)
        given = self._sources.resolver.given
        getter = None if parameter.annotation is EMPTY else given(parameter.annotation)
        if getter is not None:
            return lambda frame: getter(frame[0])
        if parameter.name in self._body:
            place, part = self._body[parameter.name]
            if self._bodiless and part is parameter:
                return _left_out(parameter)
            # What the handler's own annotation has validated need not be validated again.
            other = parameter.annotation != part.annotation
            return _from(place, self._conversion(callee, parameter, wanted=other))
        if parameter.default is EMPTY:
            raise PlanError(
                f"{callee.where(parameter)} has no source: mark it with Depends or Context, "
                f"name it like a body parameter of the handler ({', '.join(self._body) or 'none'}"
                "), or give it a default"
            )
        return _left_out(parameter)

    def _context(self, callee: Callee, parameter: BodyParameter, marker: ContextValue) -> Read:
        path, where = marker.path(parameter.name), callee.where(parameter)
        default = parameter.default if marker.default is EMPTY else marker.default
        own = has_own_default(callee, parameter)
        if default is EMPTY and marker.initial is not None:
            getter = self._made_once(path, marker.initial)
        else:
            getter = self._getter(path, where, optional=default is not EMPTY)
        convert = self._conversion(callee, parameter, wanted=marker.cast)

        def from_context(frame: Frame) -> object:
            try:
                value = getter(frame[0])
            except LookupError as error:
                if default is EMPTY:
                    raise MissingValue(where, path=path, parameter=parameter.name) from error
                return EMPTY if own else default
            return value if convert is None else convert(value)

        return from_context

    def _getter(self, path: tuple[str, ...], where: str, *, optional: bool) -> Getter[S]:
        context = self._sources.resolver.context
        try:
            return context(path)
        except UnknownName as error:
            if not optional:
                raise PlanError(
                    f"{where} asks the context for {'.'.join(path)!r}, but {error}"
                ) from error
            # Known later, perhaps. Until then asking again raises UnknownName, a LookupError.
            return lambda travelling: context(path)(travelling)

    def _made_once(self, path: tuple[str, ...], initial: Callable[[], object]) -> Getter[S]:
        resolver = self._sources.resolver

        def get(travelling: S) -> object:
            try:
                # Asked anew, since what was stored may stand elsewhere than what was missing.
                return resolver.context(path)(travelling)
            except LookupError:
                value = initial()
                resolver.store(path, value)
                return value

        return get

    def _conversion(
        self, callee: Callee, parameter: BodyParameter, *, wanted: bool
    ) -> Convert | None:
        caster, annotation = self._sources.caster, parameter.annotation
        if caster is None or not (wanted and parameter.cast) or _is_plain(annotation):
            return None
        where = callee.where(parameter)
        try:
            convert = caster(annotation)
        except Exception as error:
            raise PlanError(
                f"{where} cannot be cast to {annotation!r}: {error}; leave it alone with NoCast"
            ) from error

        def checked(value: object) -> object:
            # An instance of exactly the class is passed on: a fraction of what a validator costs.
            if type(value) is annotation:
                return value
            try:
                return convert(value)
            except Exception as error:
                error.add_note(f"while casting {where}")
                raise

        return checked


def _from(place: int, convert: Convert | None) -> Read:
    return itemgetter(place) if convert is None else lambda frame: convert(frame[place])


def _left_out(parameter: BodyParameter) -> Read | None:
    """Return None, but for what can't be left out where another follows it."""
    is_free = parameter.kind is not inspect.Parameter.POSITIONAL_ONLY
    return None if is_free else lambda _: parameter.default


def _is_plain(annotation: object) -> bool:
    return annotation is EMPTY or annotation is Any or annotation is object
