"""Signatures that are derived from records, so that an option is declared once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from functools import wraps
from types import MethodType
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

from callboard._absent import absent
from callboard._errors import DeclarationError, declaring
from callboard.declare._handler import Handler, where
from callboard_brokers.kit import hint

P = ParamSpec("P")
R = TypeVar("R")
V = TypeVar("V")
R_co = TypeVar("R_co", covariant=True)
X = TypeVar("X")

_SAID = 1024  # addresses may be endless: so many are kept, then all are forgotten


class _Record(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


D = TypeVar("D", bound=_Record)


def takes(
    record: Callable[P, V],
) -> Callable[[Callable[[X, V], R]], Callable[Concatenate[X, P], R]]:
    """Let a method be called with the fields of *record*, and receive the record itself.

    Type checkers, `help()` and editors see the fields with their defaults. An argument that is
    unknown, missing or given twice is a `DeclarationError` that names the method.
    """

    def decorate(method: Callable[[X, V], R]) -> Callable[Concatenate[X, P], R]:
        made = _made(record, method)

        @wraps(method)
        def call(self: X, /, *args: P.args, **kwargs: P.kwargs) -> R:
            _refuse_bare(self, method, args)
            with declaring():
                taken = made(self, *args, **kwargs)
            return method(self, taken)

        _show(call, method, record, keep=1)
        return call

    return decorate


def says(
    record: Callable[P, V],
) -> Callable[[Callable[[X, Mapping[str, Any]], R]], Callable[Concatenate[X, P], R]]:
    """Do what `takes` does for a method that receives what was said alone, by name.

    So it can tell what is to stay as it is.
    """
    fits = inspect.signature(record)

    def decorate(method: Callable[[X, Mapping[str, Any]], R]) -> Callable[Concatenate[X, P], R]:
        made = _made(record, method)

        @wraps(method)
        def call(self: X, /, *args: P.args, **kwargs: P.kwargs) -> R:
            with declaring():
                made(self, *args, **kwargs)
            return method(self, fits.bind(*args, **kwargs).arguments)

        _show(call, method, record, keep=1)
        return call

    return decorate


class Named(Protocol[P, R_co]):
    """Is called with any number of names, then what *P* says; checkers see up to eight names."""

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    @overload
    def __call__(self, _1: str, /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    @overload
    def __call__(self, _1: str, _2: str, /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    @overload
    def __call__(self, _1: str, _2: str, _3: str, /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    @overload
    def __call__(
        self, _1: str, _2: str, _3: str, _4: str, /, *args: P.args, **kwargs: P.kwargs
    ) -> R_co: ...
    @overload
    def __call__(
        self, _1: str, _2: str, _3: str, _4: str, _5: str, /, *args: P.args, **kwargs: P.kwargs
    ) -> R_co: ...
    @overload
    def __call__(
        self,
        _1: str,
        _2: str,
        _3: str,
        _4: str,
        _5: str,
        _6: str,
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R_co: ...
    @overload
    def __call__(
        self,
        _1: str,
        _2: str,
        _3: str,
        _4: str,
        _5: str,
        _6: str,
        _7: str,
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R_co: ...
    @overload
    def __call__(
        self,
        _1: str,
        _2: str,
        _3: str,
        _4: str,
        _5: str,
        _6: str,
        _7: str,
        _8: str,
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R_co: ...


class NamedMethod(Generic[P, R]):
    """A method whose positional arguments are the names of a field of its record."""

    def __init__(self, call: Callable[..., R]) -> None:
        self.call = call
        self.__doc__ = call.__doc__
        self.__name__ = call.__name__
        self.__wrapped__ = call

    def __get__(self, owner: object, kind: type | None = None) -> Named[P, R]:
        """Bind it; of the class, `help()` gets the plain function."""
        del kind
        # No checker can follow names in front of a ParamSpec; `Named` says what results.
        bound: Any = self.call if owner is None else MethodType(self.call, owner)
        return bound  # type: ignore[no-any-return] # see above


def takes_names(
    field: str, record: Callable[P, V]
) -> Callable[[Callable[[X, V], R]], NamedMethod[P, R]]:
    """Do what `takes` does for a keyword-only record whose *field* may be given by position.

    `subscriber("a", "b", group_id="g")` is `subscriber(topics=("a", "b"), group_id="g")`.
    """

    def decorate(method: Callable[[X, V], R]) -> NamedMethod[P, R]:
        made: Callable[..., V] = _made(record, method)

        @wraps(method)
        def call(self: X, /, *names: str, **options: Any) -> R:
            _refuse_bare(self, method, names)
            if names:
                if field in options:
                    raise DeclarationError(
                        f"{type(self).__name__}.{method.__name__}(): {field} are given twice, as"
                        f" {names} and as {field}={options[field]!r}"
                    )
                options[field] = names
            return method(self, made(self, **options))

        names = inspect.Parameter(field, inspect.Parameter.VAR_POSITIONAL, annotation="str")
        _show(call, method, record, keep=1, names=names)
        return NamedMethod(call)

    return decorate


def sends(
    record: Callable[P, V],
) -> Callable[[Callable[[X, object, V], R]], Callable[Concatenate[X, object, P], R]]:
    """Do what `takes` does for a method whose first argument is the message."""
    make = _filled(record)

    def decorate(method: Callable[[X, object, V], R]) -> Callable[Concatenate[X, object, P], R]:
        @wraps(method)
        def call(self: X, message: object, /, *args: P.args, **kwargs: P.kwargs) -> R:
            try:  # as `_made` would, without a call: this is the path of what is published by hand
                options = make(args, kwargs)
            except TypeError as error:
                _refuse(record, _called(self, method), args, kwargs, error)
                raise
            return method(self, message, options)

        _show(call, method, record, keep=2)
        return call

    return decorate


def refuse(
    called: str, first: Sequence[str], rest: Sequence[str], positions: int, names: Collection[str]
) -> None:
    """Refuse arguments of what is *called* so: it takes *first*, also by position, and *rest*.

    Raises:
        DeclarationError: There are more *positions*, or other *names*.
    """
    by_place, by_name = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    signature = inspect.Signature(
        [
            *(inspect.Parameter(name, by_place, default=None) for name in first),
            *(inspect.Parameter(name, by_name, default=None) for name in rest),
        ]
    )
    try:
        signature.bind(*[None] * positions, **dict.fromkeys(names))
    except TypeError as mismatch:
        said = hint(signature, positions, tuple(names), absent(called))
        raise DeclarationError(f"{called}(): {mismatch}{said}") from None


def part(record: object, kind: type[D]) -> D:
    """Return the fields of *record* that make up a *kind*, one of the records that it extends.

    Raises:
        DeclarationError: There can't be such a destination.
    """
    with declaring():
        return kind(**{field.name: getattr(record, field.name) for field in fields(kind)})


def _refuse_bare(owner: object, method: Callable[..., object], args: Sequence[object]) -> None:
    """Refuse what is decorated by the method itself, which has been told nothing yet."""
    bare = args[0] if len(args) == 1 else None
    named: Any = bare
    if inspect.isroutine(bare) or inspect.isclass(bare) or isinstance(bare, Handler):
        name = method.__name__
        raise DeclarationError(
            f"{where(named)} is decorated by {type(owner).__name__}.{name} itself, which has to be"
            f" told an address first: @broker.{name}(address)"
        )


def _made(
    record: Callable[P, V], method: Callable[..., object]
) -> Callable[Concatenate[object, P], V]:
    def make(owner: object, /, *args: P.args, **kwargs: P.kwargs) -> V:
        try:
            return record(*args, **kwargs)
        except TypeError as error:
            _refuse(record, _called(owner, method), args, kwargs, error)
            raise

    return make


def _filled(record: Callable[..., V]) -> Callable[[Sequence[Any], Mapping[str, Any]], V]:
    """Return what makes a *record*, of arguments by position and by name.

    A frozen dataclass sets each of its fields by a call; here they are set at once, where there is
    nothing else to do. A mistake is left to the record itself.
    """
    kind: Any = record
    given: Sequence[Field[Any]] = fields(kind)
    places = [each.name for each in given if not each.kw_only]
    unsaid = {each.name: each.default for each in given}
    needed = [name for name, value in unsaid.items() if value is MISSING]
    new, set_ = object.__new__, object.__setattr__
    check: Callable[[Any], object] | None = getattr(kind, "__post_init__", None)
    is_plain = (
        kind.__dataclass_params__.frozen
        and not any(getattr(each, "__slots__", ()) for each in kind.__mro__)
        and all(each.init and each.default_factory is MISSING for each in given)
    )

    def make(args: Sequence[Any], kwargs: Mapping[str, Any]) -> V:
        values = {**unsaid, **kwargs}
        is_wrong = len(args) > len(places) or len(values) > len(unsaid)
        if args:
            for name, value in zip(places, args, strict=False):
                is_wrong |= name in kwargs
                values[name] = value
        for name in needed:
            is_wrong |= values[name] is MISSING
        if is_wrong:
            return record(*args, **kwargs)
        made: V = new(kind)
        set_(made, "__dict__", values)
        if check is not None:
            check(made)
        return made

    return _once(make) if is_plain else lambda args, kwargs: record(*args, **kwargs)


def _once(
    make: Callable[[Sequence[Any], Mapping[str, Any]], V],
) -> Callable[[Sequence[Any], Mapping[str, Any]], V]:
    """Return *make*, whose record of an address alone serves again whenever that is said."""
    made: dict[str, V] = {}

    def known(args: Sequence[Any], kwargs: Mapping[str, Any]) -> V:
        if kwargs or len(args) != 1 or type(args[0]) is not str:
            return make(args, kwargs)
        found = made.get(args[0])
        if found is None:
            if len(made) == _SAID:
                made.clear()
            found = made[args[0]] = make(args, kwargs)
        return found

    return known


def _refuse(
    record: Callable[..., object],
    called: str,
    args: Sequence[object],
    kwargs: Mapping[str, object],
    error: TypeError,
) -> None:
    """Raise what names what was *called*, unless *error* is not about its arguments.

    The record's own words speak of its __init__, which the user has never seen.
    """
    signature = inspect.signature(record)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as mismatch:
        own: Mapping[str, str] = getattr(record, "absent", {})
        said = hint(signature, len(args), tuple(kwargs), {**absent(called), **own})
        raise DeclarationError(f"{called}(): {mismatch}{said}") from error


def _called(owner: object, method: Callable[..., object]) -> str:
    kind, name = type(owner).__name__, method.__name__
    return kind if name == "__init__" else f"{kind}.{name}"


def _show(
    call: Callable[..., object],
    method: Callable[..., object],
    record: Callable[..., Any],
    *,
    keep: int,
    names: inspect.Parameter | None = None,
) -> None:
    """Make *call* show the fields of *record* behind the first *keep* parameters of *method*."""
    signature = inspect.signature(method)
    kept = [
        parameter.replace(kind=inspect.Parameter.POSITIONAL_ONLY)
        for parameter in list(signature.parameters.values())[:keep]
    ]
    shown = [*inspect.signature(record).parameters.values()]
    if names is not None:
        shown = [names, *(each for each in shown if each.name != names.name)]
    call.__signature__ = signature.replace(parameters=[*kept, *shown])  # type: ignore[attr-defined] # functions take any attribute
