"""What the actors of one system share: who lives there, and the messages that reach nobody."""

from __future__ import annotations

import logging

import anyio

from callboard_actors._parker import Loop, native
from callboard_actors.events import DeadLetter, Notify
from callboard_actors.system._context import System
from callboard_actors.system._team import Member

_log = logging.getLogger("callboard_actors")

# A storm of dead letters is one fact, not a hundred thousand lines.
_LOGGED = 10
_PERIOD = 60.0


class Registry:
    """What the actors of one system share.

    Attributes:
        cells: Who lives there, by path.
        loop: The event loop in which they live.
    """

    def __init__(self, system: System, notify: Notify) -> None:
        self.system = system
        self.notify = notify
        self.dead_letters = DeadLetters(notify)
        self.cells: dict[str, Member] = {}
        self._loop: Loop | None = None

    @property
    def loop(self) -> Loop:
        if self._loop is None:
            self._loop = native()
        return self._loop

    def add(self, cell: Member) -> None:
        """Let *cell* live at its path. Whoever lived there before has ended."""
        former = self.cells.get(cell.path, cell)
        if former is not cell:
            former.close()
        self.cells[cell.path] = cell

    def remove(self, cell: Member) -> None:
        if self.cells.get(cell.path) is cell:
            del self.cells[cell.path]

    def close(self) -> None:
        for cell in list(self.cells.values()):
            cell.close()
        self.dead_letters.flush()


class DeadLetters:
    """What was told to actors that had ended, or was not read when they ended.

    Each is told as a `DeadLetter`. The first ten of a minute are logged, and how many others there
    were.

    Attributes:
        count: How many there were.
    """

    def __init__(self, notify: Notify) -> None:
        self.count = 0
        self._notify = notify
        self._until = 0.0
        self._recent = 0

    def post(self, path: str, message: object) -> None:
        """Note that *message* did not reach the actor at *path*."""
        self.count += 1
        text = f"{message!r:.80}"
        self._notify(DeadLetter(path, text))
        now = anyio.current_time()
        if now >= self._until:
            self.flush()
            self._until = now + _PERIOD
        self._recent += 1
        if self._recent <= _LOGGED:
            _log.warning("dead letter to %s, which takes no more: %s", path, text)

    def flush(self) -> None:
        """Log how many were not logged."""
        if self._recent > _LOGGED:
            _log.warning("%d more dead letters", self._recent - _LOGGED)
        self._recent = 0
