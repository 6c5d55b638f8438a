"""Overrides: other callables in place of dependencies, mostly for tests.

A bound plan compares `version` for each message, an integer, and is compiled again
when it has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from ._signature import Callee, Identity, read


class Overrides:
    """Which callable stands in for which, wherever it is a dependency.

    A replacement is planned like any dependency: its own parameters count, not the original's.
    A change holds from the next message on, for all plans made with this object.

    Attributes:
        version: Grows with every change.
    """

    __slots__ = ("_narrower", "_replacements", "_wider", "version")

    def __init__(self) -> None:
        self.version = 0
        self._replacements: dict[Identity, Callee] = {}
        self._wider: Overrides | None = None
        self._narrower: list[Overrides] = []

    def __repr__(self) -> str:
        named = ", ".join(sorted(each.title for each in self._replacements.values()))
        return f"<{type(self).__name__} by {named or 'nothing'}>"

    def widen(self, wider: Overrides) -> None:
        """Look up in *wider* what nothing stands in for here."""
        if wider is self or wider is self._wider:
            return
        if self._wider is not None:
            self._wider._narrower.remove(self)  # noqa: SLF001 - of another one
        self._wider = wider
        wider._narrower.append(self)
        self._changed()

    def override(self, original: Callable[..., object], replacement: Callable[..., object]) -> None:
        """Call *replacement* instead of *original* from now on.

        Raises:
            PlanError: An annotation of *replacement* cannot be read.
        """
        self._replacements[Identity(original)] = read(replacement)
        self._changed()

    __setitem__ = override

    @contextmanager
    def scope(
        self, original: Callable[..., object], replacement: Callable[..., object]
    ) -> Generator[None, None, None]:
        """Call *replacement* instead of *original* within the `with` block.

        Afterwards the replacements are again what they were before.
        """
        before = self._replacements.copy()
        self.override(original, replacement)
        try:
            yield
        finally:
            self._replacements = before
            self._changed()

    def clear(self) -> None:
        """Forget every replacement."""
        self._replacements.clear()
        self._changed()

    def replacement(self, original: Callable[..., object]) -> Callee | None:
        """Return what stands in for *original*; None: itself."""
        found = self._replacements.get(Identity(original))
        if found is None and self._wider is not None:
            return self._wider.replacement(original)
        return found

    def _changed(self) -> None:
        self.version += 1
        for each in self._narrower:
            each._changed()  # noqa: SLF001 - of another one
