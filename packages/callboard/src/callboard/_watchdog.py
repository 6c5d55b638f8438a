"""A thread that sees which actor keeps the event loop from turning.

Afterwards it is too late to ask: the loop wakes up in another task. So a thread looks at the stack
of the loop's thread while the loop is late, and finds there the `Child` of whoever runs.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import PurePath
from time import perf_counter
from types import FrameType
from typing import Final, NamedTuple

from callboard_actors import Child

__all__ = ["Culprit", "Watchdog"]

_TICK: Final = 0.02
_NAME: Final = "child"
"""What every part of the tree calls the `Child` that it is handed."""


class Culprit(NamedTuple):
    """Who was running.

    Attributes:
        path: The ids from the root of the tree; empty if it was none of its actors.
        where: The line of code, as in `shop.py:12 in pack`.
    """

    path: str
    where: str


class Watchdog:
    """Watches the thread in which it was made, whose loop is to `beat` every *period* seconds."""

    def __init__(self, period: float) -> None:
        self._thread = threading.get_ident()
        self._period = period
        self._due = perf_counter() + period
        self._seen: list[Culprit] = []

    @contextmanager
    def watching(self) -> Generator[None]:
        """Watch, from a thread of its own; it ends soon after the block."""
        over = threading.Event()
        threading.Thread(target=self._watch, args=[over], daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def beat(self) -> Culprit | None:
        """Say that the loop turns; return who kept it from that for longest, None if nobody did."""
        seen, self._seen = self._seen, []
        self._due = perf_counter() + self._period
        return Counter(seen).most_common(1)[0][0] if seen else None

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(_TICK):
            if perf_counter() > self._due + _TICK:
                # The only way to see the stack of another thread; there is no public one.
                frame = sys._current_frames().get(self._thread)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - see above
                if frame is not None:
                    self._seen.append(_culprit(frame))


def _culprit(innermost: FrameType) -> Culprit:
    code = innermost.f_code
    where = f"{PurePath(code.co_filename).name}:{innermost.f_lineno} in {code.co_qualname}"
    frame: FrameType | None = innermost
    while frame is not None:
        # The names first: to read the values copies them.
        if _NAME in frame.f_code.co_varnames:
            child = frame.f_locals.get(_NAME)
            if isinstance(child, Child):
                return Culprit(child.path, where)
        frame = frame.f_back
    return Culprit("", where)
