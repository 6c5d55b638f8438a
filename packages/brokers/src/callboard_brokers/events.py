"""What adapters tell: a type for each thing that happens.

An adapter takes a plain callable, so that whoever composes it decides where events go. Nothing is
told of a message that goes well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TypeAlias

__all__ = [
    "Event",
    "FetchFailed",
    "MessageDeadLettered",
    "MessageGivenUp",
    "MessageUnrouted",
    "MessagesDropped",
    "MessagesTrimmed",
    "Notify",
    "PartitionHeld",
    "PartitionsAssigned",
    "PartitionsLost",
    "PartitionsRevoked",
    "PartitionsRevoking",
    "PublicationFailed",
    "ServerBlocked",
    "ServerFound",
    "ServerLost",
    "ServerUnblocked",
    "SettledLate",
    "SettledTwice",
    "SettlementsFailed",
]


class _Named:
    """What all events of a type share: no field of theirs."""

    # No ClassVar: what has one is not taken where a `name` is all that is asked for.
    name: str


@dataclass(frozen=True)
class Event(_Named):
    """Something that happened.

    Attributes:
        name: What, in dotted lower case, such as `connection.lost`: what all of a type share.
        address: Where: of a server, or of messages.
        path: To whom; whoever composes the adapter knows, and says so: it is empty until then.
        at: When, as `anyio.current_time()` tells it; said with the path, 0 until then.
    """

    address: str
    path: str = field(default="", kw_only=True)
    at: float = field(default=0.0, kw_only=True)

    @property
    def attributes(self) -> Mapping[str, object]:
        """The particulars by name, without those that are not known."""
        names = [each.name for each in fields(self) if each.name not in {"path", "at"}]
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}


Notify: TypeAlias = Callable[[Event], None]
"""Called synchronously where the event happens; must be quick and must not raise."""


@dataclass(frozen=True)
class ServerLost(Event):
    """The server can't be reached; it is tried again until it can. *error* says why."""

    name = "connection.lost"
    error: str


class ServerFound(Event):
    """The server that was lost is there again."""

    name = "connection.restored"


@dataclass(frozen=True)
class ServerBlocked(Event):
    """The server takes nothing that is published until it has room again, or is lost; *reason* says why."""

    name = "connection.blocked"
    reason: str


class ServerUnblocked(Event):
    """The server takes what is published again."""

    name = "connection.unblocked"


@dataclass(frozen=True)
class SettledLate(Event):
    """A settlement does nothing: the message is somebody else's by now, and is handled twice."""

    name = "settle.stale"
    partition: int | None = None


@dataclass(frozen=True)
class SettledTwice(Event):
    """A settlement does nothing: there was one before."""

    name = "settle.double"
    partition: int | None = None


@dataclass(frozen=True)
class SettlementsFailed(Event):
    """Settlements could not be sent, and are sent again; *group* is whose they are."""

    name = "settle.failed"
    group: str | None
    error: str


@dataclass(frozen=True)
class PublicationFailed(Event):
    """A message has not arrived, and nobody waits to hear it."""

    name = "publish.failed"
    error: str


class MessageUnrouted(Event):
    """A message is dropped: nobody reads its address."""

    name = "deadletter"


@dataclass(frozen=True)
class MessagesDropped(Event):
    """So many messages are gone: more came than may wait here, and nobody can be asked to wait."""

    name = "messages.dropped"
    dropped: int


@dataclass(frozen=True)
class MessagesTrimmed(Event):
    """So many messages were taken out of a stream while *group* had them in hand; they are gone."""

    name = "messages.trimmed"
    group: str | None
    trimmed: int


@dataclass(frozen=True)
class MessageDeadLettered(Event):
    """A message is put to the broker's own dead letters."""

    name = "message.dead_lettered"
    group: str | None
    reason: str


@dataclass(frozen=True)
class MessageGivenUp(Event):
    """A message was delivered so many times, to be delivered no more, and nobody is done with it.

    Attributes:
        position: Where it stands, for those who look for it.
    """

    name = "message.given_up"
    group: str | None
    position: int
    deliveries: int


@dataclass(frozen=True)
class FetchFailed(Event):
    """Messages could not be fetched; that is tried again."""

    name = "fetch.failed"
    group: str | None
    error: str


@dataclass(frozen=True)
class _Partitions(Event):
    """Something happened to *partitions*, each a topic and a number, of a member of *group*."""

    group: str | None
    partitions: Sequence[tuple[str, int]]


class PartitionsAssigned(_Partitions):
    """A member of *group* reads these partitions from now on, each a topic and a number."""

    name = "partitions.assigned"


@dataclass(frozen=True)
class PartitionsRevoking(_Partitions):
    """A member is to give up partitions, once what is *in_hand* is finished."""

    name = "partitions.revoking"
    in_hand: int


@dataclass(frozen=True)
class PartitionsRevoked(_Partitions):
    """A member has given up partitions; *unfinished* messages are handled again by others."""

    name = "partitions.revoked"
    unfinished: int


@dataclass(frozen=True)
class PartitionsLost(Event):
    """The group has gone on without this member; *unfinished* messages are handled again."""

    name = "partitions.lost"
    group: str | None
    error: str
    unfinished: int


@dataclass(frozen=True)
class PartitionHeld(Event):
    """Nothing more is read of a partition until the message at *position* is settled.

    Attributes:
        span: How many messages have been read from there on.
    """

    name = "partition.held"
    partition: int
    position: int | None
    span: int
