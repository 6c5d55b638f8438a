"""The ways in which a message can be settled, and what can be settled."""

from __future__ import annotations

from enum import Enum
from typing import Protocol


class Settlement(Enum):
    """What a broker is told about a message, once."""

    ACK = "ack"
    """Handled."""
    NACK = "nack"
    """Failed: deliver it again, after a delay."""
    REJECT = "reject"
    """Never deliver it again: to the dead letters with it."""
    RELEASE = "release"
    """Given back unhandled: deliver it again, to whom you like, and do not count this time."""


class AckStatus(Enum):
    """How a message has been settled, as one may look at it."""

    ACKED = "acked"
    NACKED = "nacked"
    REJECTED = "rejected"


class SourceType(Enum):
    """Why a message has come."""

    CONSUME = "consume"
    """It was subscribed to."""
    RESPONSE = "response"
    """It was asked for."""


class Settles(Protocol):
    """What a message is settled through."""

    settlement: Settlement | None
    """The settlement that has been accepted."""
    deliveries: int | None
    """How often the message was delivered; None: nobody counts."""

    @property
    def settled(self) -> bool:
        """Whether a settlement has been accepted."""
        ...

    def settle(self, settlement: Settlement, delay: float | None = None) -> bool:
        """Accept *settlement* unless there is one; return whether it was the first."""
        ...
