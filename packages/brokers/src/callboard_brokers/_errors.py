"""What can go wrong between a program and a broker.

BrokerError
├── ConnectionLost       the broker went away, or cannot be reached
├── ConnectionClosed     a connection or subscription was used after it had been left
├── DestinationError     an address that cannot be used, or from which nobody receives
├── PublishFailed        the broker did not take a message
├── RequestTimeout       no reply in time
└── NotReceived          a message of one's own making was to be settled

An adapter translates its client's errors into these, at one place.
"""

from __future__ import annotations

__all__ = [
    "BrokerError",
    "ConnectionClosed",
    "ConnectionLost",
    "DestinationError",
    "NotReceived",
    "PublishFailed",
    "RequestTimeout",
]


class BrokerError(Exception):
    """The root of this package's errors."""


class ConnectionLost(BrokerError):
    """The broker went away or cannot be reached; a connection mends that by itself."""


class ConnectionClosed(BrokerError):
    """A connection or subscription was used after its context had been left."""


class DestinationError(BrokerError):
    """An address cannot be used, or nobody receives from it."""


class PublishFailed(BrokerError):
    """The broker did not take a message; it may be published again."""


class RequestTimeout(BrokerError):
    """No reply came in time; the request may have been handled all the same."""


class NotReceived(BrokerError):
    """A message that was not received from a broker cannot be settled."""
