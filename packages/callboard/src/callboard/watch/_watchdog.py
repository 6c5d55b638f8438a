"""A thread that sees which actor keeps the event loop from turning.

Afterwards it is too late to ask: the loop wakes up in another task, or never. So a thread looks at
the stack of the loop's thread while the loop is late, finds there the `Child` of whoever runs, and
says so while it lasts.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import PurePath
from time import perf_counter, process_time
from types import FrameType
from typing import Any, Final, NamedTuple, TypeAlias

from anyio import from_thread
from anyio.lowlevel import current_token

from callboard_actors import Child

_PERIOD: Final = 0.1
"""Seconds between two questions."""
_SELDOM: Final = 0.5
"""The same while there is next to nothing to do: every look costs an idle process its rest."""
_BUSY: Final = 0.02
"""Of a processor, from which on a process is not idle."""
_TICK: Final = 0.02
LAG: Final = 0.1
"""Seconds for which the loop may not turn before that is told."""
LONG: Final = 5.0
"""Seconds after which it is said that the loop is blocked; again after five times as long."""
_WAITS: Final = frozenset({("_run_once", "select"), ("run", "get_events")})
"""Where the loops of asyncio and trio wait, and in what; another loop is asked each time."""
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


Report: TypeAlias = Callable[[float, Culprit], object]


class Watchdog:
    """Asks the event loop in which it is made, again and again, whether it turns.

    From a thread, in real time: nothing runs in the loop but the answers.

    Args:
        tell: Called in the loop when it turns again after more than *lag* seconds: with the time
            that has passed, and who is to blame.
        warn: Called likewise, but in the thread, while it does not turn. Neither may raise.
        long: Seconds after which that is called; then after five times as long, and so on.
        lag: Seconds that pass unsaid.
    """

    def __init__(self, tell: Report, warn: Report, long: float = LONG, lag: float = LAG) -> None:
        self._thread = threading.get_ident()
        self._loop = current_token()
        native: Any = self._loop.native_token
        self._soon: Callable[[Callable[[], object]], object] = (
            getattr(native, "call_soon_threadsafe", None) or native.run_sync_soon
        )
        self._tell, self._warn, self._long, self._lag = tell, warn, long, lag

    @contextmanager
    def watching(self) -> Generator[None]:
        """Watch, from a thread of its own; it ends soon after the block."""
        over = threading.Event()
        threading.Thread(target=self._watch, args=[over], daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def rests(self) -> bool:
        """Say whether the loop waits for something to do: to ask it then would wake it for nothing."""
        frame = _frame_of(self._thread)
        caller = None if frame is None else frame.f_back
        # By the caller too: who waits for a socket in a handler also does that in a `select`.
        return (
            frame is not None
            and caller is not None
            and (caller.f_code.co_name, frame.f_code.co_name) in _WAITS
        )

    def _watch(self, over: threading.Event) -> None:
        period, used = _PERIOD, process_time()
        try:
            while not over.wait(period):
                before, used = used, process_time()
                period = _PERIOD if used - before > _BUSY * period else _SELDOM
                if self.rests():
                    continue
                late, culprit = self._ask(over)
                if culprit is not None and late > self._lag and not over.is_set():
                    from_thread.run_sync(self._tell, late, culprit, token=self._loop)
        except RuntimeError:  # the loop has ended, and nobody is left to be told
            return

    def _ask(self, over: threading.Event) -> tuple[float, Culprit | None]:
        """Wait until the loop turns; return how long that took, and who was seen meanwhile."""
        turned, asked, limit = threading.Event(), perf_counter(), self._long
        seen = Counter[Culprit]()
        self._soon(turned.set)
        while not turned.wait(_TICK) and not over.is_set():
            culprit, late = culprit_in(self._thread), perf_counter() - asked
            if culprit is None:
                continue
            seen[culprit] += 1
            if late > limit:
                limit *= 5
                self._warn(late, culprit)
        return perf_counter() - asked, seen.most_common(1)[0][0] if seen else None


def culprit_in(thread: int) -> Culprit | None:
    """Return who runs in *thread* now, which is another's; None if it has ended."""
    frame = _frame_of(thread)
    return None if frame is None else _culprit(frame)


def _frame_of(thread: int) -> FrameType | None:
    # The only way to see the stack of another thread; there is no public one.
    return sys._current_frames().get(thread)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - see above


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
