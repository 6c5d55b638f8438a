"""What spans say of messages, and how they end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, TypeVar

from opentelemetry.trace import Span, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from callboard._errors import IgnoredException, Suppressed, words
from callboard.opentelemetry._systems import Attributes
from callboard.watch._say import say
from callboard_brokers import Message

T = TypeVar("T")
_LOGGER: Final = logging.getLogger("callboard.opentelemetry")


class Guard:
    """Keeps what fails in tracing away from messages, and says so once."""

    def __init__(self) -> None:
        self._has_told = False

    def tell(self, error: Exception) -> None:
        """Write that tracing has failed; later failures are of no interest."""
        if not self._has_told:
            self._has_told = True
            line = "tracing has failed, and messages go without: %s"
            say(_LOGGER, logging.ERROR, line, words(error), error=error)


def told_of(message: Message) -> dict[str, AttributeValue]:
    """Return what there is to say of any message."""
    said: dict[str, AttributeValue] = {}
    if (identity := message.message_id) is not None:
        said["messaging.message.id"] = identity
    if (correlation := message.correlation_id) is not None:
        said["messaging.message.conversation_id"] = correlation
    return said


def told_by(tells: Callable[[Any], Attributes] | None, of: object) -> Attributes:
    """Return what *tells* says of a record; nothing, of one that a test or a parser has made."""
    if tells is None:
        return {}
    try:
        return tells(of)
    except (AttributeError, TypeError):
        return {}


def fail(span: Span, error: BaseException) -> str | None:
    """Let *span* say by what it has failed; return that, or None if it was a decision."""
    if isinstance(error, Suppressed) and error.failure is not None:
        error = error.failure
    kind = type(error)
    name = kind.__qualname__
    if isinstance(error, IgnoredException):
        if span.is_recording() and not isinstance(error, Suppressed):
            span.set_attribute("callboard.decision", name)
        return None
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    if span.is_recording():
        span.set_attribute("error.type", name)
        if isinstance(error, Exception):  # else somebody has cancelled it
            span.record_exception(error)
        span.set_status(Status(StatusCode.ERROR, words(error)))
    return name
