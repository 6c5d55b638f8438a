"""Planning: from signatures to steps, every question answered before a message comes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Generic, NoReturn, TypeAlias, TypeVar

from ._errors import MissingValue, PlanError, UnknownName
from ._markers import EMPTY, ContextValue, Dependency
from ._overrides import Overrides
from ._resolver import Caster, Getter, Resolver
from ._run import Frame, Read, Step, as_step
from ._signature import POSITIONAL, BodyParameter, Callee, circle, identity, read

__all__ = ["Planner", "Sources"]

S = TypeVar("S")
Convert: TypeAlias = Callable[[object], object]


@dataclass(frozen=True, slots=True)
class Sources(Generic[S]):
    """What the composer supplies."""

    resolver: Resolver[S]
    caster: Caster | None
    overrides: Overrides | None


class Planner(Generic[S]):
    """Lays out the frame of one handler, and collects the steps that fill it.

    A dependency that is shared has one place in the frame, so a message needs no cache.
    """

    def __init__(self, sources: Sources[S], body: Sequence[BodyParameter]) -> None:
        self.steps: list[Step] = []
        self._sources = sources
        self._body = {part.name: (place, part) for place, part in enumerate(body, start=1)}
        self._shared: dict[tuple[object, bool], int] = {}
        self._chain: tuple[Callable[..., object], ...] = ()

    def place(self, marker: Dependency) -> int:
        """Return where in the frame a dependency's value will be; add its step if need be."""
        callee = self._callee(marker)
        key = (identity(callee.call), marker.sync_to_thread)
        if marker.use_cache and key in self._shared:
            return self._shared[key]
        call, mode = as_step(callee.call, callee.style, sync_to_thread=marker.sync_to_thread)
        # Reading has found the circles of declarations; an override can close one more.
        if error := circle(callee.call, self._chain):
            raise error
        self._chain = (*self._chain, callee.call)
        step = (self.invocation(callee, call), mode)
        self._chain = self._chain[:-1]
        self.steps.append(step)
        place = len(self._body) + len(self.steps)
        if marker.use_cache:
            self._shared[key] = place
        return place

    def invocation(
        self, callee: Callee, call: Callable[..., Any], *, handler: bool = False
    ) -> Read:
        """Return how to make *call* with arguments out of the frame, by position if it can be.

        `*args` and `**kwargs` are filled for a handler only.
        """
        arguments = [
            (parameter, self._argument(callee, parameter))
            for parameter in callee.parameters
            if handler or not parameter.variadic
        ]
        if any(parameter.kind not in POSITIONAL for parameter, _ in arguments):
            return _by_kind(call, arguments)
        return _by_position(call, [argument for _, argument in arguments])

    def _callee(self, marker: Dependency) -> Callee:
        overrides = self._sources.overrides
        replacement = None if overrides is None else overrides.replacement(marker.call)
        if replacement is not None:
            return replacement
        if marker.callee is None:
            marker.callee = read(marker.call)
        return marker.callee

    def _argument(self, callee: Callee, parameter: BodyParameter) -> Read:
        marker = parameter.marker
        if isinstance(marker, Dependency):
            value = itemgetter(self.place(marker))
            return _converted(value, self._conversion(callee, parameter, wanted=marker.cast))
        if isinstance(marker, ContextValue):
            return self._context(callee, parameter, marker)
        given = self._sources.resolver.given
        getter = None if parameter.annotation is EMPTY else given(parameter.annotation)
        if getter is not None:
            return lambda frame: getter(frame[0])
        return self._from_body(callee, parameter)

    def _context(self, callee: Callee, parameter: BodyParameter, marker: ContextValue) -> Read:
        path, where = marker.path(parameter.name), callee.where(parameter)
        try:
            getter = self._sources.resolver.context(path)
        except UnknownName as error:
            if marker.initial is None and _default(parameter, marker) is EMPTY:
                raise PlanError(
                    f"{where} asks the context for {'.'.join(path)!r}, but {error}"
                ) from error
            # Known later, perhaps. Until then asking again raises UnknownName, a LookupError.
            getter = _asking_again(self._sources.resolver, path)
        convert = self._conversion(callee, parameter, wanted=marker.cast)
        absent = self._absent(where, parameter, marker)

        def from_context(frame: Frame) -> object:
            try:
                value = getter(frame[0])
            except LookupError as error:
                return absent(error)
            return value if convert is None else convert(value)

        return from_context

    def _absent(
        self, where: str, parameter: BodyParameter, marker: ContextValue
    ) -> Callable[[LookupError], object]:
        path, initial = marker.path(parameter.name), marker.initial
        default = _default(parameter, marker)

        def fail(error: LookupError) -> NoReturn:
            raise MissingValue(where, path=path, parameter=parameter.name) from error

        if default is not EMPTY:
            return lambda _: default
        if initial is None:
            return fail

        def make(_: LookupError) -> object:
            value = initial()
            self._sources.resolver.store(path, value)
            return value

        return make

    def _from_body(self, callee: Callee, parameter: BodyParameter) -> Read:
        if parameter.name in self._body:
            place, part = self._body[parameter.name]
            # What the handler's own annotation has validated need not be validated again.
            other = parameter.annotation != part.annotation
            return _converted(itemgetter(place), self._conversion(callee, parameter, wanted=other))
        if parameter.default is EMPTY:
            raise PlanError(
                f"{callee.where(parameter)} has no source: mark it with Depends or Context, "
                f"name it like a body parameter of the handler ({', '.join(self._body) or 'none'}"
                "), or give it a default"
            )
        return lambda _: parameter.default

    def _conversion(
        self, callee: Callee, parameter: BodyParameter, *, wanted: bool
    ) -> Convert | None:
        caster, annotation = self._sources.caster, parameter.annotation
        if caster is None or not (wanted and parameter.cast) or _takes_anything(annotation):
            return None
        where = callee.where(parameter)
        try:
            convert = caster(annotation)
        except Exception as error:
            raise PlanError(
                f"{where} cannot be cast to {annotation!r}: {error}; leave it alone with NoCast"
            ) from error
        return _noting(convert, annotation, where)


def _default(parameter: BodyParameter, marker: ContextValue) -> object:
    default: object = parameter.default if marker.default is EMPTY else marker.default
    return default


def _asking_again(resolver: Resolver[S], path: tuple[str, ...]) -> Getter[S]:
    return lambda travelling: resolver.context(path)(travelling)


def _noting(convert: Convert, annotation: Any, where: str) -> Convert:
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


def _converted(argument: Read, convert: Convert | None) -> Read:
    return argument if convert is None else lambda frame: convert(argument(frame))


def _takes_anything(annotation: Any) -> bool:
    """Return whether no conversion can be meant: nothing is cast to a Protocol."""
    protocol: bool = getattr(annotation, "_is_protocol", False)
    return protocol or annotation is EMPTY or annotation is Any or annotation is object


def _by_position(call: Callable[..., Any], arguments: Sequence[Read]) -> Read:
    match arguments:  # the short ones cost a third of what a list and a star cost
        case []:
            return lambda _: call()
        case [only]:
            return lambda frame: call(only(frame))
        case [first, second]:
            return lambda frame: call(first(frame), second(frame))
        case _:
            return lambda frame: call(*[argument(frame) for argument in arguments])


def _by_kind(call: Callable[..., Any], arguments: Sequence[tuple[BodyParameter, Read]]) -> Read:
    def invoke(frame: Frame) -> Any:
        args: list[object] = []
        kwargs: dict[str, object] = {}
        for parameter, argument in arguments:
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                args.extend(argument(frame))
            elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
                kwargs.update(argument(frame))
            elif parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                kwargs[parameter.name] = argument(frame)
            else:
                args.append(argument(frame))
        return call(*args, **kwargs)

    return invoke
