"""What handlers and hooks may ask for by `Context`, `Header`, `Path` or a type, and where it is."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final, get_origin

from callboard._context import ContextRepo, follow
from callboard_brokers import Message
from callboard_di import UnknownName

Getter = Callable[[Any], object]
EMPTY: Final[Mapping[str, Any]] = MappingProxyType({})
_PARTS: Final = sorted(
    name for name, part in vars(Message).items() if name[0] != "_" and not callable(part)
)


class HookResolver:
    """Finds values for the hooks of an application: what is in its context by then.

    No name is unknown at the start: hooks, a lifespan and middlewares may set it later.
    """

    def __init__(self, context: ContextRepo) -> None:
        self._context = context

    def context(self, path: tuple[str, ...], /) -> Getter:
        """Return how to read *path* from the context."""
        if (whole := ".".join(path)) in self._context:
            path = (whole,)  # what `initial=` made is kept under its whole name
        return self._context.getter(path)

    def given(self, annotation: object, /) -> Getter | None:
        """Return how to read a value of this type; None: not to be had by type."""
        if annotation is ContextRepo:
            return lambda _: self._context
        return None

    def store(self, path: tuple[str, ...], value: object, /) -> None:
        """Keep what `initial=` made."""
        self._context.set_global(".".join(path), value)


class ActorResolver(HookResolver):
    """Finds values for the constructors of actors, which are made at the start: they are there then."""

    def context(self, path: tuple[str, ...], /) -> Getter:
        """Return how to read *path* from the context."""
        if path[0] not in self._context:
            raise UnknownName(
                f"no value is called {path[0]!r} here; known are {self._context.names()}, and what"
                " set_global() adds before the start"
            )
        return super().context(path)


class MessageResolver(HookResolver):
    """Finds values for handlers: the message too, and *presets* that are made of it."""

    def __init__(
        self, context: ContextRepo, presets: Mapping[str, Callable[[Message], object]] = EMPTY
    ) -> None:
        super().__init__(context)
        self._presets = presets

    def context(self, path: tuple[str, ...], /) -> Getter:
        """Return how to read *path* from the message or from the context."""
        if (preset := self._presets.get(path[0])) is not None:
            return partial(_part, preset, path[1:])
        return _of_message(path[1:]) if path[0] == "message" else super().context(path)

    def given(self, annotation: object, /) -> Getter | None:
        """Claim the message itself, as `Message` or any of its subclasses."""
        return _itself if _is_message(annotation) else super().given(annotation)


class AnyResolver:
    """Knows every name: for what can be found wrong before the names are known.

    Only what no message from *address*, a template, can have is unknown already.
    """

    def __init__(self, address: str | None = None) -> None:
        self._address = address

    def context(self, path: tuple[str, ...], /) -> Getter:
        """Return a reader that is never called."""
        if self._address is not None and path[:2] == ("message", "path"):
            field = ".".join(path[2:])
            if field and f"{{{field}}}" not in self._address:
                raise UnknownName(f"the address {self._address!r} has no {{{field}}} in it")
        return _of_message(path[1:]) if path[0] == "message" else _itself

    def given(self, annotation: object, /) -> Getter | None:
        """Claim what a `MessageResolver` claims."""
        return _itself if _is_message(annotation) or annotation is ContextRepo else None

    def store(self, path: tuple[str, ...], value: object, /) -> None:
        """Keep nothing: nothing is called."""


def _itself(message: Any) -> object:
    return message


def _is_message(annotation: object) -> bool:
    plain = get_origin(annotation) or annotation
    return inspect.isclass(plain) and issubclass(plain, Message)


def _of_message(path: tuple[str, ...]) -> Getter:
    match path:
        case ():
            return _itself
        case ("headers", name) if "_" in name:
            return partial(_dashed, name, name.replace("_", "-"))
        case ("headers", name):
            return partial(_header, name)
        case ("path", name):
            return partial(_path, name)
        case (attribute, *rest) if hasattr(Message, attribute):
            return partial(_attribute, attribute, tuple(rest))
        case _:
            raise UnknownName(f"a message has no {path[0]!r}; it has {', '.join(_PARTS)}")


def _header(name: str, message: Message) -> object:
    return message.headers[name]


def _dashed(name: str, dashed: str, message: Message) -> object:
    """Return the header of a parameter's name, in which no dash can stand."""
    headers = message.headers
    return headers[name] if name in headers else headers[dashed]


def _part(preset: Callable[[Message], object], path: tuple[str, ...], message: Message) -> object:
    value = preset(message)
    for part in path:
        value = follow(value, part)
    return value


def _path(name: str, message: Message) -> object:
    return message.path[name]


def _attribute(name: str, rest: tuple[str, ...], message: Message) -> object:
    value: object = getattr(message, name)
    for part in rest:
        value = follow(value, part)
    return value
