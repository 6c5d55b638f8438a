"""The one way into a log: what comes from outside is escaped and clipped on it."""

from __future__ import annotations

import logging
from textwrap import indent
from traceback import format_exception

from callboard.watch._printable import TRACE, printable, text_of


def say(  # noqa: PLR0913 - as in logging
    logger: logging.Logger,
    level: int,
    line: str,
    *parts: object,
    error: BaseException | None = None,
    trace: str = "",
    above: int = 0,
) -> None:
    """Write *line* with its *parts*, each made printable.

    Args:
        logger: Where to; nothing happens if it does not write lines of *level*.
        level: As in `logging`.
        line: With a place for each part, as in `logging`.
        parts: Figures stay figures.
        error: Its traceback is written below. Formatters of the standard library take that from
            here, clipped; whoever wants the exception itself finds it in the record, as ever.
        trace: A traceback that is text already; it is written below.
        above: How many functions lie between this one and whoever speaks.
    """
    if not logger.isEnabledFor(level):
        return
    arguments = [part if isinstance(part, int | float) else text_of(part) for part in parts]
    if trace:
        line, arguments = f"{line}:\n%s", [*arguments, _fit(trace)]
    file, number, function, _ = logger.findCaller(stacklevel=2 + above)
    raised = None if error is None else (type(error), error, error.__traceback__)
    record = logger.makeRecord(
        logger.name, level, file, number, line, tuple(arguments), raised, function
    )
    if error is not None:
        record.exc_text = _fit("".join(format_exception(error)))
    logger.handle(record)


def _fit(trace: str) -> str:
    """Return a traceback that is fit to be seen.

    It is indented: an exception's words may have lines of their own, which would else pass for
    lines of the log.
    """
    return indent(printable(trace.rstrip("\n"), TRACE, lines=True), "  ")
