"""A client may log every attempt at a server that is away; here each line of it comes rarely."""

from __future__ import annotations

import logging
import re
from collections.abc import Generator
from contextlib import contextmanager
from time import monotonic
from typing import Final

PERIOD = 30.0
"""Seconds in which a line is logged once, whatever it says."""

_SECRET: Final = re.compile("sasl|password|secret|token", re.IGNORECASE)


@contextmanager
def quiet(*names: str) -> Generator[None]:
    """Throttle warnings and errors of the loggers by *names*, and of all below them.

    Lines about how we log in are left out below that: clients write their requests as they are.
    What matters is told as events. A logger that is made later is not throttled, but clients make
    theirs when they are imported.
    """
    last: dict[tuple[str, int], float] = {}

    def rarely(record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return not _SECRET.search(record.getMessage())
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
