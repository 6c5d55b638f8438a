"""What can go wrong between a program and a broker.

BrokerError
├── ConnectionLost       the broker went away, or cannot be reached
├── ConnectionClosed     a connection or subscription was used after it had been left
├── AccessRefused        the broker does not let us in, or not do this                (hopeless)
├── DestinationError     an address that cannot be used                               (hopeless)
│   └── Unroutable       at the moment: it is not there, or nobody receives from it
│       └── TopologyError     of what was to be there before anything begins
├── PublishFailed        the broker did not take a message
│   ├── BatchFailed      or some of several
│   └── Unpublishable    and never will: it holds what the broker cannot carry        (hopeless)
│       └── MessageTooLarge   or more than that
├── RequestTimeout       no reply in time
├── DeliveriesExhausted  a message was delivered as often as it may be; only in its dead letter
└── NotReceived          a message of one's own making was to be settled

An adapter translates its client's errors into these, at one place. What is hopeless is not tried
again, so an adapter says so only where it knows: the address or the message is malformed, or a
server has refused it. A server that is silent has refused nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar


class BrokerError(Exception):
    """The root of this package's errors."""

    hopeless: ClassVar[bool] = False
    """Whether doing the same again, later, is no use."""


class ConnectionLost(BrokerError):
    """The broker went away or cannot be reached; a connection mends that by itself."""


class ConnectionClosed(BrokerError):
    """A connection or subscription was used after its context had been left."""


class AccessRefused(BrokerError):
    """The broker does not let us in, or not do what we asked; trying again is no use."""

    hopeless = True


class DestinationError(BrokerError):
    """An address cannot be used."""

    hopeless = True


class Unroutable(DestinationError):
    """An address leads nowhere at the moment: it is not there, or nobody receives from it."""

    hopeless = False


class TopologyError(Unroutable):
    """Not everything is there that was to be, or not as it was; `missing` names it all."""

    def __init__(self, text: str, missing: Sequence[str]) -> None:
        super().__init__(text)
        self.missing = missing


class PublishFailed(BrokerError):
    """The broker did not take a message; it may be published again."""


class BatchFailed(PublishFailed):
    """The broker did not take some of a batch; `failures` says which, by number, and why."""

    def __init__(self, text: str, failures: Mapping[int, BrokerError]) -> None:
        super().__init__(text)
        self.failures = failures


class Unpublishable(PublishFailed):
    """A message holds what the broker cannot carry; trying again is no use."""

    hopeless = True


class MessageTooLarge(Unpublishable):
    """A message is beyond a limit of the broker or of its client."""


class RequestTimeout(BrokerError, TimeoutError):
    """No reply came in time; the request may have been handled all the same."""


class DeliveriesExhausted(BrokerError):
    """A message was delivered as often as it may be, and nobody is done with it."""


class NotReceived(BrokerError):
    """A message that was not received from a broker cannot be settled."""
