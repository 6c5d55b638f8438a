"""The one way into a log: what comes from outside is escaped and clipped on it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from textwrap import indent
from traceback import format_exception

from callboard.watch._printable import TRACE, printable, text_of


def say(
    logger: logging.Logger,
    level: int,
    line: str,
    *parts: object,
    error: BaseException | None = None,
) -> None:
    """Write *line* with its *parts*, each made printable.

    Args:
        logger: Where to; nothing happens if it does not write lines of *level*.
        level: As in `logging`.
        line: With a place for each part, as in `logging`.
        parts: Figures stay figures.
        error: See `write`.
    """
    if logger.isEnabledFor(level):
        fit = tuple(part if isinstance(part, int | float) else text_of(part) for part in parts)
        write(logger, level, line, fit, error=error)


def write(  # noqa: PLR0913 - the parts of a record
    logger: logging.Logger,
    level: int,
    line: str,
    parts: tuple[object, ...] | tuple[Mapping[str, object]],
    *,
    error: BaseException | None = None,
    extra: Mapping[str, object] | None = None,
) -> None:
    """Write *line* with *parts* that are printable, or with one mapping of such.

    The record has *extra* too, for whoever makes more of it than a line.

    The traceback of *error* is written below. Formatters of the standard library take that from
    here, clipped; whoever wants the exception itself finds it in the record, as ever.
    """
    file, number, function, _ = logger.findCaller(stacklevel=3)
    raised = None if error is None else (type(error), error, error.__traceback__)
    record = logger.makeRecord(logger.name, level, file, number, line, parts, raised, function)
    vars(record).update(extra or {})
    if error is not None:
        record.exc_text = fitted("".join(format_exception(error)))
    logger.handle(record)


def fitted(trace: str) -> str:
    """Return a traceback that is fit to be seen.

    It is indented: an exception's words may have lines of their own, which would else pass for
    lines of the log.
    """
    return indent(printable(trace.rstrip("\n"), TRACE, lines=True), "  ")
