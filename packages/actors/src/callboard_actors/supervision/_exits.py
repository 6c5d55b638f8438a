"""Why a child ended.

Reasons are text: a stored exception would keep its frames, and with them the messages, alive.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from traceback import TracebackException

import anyio

from callboard_actors._errors import ForeignCancellation, GaveUp, StopActor
from callboard_actors.events import ExitKind

_LONGEST_TEXT = 8 * 1024


@dataclass(frozen=True, slots=True)
class ExitReason:
    """Why a child ended.

    Attributes:
        kind: `normal` (returned by itself), `shutdown` (asked to), `failed`, `foreign_cancel`,
            `killed` (cancelled after its time to drain), `unkillable` (lives on), or `gave_up`
            (a supervisor that restarted too often, or to which a child escalated).
        text: The traceback, at most 8 KiB of it; empty if there was no exception.
    """

    kind: ExitKind
    text: str = ""

    @property
    def abnormal(self) -> bool:
        """Whether a transient child is restarted for it."""
        return self.kind not in {"normal", "shutdown"}

    @classmethod
    def of(cls, error: BaseException) -> ExitReason:
        """Return the reason of a child out of which *error* came."""
        if isinstance(error, StopActor):
            return cls("normal")
        if isinstance(error, GaveUp):
            return cls("gave_up", describe(error))
        if isinstance(error, ForeignCancellation) or is_foreign(error):
            return cls("foreign_cancel", describe(error))
        if isinstance(error, anyio.get_cancelled_exc_class()):
            return cls("killed")
        return cls("failed", describe(error))


def describe(error: BaseException) -> str:
    """Return the traceback of *error* as text, at most 8 KiB; of a longer one the two ends."""
    text = "".join(TracebackException.from_exception(error).format())
    # Whoever stores or sends it must be able to: an exception may say what no encoding knows.
    text = text.encode(errors="backslashreplace").decode()
    if len(text) <= _LONGEST_TEXT:
        return text
    half = _LONGEST_TEXT // 2 - 2
    return f"{text[:half]}\n…\n{text[-half:]}"


def cancelled_from_outside() -> bool:
    """Whether a cancel scope around the running task is cancelled."""
    return anyio.current_effective_deadline() == -math.inf


def as_exit(error: BaseException, who: str) -> BaseException:
    """Return *error* as it may leave *who*: a foreign cancellation as `ForeignCancellation`."""
    if not is_foreign(error):
        return error
    failure = ForeignCancellation(f"{who} was cancelled, but by no cancel scope around it")
    failure.__cause__ = error
    return failure


@contextmanager
def guarded(who: str) -> Generator[None]:
    """Let a cancellation that no cancel scope has asked for leave the block as an error.

    Raises:
        ForeignCancellation: *who* was cancelled natively, or has awaited what was.
    """
    try:
        yield
    except BaseException as error:
        if is_foreign(error):
            raise as_exit(error, who) from error
        raise


def is_foreign(error: BaseException) -> bool:
    """Whether *error* is a cancellation that no enclosing cancel scope has asked for.

    An anyio task group takes such a cancellation for its own: it cancels every sibling and the
    host, and ends without an exception. It must therefore never reach one.
    """
    if isinstance(error, Exception | GeneratorExit):  # the latter: the event loop is gone
        return False
    return isinstance(error, anyio.get_cancelled_exc_class()) and not cancelled_from_outside()
