"""A composer in small: what travels is a dict, and the context is that dict over another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from callboard_di import UnknownName

Travelling = dict[str, Any]


class Station:
    """A type that the toy resolver supplies by annotation."""


class Toy:
    """Looks values up in what travels, then among what was stored."""

    def __init__(self, *known: str, **stored: object) -> None:
        self.known = known
        self.stored: dict[str, object] = stored

    def context(self, path: tuple[str, ...], /) -> Callable[[Travelling], object]:
        whole = ".".join(path)
        path = (whole,) if whole in self.stored else path
        if self.known and path[0] not in self.known and path[0] not in self.stored:
            raise UnknownName(f"only {', '.join(self.known)} are there")

        def getter(travelling: Travelling) -> object:
            value: Any = self.stored | travelling
            for name in path:
                value = value[name]
            return value

        return getter

    def given(self, annotation: object, /) -> Callable[[Travelling], object] | None:
        return (lambda travelling: travelling["station"]) if annotation is Station else None

    def store(self, path: tuple[str, ...], value: object, /) -> None:
        self.stored[".".join(path)] = value


def caster(annotation: Any) -> Callable[[object], object]:
    """Call the type on what comes."""

    def convert(value: object) -> object:
        return annotation(value)

    return convert


def body(travelling: Travelling) -> Any:
    return travelling["body"]
