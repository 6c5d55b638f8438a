"""What can go wrong between a program and a broker.

BrokerError
├── ConnectionLost       the broker went away, or cannot be reached
├── ConnectionClosed     a connection or subscription was used after it had been left
├── DestinationError     an address that cannot be used, or from which nobody receives
├── PublishFailed        the broker did not take a message
│   ├── BatchFailed      or some of several
│   └── MessageTooLarge  and never will: it is beyond a limit
├── RequestTimeout       no reply in time
└── NotReceived          a message of one's own making was to be settled

An adapter translates its client's errors into these, at one place.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "BatchFailed",
    "BrokerError",
    "ConnectionClosed",
    "ConnectionLost",
    "DestinationError",
    "MessageTooLarge",
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


class BatchFailed(PublishFailed):
    """The broker did not take some of a batch; `failures` says which, by number, and why."""

    def __init__(self, text: str, failures: Mapping[int, BrokerError]) -> None:
        super().__init__(text)
        self.failures = failures


class MessageTooLarge(PublishFailed):
    """A message is beyond a limit of the broker or of its client; trying again is no use."""


class RequestTimeout(BrokerError):
    """No reply came in time; the request may have been handled all the same."""


class NotReceived(BrokerError):
    """A message that was not received from a broker cannot be settled."""
