"""When a message is settled, and how: a pure decision."""

from __future__ import annotations

from enum import Enum

from callboard._errors import (
    AckMessage,
    NackMessage,
    RejectMessage,
    SkipMessage,
    StopApplication,
    StopConsume,
    Suppressed,
)
from callboard_brokers import Settlement
from callboard_di import MissingValue
from callboard_validation import DecodeError, explained


class AckPolicy(Enum):
    """What becomes of a message once its handler has ended, or before it has begun."""

    ACK_FIRST = "ack_first"
    """Acknowledge before the handler runs: at most once."""
    ACK = "ack"
    """Acknowledge, also when the handler failed."""
    REJECT_ON_ERROR = "reject_on_error"
    """Acknowledge; a failed message is rejected, hence dead-lettered. The default."""
    NACK_ON_ERROR = "nack_on_error"
    """Acknowledge; a failed message is delivered again, after a back-off.

    One that is not valid (its body, or a header that is asked for) is rejected: no other time
    will be better."""
    MANUAL = "manual"
    """Leave it to the handler: `await message.ack()`."""


_ON_ERROR = {
    AckPolicy.ACK_FIRST: Settlement.ACK,
    AckPolicy.ACK: Settlement.ACK,
    AckPolicy.REJECT_ON_ERROR: Settlement.REJECT,
    AckPolicy.NACK_ON_ERROR: Settlement.NACK,
    AckPolicy.MANUAL: None,
}
_ON_REQUEST: dict[type[Exception], Settlement | None] = {
    AckMessage: Settlement.ACK,
    NackMessage: Settlement.NACK,
    RejectMessage: Settlement.REJECT,
    SkipMessage: None,
    StopConsume: Settlement.ACK,
    StopApplication: Settlement.ACK,
}


def settlement_of(policy: AckPolicy, error: Exception | None) -> Settlement | None:
    """Say how to settle a message whose handler ended with *error*, or well (None).

    None means: not at all, the message stays with whoever holds it.
    """
    if error is None:
        return None if policy is AckPolicy.MANUAL else Settlement.ACK
    if isinstance(error, Suppressed):
        return settlement_of(policy, error.failure)
    for kind, settlement in _ON_REQUEST.items():
        if isinstance(error, kind):
            return settlement
    if policy is AckPolicy.NACK_ON_ERROR and is_invalid(error):
        return Settlement.REJECT
    return _ON_ERROR[policy]


def is_invalid(error: Exception) -> bool:
    """Whether the message itself is at fault, its body, a header or its path."""
    lacks = isinstance(error, MissingValue) and error.path[0] == "message"
    return lacks or isinstance(error, DecodeError) or explained(error) is not None
