"""The client's errors become ours here, and nowhere else."""

from __future__ import annotations

from typing import Final

from callboard_brokers._errors import (
    BrokerError,
    ConnectionClosed,
    ConnectionLost,
    DestinationError,
    Unroutable,
)
from callboard_brokers.kafka._client import errors

__all__ = ["CLIENT_ERRORS", "brief", "is_passing", "translated"]

CLIENT_ERRORS: Final[tuple[type[Exception], ...]] = (
    errors.KafkaError,
    errors.ConsumerStoppedError,
    errors.IllegalOperation,
)
_KINDS: Final = (
    ((errors.UnknownTopicOrPartitionError,), Unroutable),
    ((errors.InvalidTopicError, errors.TopicAuthorizationFailedError), DestinationError),
    ((errors.ProducerClosed, errors.ConsumerStoppedError), ConnectionClosed),
    ((errors.KafkaTimeoutError,), ConnectionLost),
)


def is_passing(error: Exception) -> bool:
    """Whether trying again may help."""
    return bool(getattr(error, "retriable", False))


def brief(error: BaseException) -> str:
    """Return *error* in one line."""
    name, text = type(error).__name__, str(error)
    return text if name in text else f"{name}: {text}".rstrip(": ")


def translated(
    error: Exception, doing: str, otherwise: type[BrokerError] | None = None
) -> BrokerError:
    """Return our error for the client's *error* while *doing*; *otherwise* if there is no closer."""
    text = f"{doing}: {brief(error)}"
    if isinstance(error, errors.OffsetOutOfRangeError | errors.NoOffsetForPartitionError):
        text += (
            '; the log has no such position: say where to begin, by auto_offset_reset="earliest"'
        )
    for kinds, ours in _KINDS:
        if isinstance(error, kinds):
            return ours(text)
    passing = ConnectionLost if is_passing(error) else BrokerError
    return (otherwise or passing)(text)
