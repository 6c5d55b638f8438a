"""Where to read, where to write, and what a broker in memory stores and tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from callboard_brokers._message import Message


@dataclass(frozen=True, slots=True)
class MemorySource:
    """An address to read, or a template of addresses: `logs.{level}` reads `logs.error`.

    Readers of one *group* share its messages, and the group keeps them while nobody reads.
    None is a group of one's own, which gets what is published from now on and ends with its
    subscription.
    """

    address: str
    group: str | None = field(default=None, kw_only=True)

    def prefixed(self, prefix: str, /) -> MemorySource:
        """Return it with *prefix* in front of the address."""
        return replace(self, address=prefix + self.address)


@dataclass(frozen=True)
class MemoryTarget:
    """An address to publish to; *key* replaces the message's own.

    *delay* holds a message back, in seconds; so does *at*, until then.
    If nobody reads there, the message is dropped; with *keep*, it is among the dead letters.
    """

    address: str
    key: str | bytes | None = field(default=None, kw_only=True)
    delay: float | timedelta | None = field(default=None, kw_only=True)
    at: datetime | None = field(default=None, kw_only=True)
    keep: bool = field(default=False, kw_only=True)

    def prefixed(self, prefix: str, /) -> MemoryTarget:
        """Return it with *prefix* in front of the address."""
        return replace(self, address=prefix + self.address)


class MemoryRecord:
    """A message in the queue of one group; `raw_message` of every message made from it."""

    __slots__ = ("address", "body", "deliveries", "key", "metadata", "sequence", "tombstone")
    delay: float | None = None
    """Seconds that the rules of a broker hold it back, where its target says nothing of that."""
    lasts: float | None = None
    """Seconds after which it is given up if nobody has taken it; None: it stays."""

    def __init__(
        self, published: Message, address: str, key: bytes | None, path: Mapping[str, str]
    ) -> None:
        self.body = published.body
        self.tombstone = published.tombstone
        self.address = address
        self.key = key
        self.deliveries = 0
        self.sequence = 0
        metadata = published.metadata
        self.metadata = metadata if metadata.path == path else metadata.but(path=path)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.sequence} to {self.address!r}, {len(self.body)} bytes>"
        )

    def message(self) -> Message:
        """Make a message as a reader gets it: one of its own for every delivery."""
        body = None if self.tombstone else self.body
        return Message.received(self, body, self.address, self.key, metadata=self.metadata)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that will not be delivered again, and why; *group* is None for a group of one."""

    message: Message[MemoryRecord]
    address: str
    group: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStats:
    """Counts since the broker was made, and how many messages it holds now.

    What is *published* counts once, what is held or settled once for each group that it went to;
    *unrouted* messages found none.
    """

    published: int
    unrouted: int
    redelivered: int
    dead_lettered: int
    stale: int
    settled_twice: int
    waiting: int
    delayed: int
    unsettled: int
