"""What lines of the log say of the message in hand, and lines as JSON.

`LogContext` is an instrument: give it to brokers as `instruments=[LogContext()]`. What is logged
while a handler runs, by whomever, can say then of which message it is: `MessageFilter` and
`JsonFormatter` do so for the standard library's logging, `message_context` for any other.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final

from callboard.handle._parts import is_batch
from callboard.instruments import Handle, Instrument, Place
from callboard_brokers import Message

__all__ = ["JsonFormatter", "LogContext", "MessageFilter", "message_context"]

_FIELDS: Final = ("subscriber", "address", "message_id", "attempt")
_KNOWN: Final = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"})


class _Held:
    """The message in hand, as long as it is: a task that goes on after it finds none."""

    __slots__ = ("attempt", "message", "subscriber")

    def __init__(self, message: Message, subscriber: str) -> None:
        self.message: Message | None = message
        self.subscriber = subscriber
        self.attempt = message.attempt


_HELD: Final[ContextVar[_Held | None]] = ContextVar("callboard-log", default=None)


class LogContext(Instrument):
    """Lets lines of the log know of which message they are, and nothing of it when it is handled."""

    def around_handle(self, handle: Handle, place: Place, /) -> Handle:
        """Have at hand what is handled."""
        subscriber = place.subscriber or ""

        async def held(message: Message) -> object:
            holder = _Held(message, subscriber)
            _HELD.set(holder)
            try:
                return await handle(message)
            finally:
                holder.message = None

        return held


def message_context() -> dict[str, object]:
    """Return what there is to say of the message in hand; empty where there is none.

    The `subscriber`, the `address` and the `message_id` of the message, and which `attempt` it is;
    of a batch also how many `messages` it has.
    """
    held = _HELD.get()
    message = None if held is None else held.message
    if held is None or message is None:
        return {}
    said: dict[str, object] = {
        "subscriber": held.subscriber,
        "address": message.address,
        "message_id": message.message_id,
        "attempt": held.attempt,
    }
    if is_batch(message):
        said["messages"] = len(message.parts)
    return said


class MessageFilter(logging.Filter):
    """Gives every line `%(subscriber)s`, `%(address)s`, `%(message_id)s` and `%(attempt)s`.

    They are empty where no message is in hand. It keeps every line; put it at a handler.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add what is known."""
        for name, value in {**dict.fromkeys(_FIELDS, ""), **message_context()}.items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True


class JsonFormatter(logging.Formatter):
    """Makes of every line an object of JSON on one line.

    It has `time`, `level`, `logger` and `message`; what is known of the message in hand, and of the
    event that the line is about; what `extra=` gave; and `exception`, the traceback.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the object."""
        said: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **message_context(),
            **_extra(record),
        }
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            said["exception"] = record.exc_text
        if record.stack_info:
            said["stack"] = self.formatStack(record.stack_info)
        return json.dumps(said, default=_shown)


def _extra(record: logging.LogRecord) -> Mapping[str, object]:
    """Return what the record has beside what every one has; a field that is empty is none."""
    return {
        name: value
        for name, value in vars(record).items()
        if name not in _KNOWN and not (value in ("", None) and name in (*_FIELDS, "worker_id"))
    }


def _shown(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a line of the log must not fail for what it is given
        return f"<{type(value).__name__}>"
