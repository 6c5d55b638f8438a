"""The client's errors become ours here, and nowhere else."""

from __future__ import annotations

from typing import Final

from callboard_brokers._errors import (
    AccessRefused,
    ConnectionClosed,
    ConnectionLost,
    DestinationError,
    Unpublishable,
    Unroutable,
)
from callboard_brokers.kafka._client import errors
from callboard_brokers.kit import Kind, Translation

CLIENT_ERRORS: Final[tuple[type[Exception], ...]] = (
    errors.KafkaError,
    errors.ConsumerStoppedError,
    errors.IllegalOperation,
)
CONTENTS: Final[tuple[type[Exception], ...]] = (
    errors.for_code(87),  # INVALID_RECORD
    errors.InvalidTimestampError,
    errors.UnsupportedForMessageFormatError,
    errors.MessageSizeTooLargeError,
)
"""What Kafka says of a record, or of one in its batch, or of all of it, that it will never take."""


def is_passing(error: Exception) -> bool:
    """Whether trying again may help."""
    return bool(getattr(error, "retriable", False))


_translation: Final = Translation(
    CLIENT_ERRORS,
    [
        Kind((errors.UnknownTopicOrPartitionError,), Unroutable),
        Kind(
            CONTENTS,
            Unpublishable,
            "the topic does not take what it holds; a compacted one, none without a key",
        ),
        Kind((errors.InvalidTopicError, errors.TopicAuthorizationFailedError), DestinationError),
        Kind((errors.GroupAuthorizationFailedError,), AccessRefused),
        Kind((errors.ProducerClosed, errors.ConsumerStoppedError), ConnectionClosed),
        Kind((errors.KafkaTimeoutError,), ConnectionLost),
        Kind(
            (errors.OffsetOutOfRangeError, errors.NoOffsetForPartitionError),
            advice="the log has no such position: say where to begin, by"
            ' auto_offset_reset="earliest"',
        ),
    ],
    is_passing,
)
translated: Final = _translation.of
translating: Final = _translation.translating
