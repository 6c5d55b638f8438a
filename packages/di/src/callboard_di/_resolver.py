"""What a composer supplies: where context values come from, and how values are cast.

This package knows no messages. *S* is whatever travels and is handed to a bound plan.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, TypeVar

S = TypeVar("S")
S_contra = TypeVar("S_contra", contravariant=True)

Getter: TypeAlias = Callable[[S], object]
"""Reads one value for one *S*; raises LookupError if it is absent."""

Caster: TypeAlias = Callable[[Any], Callable[[object], object]]
"""Makes the conversion to an annotation, once per parameter when the plan is bound."""


class Resolver(Protocol[S_contra]):
    """Finds out, while planning, how values will be read for each message."""

    def context(self, path: tuple[str, ...], /) -> Getter[S_contra]:
        """Return how to read the value at *path*, such as `("message", "headers", "x-id")`.

        Reading raises LookupError if the value is absent; None and false values are present.

        Raises:
            UnknownName: The path leads to no value, as far as is known now. A declaration that
                needs the value is refused then; one with a default or an initial asks again.
        """
        ...

    def given(self, annotation: object, /) -> Getter[S_contra] | None:
        """Return how to read the value for a parameter of this type; None: not claimed.

        Asked for each parameter that has an annotation and no marker, before it is taken
        for a part of the body.
        """
        ...

    def store(self, path: tuple[str, ...], value: object, /) -> None:
        """Keep *value*, made by `Context(initial=...)`, so that later reads of *path* find it."""
        ...
