"""Named values that handlers ask for by `Context`, from the nearest scope to the widest.

A name is looked up in the scope of the running message first, then in the broker's repository,
then in the application's. Nothing here costs a message that asks for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from functools import partial

from callboard._errors import ContextError

Local = Mapping[str, object]
_EMPTY: Local = {}


class ContextRepo:
    """Values by name: global to an application or broker, and local to the running message."""

    def __init__(self, values: Mapping[str, object] | None = None, /) -> None:
        self._values: dict[str, object] = {**(values or {}), "context": self}
        self._local: ContextVar[Local] = ContextVar("callboard-context", default=_EMPTY)
        self._wider: ContextRepo | None = None
        self._kept: Local = _EMPTY

    def widen(self, wider: ContextRepo) -> None:
        """Look up in *wider* what is not here; a broker's context is widened by its application's."""
        if wider is not self:
            self._wider = wider

    @contextmanager
    def keep(self) -> Generator[None]:
        """Let everybody see, during the block, what this task has set: a lifespan, for all handlers."""
        self._kept = self._local.get()
        try:
            yield
        finally:
            self._kept = _EMPTY

    def set_global(self, key: str, value: object) -> None:
        """Set *key* for every message from now on."""
        self._values[key] = value

    def reset_global(self, key: str) -> None:
        """Forget *key*; unknown keys are ignored."""
        self._values.pop(key, None)

    def set_local(self, key: str, value: object) -> Token[Local]:
        """Set *key* for what runs in this task from now on; undo it with the token."""
        return self._local.set({**self._local.get(), key: value})

    def reset_local(self, key: str, token: Token[Local]) -> None:
        """Give *key* the value that it had before the `set_local` that gave *token*, or none."""
        before = token.old_value
        values = {**self._local.get()}
        values.pop(key, None)
        if before is not Token.MISSING and key in before:
            values[key] = before[key]
        self._local.set(values)

    def get_local(self, key: str, default: object = None) -> object:
        """Return the value that *key* has in this task, or *default*."""
        return self._local.get().get(key, default)

    @contextmanager
    def scope(self, key: str, value: object) -> Generator[None]:
        """Set *key* for what runs inside the block."""
        with self.scopes([(key, value)]):
            yield

    @contextmanager
    def scopes(self, values: Iterable[tuple[str, object]]) -> Generator[None]:
        """Set several for what runs inside the block."""
        tokens = [(key, self.set_local(key, value)) for key, value in values]
        try:
            yield
        finally:
            for key, token in reversed(tokens):
                self.reset_local(key, token)

    def resolve(self, path: str) -> object:
        """Return the value of a dotted *path*.

        Raises:
            ContextError: Its first name has no value.
            LookupError: What it leads to next is not there.
        """
        name, *rest = path.split(".")
        return self._find(name, tuple(rest), None)

    @property
    def context(self) -> dict[str, object]:
        """All that can be found here, by name."""
        return {name: self[name] for name in self.names()}

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
        return sorted({*self._values, *self._local.get(), *self._kept, *wider})

    def clear(self) -> None:
        """Forget every global value but that of `context`, which is this."""
        self._values = {"context": self}

    def _find(self, name: str, rest: tuple[str, ...], _scope: object) -> object:
        value = self[name]
        for part in rest:
            value = follow(value, part)
        return value

    def __getitem__(self, key: str) -> object:
        local = self._local.get()
        if key in local:
            return local[key]
        for values in (self._kept, self._values):
            if key in values:
                return values[key]
        if self._wider is not None:
            return self._wider[key]
        raise ContextError(key)

    def __contains__(self, key: object) -> bool:
        return (
            key in self._local.get()
            or key in self._kept
            or key in self._values
            or (self._wider is not None and key in self._wider)
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(self.names())}>"

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
