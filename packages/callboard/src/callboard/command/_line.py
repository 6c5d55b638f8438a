"""What is said between a process that runs an application and the one that has started it.

A pair of sockets lies between the two. A line of JSON tells what happens, and a word asks. Its end
says that the other process is gone, however that died: who runs an application then stops, and
leaves nothing unfinished behind.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final, Self, TypeAlias

from callboard.watch._view import View
from callboard_validation import decoder

WORKER: Final = "--callboard-worker"
"""The option by which a process hears that it is one of those."""
SHOW: Final = b"show\n"
STOP: Final = b"stop\n"
SLACK: Final = 10.0
"""Seconds after its deadline in which a process ends by itself, whatever hangs in it."""


@dataclass(frozen=True)
class Place:
    """Where a process stands: its number, None for an only one, of how many, and its socket."""

    worker_id: int | None
    workers: int
    line: int

    def __str__(self) -> str:
        number = "" if self.worker_id is None else self.worker_id
        return f"{number}/{self.workers}:{self.line}"

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what `str` has written."""
        number, _, rest = text.partition("/")
        workers, _, line = rest.partition(":")
        return cls(int(number) if number else None, int(workers), int(line))


@dataclass(kw_only=True)
class Up:
    """The application is up, and says how long its stop may take, and where it is to be seen."""

    graceful_timeout: float
    inspect: str | None


@dataclass(kw_only=True)
class Failing:
    """It has failed; in one line, why."""

    reason: str


@dataclass(kw_only=True)
class Signalled:
    """It was told to stop by a signal of its own."""

    signal: int


@dataclass(kw_only=True)
class Seen:
    """What there is to see; None: it does not run."""

    view: View | None


News: TypeAlias = Up | Failing | Signalled | Seen


def written(news: News) -> bytes:
    """Return *news* as a line."""
    return json.dumps(asdict(news), default=str).encode() + b"\n"


def read(line: bytes) -> News:
    """Return what a line says.

    Raises:
        ValueError: Nothing of that kind.
    """
    news: News = decoder(Up | Failing | Signalled | Seen)(line, "application/json")
    return news
