"""What `logger=` may be: a logger of the standard library, of another one, or None for silence."""

from __future__ import annotations

import logging
from typing import Any, Protocol

from ._errors import DeclarationError


class LoggerProto(Protocol):
    """Writes lines, as a `logging.Logger` does."""

    def log(
        self,
        level: int,
        msg: Any,
        /,
        *,
        exc_info: Any = None,
        extra: Any = None,
    ) -> None:
        """Write *msg* if lines of *level* are written."""
        ...


class ForeignLogger(logging.Logger):
    """Writes to a logger of another library, which is called with a level and a finished line.

    A traceback is part of the line: libraries differ in how they are told of an error, and format
    a line anew if they are given more than that.
    """

    def __init__(self, target: LoggerProto) -> None:
        super().__init__("callboard", logging.NOTSET)
        self.target = target
        self._asked = getattr(target, "isEnabledFor", None)
        self._format = logging.Formatter().format

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - as the base class has it
        """Return whether the other one writes lines of *level*; it does if it can't be asked."""
        return super().isEnabledFor(level) and (self._asked is None or bool(self._asked(level)))

    def callHandlers(self, record: logging.LogRecord) -> None:  # noqa: N802 - as the base class has it
        """Hand the line on; this logger has no handlers."""
        self.target.log(record.levelno, self._format(record))


def logger_of(given: object, owner: str) -> logging.Logger:
    """Return what writes to the logger that *owner* was *given*; None: nothing is written.

    Raises:
        DeclarationError: It has no method `log`.
    """
    if given is None:
        silent = logging.Logger("callboard")
        silent.disabled = True
        return silent
    if isinstance(given, logging.Logger):
        return given
    if isinstance(given, type) or not callable(getattr(given, "log", None)):
        raise DeclarationError(
            f"logger={given!r} of {owner} is no logger; give a logging.Logger, an object with a"
            " method log(level, line), or None to have nothing written"
        )
    return ForeignLogger(given)  # type: ignore[arg-type] # it has been looked at above


def shown(logger: logging.Logger) -> object:
    """Return what handlers get that ask for the logger: the very object that was given."""
    return logger.target if isinstance(logger, ForeignLogger) else logger
