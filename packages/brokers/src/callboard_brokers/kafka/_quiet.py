"""The client logs every attempt at a server that is away; here each kind of line comes rarely."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from time import monotonic

__all__ = ["quiet"]

PERIOD = 30.0
"""Seconds in which a line is logged once, whatever it says."""

_NAMES = (
    "client",
    "conn",
    "cluster",
    "consumer.fetcher",
    "consumer.group_coordinator",
    "producer.sender",
)


@contextmanager
def quiet() -> Generator[None]:
    """Throttle the client's warnings and errors; what matters is told as events."""
    last: dict[tuple[str, int], float] = {}

    def rarely(record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        line, now = (record.pathname, record.lineno), monotonic()
        if now - last.get(line, -PERIOD) < PERIOD:
            return False
        last[line] = now
        return True

    loggers = [logging.getLogger(f"aiokafka.{name}") for name in _NAMES]
    for logger in loggers:
        logger.addFilter(rarely)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(rarely)
