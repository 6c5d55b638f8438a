"""A client may log every attempt at a server that is away; here each line of it comes rarely."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from time import monotonic

__all__ = ["quiet"]

PERIOD = 30.0
"""Seconds in which a line is logged once, whatever it says."""


@contextmanager
def quiet(*names: str) -> Generator[None]:
    """Throttle warnings and errors of the loggers by *names*, and of all below them.

    What matters is told as events. A logger that is made later is not throttled, but clients make
    theirs when they are imported.
    """
    last: dict[tuple[str, int], float] = {}

    def rarely(record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        line, now = (record.pathname, record.lineno), monotonic()
        if now - last.get(line, -PERIOD) < PERIOD:
            return False
        last[line] = now
        return True

    # A filter of a logger does not see what comes from those below it, so each gets it.
    below = tuple(f"{name}." for name in names)
    known = [name for name in logging.Logger.manager.loggerDict if name.startswith(below)]
    loggers = [logging.getLogger(name) for name in (*names, *known)]
    for logger in loggers:
        logger.addFilter(rarely)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(rarely)
