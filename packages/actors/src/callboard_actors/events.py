"""What actors, mailboxes and supervisors tell: a type for each thing that happens.

Every part takes a plain callable, so that whoever composes them decides where events go. A sink
tells them apart by type, or by their names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Literal, TypeAlias

from callboard_actors._parker import native

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
    "ignore",
    "now",
]

ExitKind: TypeAlias = Literal[
    "normal", "shutdown", "failed", "foreign_cancel", "killed", "unkillable", "gave_up"
]


def now() -> float:
    """Return `anyio.current_time()`; in a callback of an asyncio loop too, outside of any task."""
    return native().now()


class _Named:
    """What all events of a type share: no field of theirs."""

    # No ClassVar: what has one is not taken where a `name` is all that is asked for.
    name: str


@dataclass(frozen=True)
class Event(_Named):
    """Something that happened.

    Attributes:
        name: What, in dotted lower case, such as `actor.crashed`: what all of a type share.
        path: To whom: the ids from the root of the tree, joined by slashes.
        at: When, as `anyio.current_time()` tells it.
    """

    path: str
    at: float = field(default_factory=now, kw_only=True)

    @property
    def attributes(self) -> Mapping[str, object]:
        """The particulars by name, without those that are not known."""
        values = ((each.name, getattr(self, each.name)) for each in fields(self)[2:])
        return {name: value for name, value in values if value is not None}


Notify: TypeAlias = Callable[[Event], None]
"""Called synchronously where the event happens; must be quick and must not raise."""


def ignore(_event: Event) -> None:
    """Take notice of nothing: where nobody wants to be told."""


class ActorStarting(Event):
    """A child is started, for the first time or again."""

    name = "actor.starting"


class ActorStarted(Event):
    """A child is ready."""

    name = "actor.started"


class ActorStopping(Event):
    """A child is asked to stop."""

    name = "actor.stopping"


@dataclass(frozen=True)
class ActorEnded(Event):
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
class ActorRestarting(Event):
    """A child is to be started again.

    Attributes:
        attempt: Which restart in a row it is.
        delay: In how many seconds.
    """

    name = "actor.restarting"
    attempt: int
    delay: float


class SupervisorStarted(Event):
    """All children of a supervisor are ready."""

    name = "supervisor.started"


@dataclass(frozen=True)
class SupervisorShutDown(Event):
    """A supervisor stops, since a significant child has ended: *child*, by its id."""

    name = "supervisor.auto_shutdown"
    child: str


@dataclass(frozen=True)
class IntensityExceeded(Event):
    """There were more restarts than *intensity* in *period* seconds; *child* was the last one."""

    name = "supervisor.intensity_exceeded"
    child: str
    intensity: float
    period: float


@dataclass(frozen=True)
class SupervisorGaveUp(Event):
    """A supervisor gives up on *child*, and says for which *reason*."""

    name = "supervisor.gave_up"
    child: str
    reason: str


@dataclass(frozen=True)
class _Filling(Event):
    """Something happened to a mailbox: so many items, and bytes of them, are queued."""

    queued: int
    bytes: int


class MailboxFilled(_Filling):
    """A sender waits for room in a mailbox: how many items, and bytes of them, are queued."""

    name = "mailbox.high_water"


class MailboxRelieved(_Filling):
    """There is room again."""

    name = "mailbox.low_water"


@dataclass(frozen=True)
class MessageDropped(Event):
    """An item of a mailbox is given up; *reason* is its last crash, if there was one."""

    name = "message.dropped"
    reason: str


@dataclass(frozen=True)
class MessageExpired(Event):
    """A question was not handled, since nobody waits for the answer any more."""

    name = "message.expired"
    message: str


@dataclass(frozen=True)
class MessageQuarantined(Event):
    """A message has crashed its actor twice; *reason* is the second crash."""

    name = "message.quarantined"
    reason: str


@dataclass(frozen=True)
class MessageFailed(Event):
    """An actor goes on after an exception, which *error* describes."""

    name = "message.exception"
    error: str


@dataclass(frozen=True)
class DeadLetter(Event):
    """A message did not reach its actor, which has ended."""

    name = "deadletter"
    message: str
