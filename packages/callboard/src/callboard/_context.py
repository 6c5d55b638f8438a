"""Named values that handlers ask for by `Context`, from the nearest scope to the widest.

A name is looked up in the scope of the running message first, then in the broker's repository,
then in the application's. Nothing here costs a message that asks for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from functools import partial

Local = Mapping[str, object]
_EMPTY: Local = {}


class ContextRepo:
    """Values by name: global to an application or broker, and local to the running message."""

    def __init__(self, values: Mapping[str, object] | None = None) -> None:
        self._values: dict[str, object] = dict(values or {})
        self._local: ContextVar[Local] = ContextVar("callboard-context", default=_EMPTY)
        self._wider: ContextRepo | None = None

    def widen(self, wider: ContextRepo) -> None:
        """Look up in *wider* what is not here; a broker's context is widened by its application's."""
        if wider is not self:
            self._wider = wider

    def set_global(self, key: str, value: object) -> None:
        """Set *key* for every message from now on."""
        self._values[key] = value

    def reset_global(self, key: str) -> None:
        """Forget *key*; unknown keys are ignored."""
        self._values.pop(key, None)

    def set_local(self, key: str, value: object) -> Token[Local]:
        """Set *key* for what runs in this task from now on; undo it with the token."""
        return self._local.set({**self._local.get(), key: value})

    def reset_local(self, token: Token[Local]) -> None:
        """Undo the `set_local` that gave *token*."""
        self._local.reset(token)

    @contextmanager
    def scope(self, key: str, value: object) -> Generator[None]:
        """Set *key* for what runs inside the block."""
        token = self.set_local(key, value)
        try:
            yield
        finally:
            self.reset_local(token)

    def get(self, key: str, default: object = None) -> object:
        """Return the nearest value of *key*, or *default*."""
        try:
            return self[key]
        except KeyError:
            return default

    def getter(self, path: tuple[str, ...]) -> Callable[[object], object]:
        """Return a function that finds the value of a dotted *path* whenever it is called."""
        name, *rest = path
        return partial(self._find, name, tuple(rest))

    def names(self) -> list[str]:
        """Return the names that have a value here, in order."""
        wider = self._wider.names() if self._wider is not None else []
        return sorted({*self._values, *self._local.get(), *wider})

    def clear(self) -> None:
        """Forget every global value."""
        self._values.clear()

    def _find(self, name: str, rest: tuple[str, ...], _scope: object) -> object:
        value = self[name]
        for part in rest:
            value = follow(value, part)
        return value

    def __getitem__(self, key: str) -> object:
        local = self._local.get()
        if key in local:
            return local[key]
        if key in self._values:
            return self._values[key]
        if self._wider is not None:
            return self._wider[key]
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return (
            key in self._local.get()
            or key in self._values
            or (self._wider is not None and key in self._wider)
        )

    def __getattr__(self, name: str) -> object:
        """Return the value of *name*, or None where there is none."""
        if name.startswith("_"):
            raise AttributeError(name)
        return self.get(name)


def follow(value: object, part: str) -> object:
    """Return what *value* has under *part*: the item of a mapping, else the attribute.

    Raises:
        LookupError: There is no such thing.
    """
    if isinstance(value, Mapping):
        return value[part]  # pyright: ignore[reportUnknownVariableType] - of whatever
    try:
        return getattr(value, part)
    except AttributeError:
        raise LookupError(f"{type(value).__name__} has no {part!r}") from None
