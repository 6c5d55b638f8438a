"""What actors, mailboxes and supervisors tell: a type for each thing that happens.

Every part takes a plain callable, so that whoever composes them decides where events go. A sink
tells them apart by type, or by the name that all of a type share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Literal, TypeAlias

import anyio

__all__ = [
    "ActorCrashed",
    "ActorEnded",
    "ActorRestarting",
    "ActorStarted",
    "ActorStarting",
    "ActorStopped",
    "ActorStopping",
    "ActorUnkillable",
    "DeadLetter",
    "Event",
    "ExitKind",
    "IntensityExceeded",
    "MailboxFilled",
    "MailboxRelieved",
    "MessageDropped",
    "MessageExpired",
    "MessageFailed",
    "MessageQuarantined",
    "Notify",
    "SupervisorGaveUp",
    "SupervisorShutDown",
    "SupervisorStarted",
    "Told",
    "ignore",
]

ExitKind: TypeAlias = Literal[
    "normal", "shutdown", "failed", "foreign_cancel", "killed", "unkillable", "gave_up"
]

_NOTHING: Mapping[str, object] = MappingProxyType({})


class Event:
    """Something that happened. What has no type of its own is told by its name.

    Attributes:
        name: What happened, in dotted lower case, such as `actor.crashed`.
        path: To whom: the ids from the root of the tree, joined by slashes.
        at: When, as `anyio.current_time()` tells it.
    """

    name: str
    path: str
    at: float

    def __init__(self, name: str, path: str, attributes: Mapping[str, object] = _NOTHING) -> None:
        self.name = name
        self.path = path
        self.at = anyio.current_time()
        self._attributes = attributes

    def __repr__(self) -> str:
        return f"Event({self.name!r}, {self.path!r}, {dict(self.attributes)!r})"

    @property
    def attributes(self) -> Mapping[str, object]:
        """The particulars by name: plain data."""
        return self._attributes


Notify: TypeAlias = Callable[[Event], None]
"""Called synchronously where the event happens; must be quick and must not raise."""


def ignore(_event: Event) -> None:
    """Take notice of nothing: where nobody wants to be told."""


@dataclass(frozen=True)
class Told(Event):
    """An event with a type of its own: what it has, beside a path and a time, are particulars."""

    path: str
    at: float = field(default_factory=anyio.current_time, kw_only=True)

    @property
    def attributes(self) -> Mapping[str, object]:
        """The particulars by name, without those that are not known."""
        values = ((each.name, getattr(self, each.name)) for each in fields(self)[2:])
        return {name: value for name, value in values if value is not None}


class ActorStarting(Told):
    """A child is started, for the first time or again."""

    name = "actor.starting"


class ActorStarted(Told):
    """A child is ready."""

    name = "actor.started"


class ActorStopping(Told):
    """A child is asked to stop."""

    name = "actor.stopping"


@dataclass(frozen=True)
class ActorEnded(Told):
    """A child has ended, or is given up.

    Attributes:
        reason: Why.
        error: The traceback, at most 8 KiB of it; empty if there was no exception.
        exc_type: The type of the exception.
        decision: What is done about it: `restart`, `stop` or `escalate`; None if the child did not
            end of its own accord.
    """

    reason: ExitKind
    error: str
    exc_type: str | None
    decision: str | None


class ActorStopped(ActorEnded):
    """A child has ended as it may."""

    name = "actor.stopped"


class ActorCrashed(ActorEnded):
    """A child has ended by an exception."""

    name = "actor.crashed"


class ActorUnkillable(ActorEnded):
    """A child lives on although it was cancelled."""

    name = "actor.unkillable"


@dataclass(frozen=True)
class ActorRestarting(Told):
    """A child is to be started again.

    Attributes:
        attempt: Which restart in a row it is.
        delay: In how many seconds.
    """

    name = "actor.restarting"
    attempt: int
    delay: float


class SupervisorStarted(Told):
    """All children of a supervisor are ready."""

    name = "supervisor.started"


@dataclass(frozen=True)
class SupervisorShutDown(Told):
    """A supervisor stops, since a significant child has ended: *child*, by its id."""

    name = "supervisor.auto_shutdown"
    child: str


@dataclass(frozen=True)
class IntensityExceeded(Told):
    """There were more restarts than *intensity* in *period* seconds; *child* was the last one."""

    name = "supervisor.intensity_exceeded"
    child: str
    intensity: float
    period: float


@dataclass(frozen=True)
class SupervisorGaveUp(Told):
    """A supervisor gives up on *child*, and says for which *reason*."""

    name = "supervisor.gave_up"
    child: str
    reason: str


@dataclass(frozen=True)
class MailboxFilled(Told):
    """A sender waits for room in a mailbox: how many items, and bytes of them, are queued."""

    name = "mailbox.high_water"
    queued: int
    bytes: int


class MailboxRelieved(MailboxFilled):
    """There is room again."""

    name = "mailbox.low_water"


@dataclass(frozen=True)
class MessageDropped(Told):
    """An item of a mailbox is given up; *reason* is its last crash, if there was one."""

    name = "message.dropped"
    reason: str


@dataclass(frozen=True)
class MessageExpired(Told):
    """A question was not handled, since nobody waits for the answer any more."""

    name = "message.expired"
    message: str


@dataclass(frozen=True)
class MessageQuarantined(Told):
    """A message has crashed its actor twice; *reason* is the second crash."""

    name = "message.quarantined"
    reason: str


@dataclass(frozen=True)
class MessageFailed(Told):
    """An actor goes on after an exception, which *error* describes."""

    name = "message.exception"
    error: str


@dataclass(frozen=True)
class DeadLetter(Told):
    """A message did not reach its actor, which has ended."""

    name = "deadletter"
    message: str
