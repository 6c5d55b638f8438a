"""What a broker tells on `Broker.events`: a type for each thing that happens.

Those of its adapter and of the actors that it is made of are told there too, and are here under
their own names. Nothing is told of a message that goes well: that is
for `callboard.instruments`.

What an event says may come from outside, be long, and hold what a terminal obeys: whoever writes
it anywhere escapes it, as the log does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from callboard_actors import events as actors
from callboard_actors.events import (
    ActorCrashed,
    ActorEnded,
    ActorRestarting,
    ActorStarted,
    ActorStarting,
    ActorStopped,
    ActorStopping,
    ActorUnkillable,
    IntensityExceeded,
    MailboxFilled,
    MailboxRelieved,
    MessageDropped,
    SupervisorGaveUp,
    SupervisorShutDown,
    SupervisorStarted,
)
from callboard_brokers import BatchMessage, Message, Settlement
from callboard_brokers.events import (
    FetchFailed,
    MessageDeadLettered,
    MessageGivenUp,
    MessagesDropped,
    MessagesTrimmed,
    MessageUnrouted,
    PartitionHeld,
    PartitionsAssigned,
    PartitionsLost,
    PartitionsRevoked,
    PartitionsRevoking,
    PublicationFailed,
    ServerBlocked,
    ServerFound,
    ServerLost,
    ServerUnblocked,
    SettledLate,
    SettledTwice,
    SettlementsFailed,
)

from ._errors import words

__all__ = [
    "ActorCrashed",
    "ActorEnded",
    "ActorRestarting",
    "ActorStarted",
    "ActorStarting",
    "ActorStopped",
    "ActorStopping",
    "ActorUnkillable",
    "AnswerWithheld",
    "BreakerClosed",
    "BreakerHalfOpened",
    "BreakerOpened",
    "DeadLetterImpossible",
    "DeadLetterLate",
    "Event",
    "FailureHandled",
    "FetchFailed",
    "HandlerDecided",
    "HandlerFailed",
    "HandlerSlow",
    "InstrumentFailed",
    "IntensityExceeded",
    "LoopLagged",
    "MailboxFilled",
    "MailboxRelieved",
    "MessageDeadLettered",
    "MessageDropped",
    "MessageEnded",
    "MessageFailed",
    "MessageGivenUp",
    "MessageHalted",
    "MessageHeld",
    "MessageQuarantined",
    "MessageRetried",
    "MessageUnordered",
    "MessageUnrouted",
    "MessagesDropped",
    "MessagesTrimmed",
    "NoDeadLetters",
    "Notify",
    "OutboxHeldUp",
    "OutboxMessageRefused",
    "OutboxResumed",
    "OutputsFailed",
    "OutputsLost",
    "PartitionHeld",
    "PartitionsAssigned",
    "PartitionsLost",
    "PartitionsRevoked",
    "PartitionsRevoking",
    "PublicationFailed",
    "RetriesPlanned",
    "ScheduleFailed",
    "ServerBlocked",
    "ServerFound",
    "ServerLost",
    "ServerUnblocked",
    "SettledLate",
    "SettledTwice",
    "SettlementsFailed",
    "SubscriptionDown",
    "SubscriptionUp",
    "SupervisorGaveUp",
    "SupervisorShutDown",
    "SupervisorStarted",
    "ThreadEnded",
    "ThreadLeft",
    "ThreadsExhausted",
]


class Event(Protocol):
    """Something that happened; each type has particulars of its own."""

    @property
    def name(self) -> str:
        """What happened, in dotted lower case: what all events of a type share."""
        ...

    @property
    def path(self) -> str:
        """To whom: the ids from the root of the tree, joined by slashes, or a subscriber's name."""
        ...

    @property
    def at(self) -> float:
        """When, as `anyio.current_time()` tells it."""
        ...

    @property
    def attributes(self) -> Mapping[str, object]:
        """The particulars by name, as plain data."""
        ...


Notify: TypeAlias = Callable[[Event], None]
"""Called synchronously where the event happens; must be quick."""


@dataclass(frozen=True)
class MessageFailed(actors.Event):
    """Something went wrong with a message, or with several that were handled at once.

    Attributes:
        address: Where it came from.
        message_id: Its id, or that of the first.
        count: How many there are.
        error: What was raised; among the `attributes` it is a text.
    """

    address: str
    message_id: str | None
    count: int

    error: Exception

    @property
    def message(self) -> str:
        """The message, in words."""
        return described(self.address, self.message_id, self.count)

    @property
    def attributes(self) -> Mapping[str, object]:
        """The particulars by name, as plain data."""
        said = f"{type(self.error).__name__}: {words(self.error)}"
        return {**super().attributes, "message": self.message, "error": said}


def about(message: Message) -> tuple[str, str | None, int]:
    """Return what a `MessageFailed` says of *message*, before the error."""
    count = 1
    if isinstance(message, BatchMessage):
        count = len(message.parts)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - isinstance can't say of what
    return message.address, message.message_id, count


def described(address: str, message_id: str | None, count: int) -> str:
    """Return in words what `about` has said of a message."""
    id_ = message_id or "(no id)"
    if count > 1:
        return f"{count} messages of {address!r}, the first {id_}"
    return f"message {id_} of {address!r}"


@dataclass(frozen=True)
class MessageEnded(MessageFailed):
    """It is known what becomes of a message: *settlement*; None leaves it unsettled."""

    settlement: Settlement | None

    @property
    def attributes(self) -> Mapping[str, object]:
        """The particulars by name, as plain data."""
        settlement = None if self.settlement is None else self.settlement.value
        return {**super().attributes, "settlement": settlement}


class HandlerFailed(MessageEnded):
    """A handler has failed, or what comes before it."""

    name = "message.exception"


class MessageHalted(HandlerFailed):
    """A handler has failed too often: its message stays, and its key waits, until a new start."""

    name = "message.halted"


class MessageHeld(MessageEnded):
    """A handler has failed where something may be away: its message stays, and is tried again."""

    name = "message.held"


@dataclass(frozen=True)
class MessageRetried(MessageEnded):
    """A handler has failed, and its message comes again: it was try *attempt*, the next in *delay* s."""

    name = "message.retried"
    attempt: int
    delay: float

    @property
    def attributes(self) -> Mapping[str, object]:
        """The particulars by name, as plain data."""
        return {**super().attributes, "attempt": self.attempt, "delay": self.delay}


class FailureHandled(MessageEnded):
    """A handler has failed, and a middleware has seen to it."""

    name = "message.exception_handled"


class HandlerDecided(MessageEnded):
    """A handler has raised on purpose what becomes of its message, `RejectMessage` for instance."""

    name = "message.decided"


class OutputsFailed(MessageEnded):
    """What a handler returned can't be published, so that its message is not done."""

    name = "message.unpublished"


class OutputsLost(MessageFailed):
    """What a handler returned can't be published, and its message was settled before."""

    name = "message.outputs_lost"


class MessageQuarantined(MessageFailed):
    """A message has crashed its actor twice, and is not tried again."""

    name = "message.quarantined"


class MessageUnordered(MessageFailed):
    """`ordered_by=` has failed for a message, which is handled in no particular order."""

    name = "message.unordered"


class DeadLetterLate(MessageFailed):
    """A dead letter is not out yet; it is tried again."""

    name = "dead_letter.late"


class DeadLetterImpossible(MessageFailed):
    """There will be no dead letter of a message, which is rejected without one."""

    name = "dead_letter.impossible"


class InstrumentFailed(MessageFailed):
    """What an instrument does when it is told of an outcome has failed; nothing else has."""

    name = "instrument.failed"


@dataclass(frozen=True)
class RetriesPlanned(actors.Event):
    """How often a subscriber handles a message at most; told when it starts."""

    name = "subscription.retries"
    total: int


@dataclass(frozen=True)
class NoDeadLetters(actors.Event):
    """What these *subscribers* of a broker reject is kept nowhere; told when they start."""

    name = "subscription.without_dead_letters"
    subscribers: Sequence[str]

    @property
    def attributes(self) -> Mapping[str, object]:
        """The particulars by name, as plain data."""
        return {"subscribers": ", ".join(self.subscribers)}


@dataclass(frozen=True)
class AnswerWithheld(actors.Event):
    """Whoever has asked gets no answer at *address*, for that *reason*."""

    name = "answer.withheld"
    address: str
    reason: str


@dataclass(frozen=True)
class SubscriptionDown(actors.Event):
    """A subscription has given up; its siblings go on.

    Attributes:
        attempt: For which time in a row.
        delay: In how many seconds it is tried again.
        error: What it ended with, in a line.
    """

    name = "subscription.down"
    attempt: int
    delay: float
    error: str


class SubscriptionUp(actors.Event):
    """A subscription that was down is up again."""

    name = "subscription.up"


@dataclass(frozen=True)
class BreakerOpened(actors.Event):
    """A subscriber takes and begins nothing, for what its handlers need is away.

    Attributes:
        failed: How many of the calls before have failed.
        calls: How many these were; 0 where a probe has failed.
        pause: In how many seconds one message is tried.
        error: The last failure, in a line.
    """

    name = "breaker.opened"
    failed: int
    calls: int
    pause: float
    error: str


class BreakerHalfOpened(actors.Event):
    """A subscriber tries a few messages, to find whether what was away is there again."""

    name = "breaker.half_opened"


@dataclass(frozen=True)
class BreakerClosed(actors.Event):
    """A subscriber goes on, after *seconds*."""

    name = "breaker.closed"
    seconds: float


@dataclass(frozen=True)
class ScheduleFailed(actors.Event):
    """What was to be done at *due* has failed with *error*; it is done again the next time."""

    name = "schedule.failed"
    due: str
    error: Exception


@dataclass(frozen=True)
class OutboxHeldUp(actors.Event):
    """A relay sends nothing, or not all, until it can: its broker or its database is away."""

    name = "outbox.held_up"
    error: str


class OutboxResumed(actors.Event):
    """A relay that was held up sends all again."""

    name = "outbox.resumed"


@dataclass(frozen=True)
class OutboxMessageRefused(actors.Event):
    """A message of an outbox never can be sent, and is set aside in its table.

    Attributes:
        number: Its id there.
        address: Where it was to go.
        error: Why.
    """

    name = "outbox.message_refused"
    number: int
    address: str
    error: str


@dataclass(frozen=True)
class HandlerSlow(actors.Event):
    """A worker is busy with *message* for more than *threshold* seconds; told once of each."""

    name = "handler.slow"
    threshold: float
    message: str


@dataclass(frozen=True)
class ThreadLeft(actors.Event):
    """A handler has timed out, and its thread goes on; what it does there does not count.

    Attributes:
        message: What it was called with, in words.
        busy: How many such threads the subscriber has now.
    """

    name = "handler.left"
    message: str
    busy: int


@dataclass(frozen=True)
class ThreadEnded(actors.Event):
    """A thread has ended that was left behind; *busy* others have not."""

    name = "handler.ended"
    busy: int


@dataclass(frozen=True)
class ThreadsExhausted(actors.Event):
    """So many threads are left behind that the subscriber handles nothing until one ends."""

    name = "handler.threads_exhausted"
    busy: int


@dataclass(frozen=True)
class LoopLagged(actors.Event):
    """Somebody has kept the event loop for so many *seconds*, in the line of code at *where*."""

    name = "loop.lag"
    seconds: float
    where: str
