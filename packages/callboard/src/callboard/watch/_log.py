"""What the log says: a level and a line for each type of event, and nothing anywhere else."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from logging import CRITICAL, DEBUG, ERROR, INFO, WARNING
from math import inf
from typing import Final

from callboard import events as told
from callboard.events import Event
from callboard.watch._printable import text_of
from callboard.watch._say import fitted, write
from callboard_actors import ActorCrash
from callboard_actors import events as actors
from callboard_brokers import Settlement
from callboard_di import MissingValue
from callboard_validation import CodecError, explained

LINES: Final[Mapping[type[object], tuple[int, str]]] = {
    told.ActorStarting: (DEBUG, "%(path)s starts"),
    told.ActorStarted: (DEBUG, "%(path)s is up"),
    told.ActorStopping: (DEBUG, "%(path)s is asked to stop"),
    told.ActorStopped: (DEBUG, "%(path)s has ended: %(reason)s"),
    told.ActorCrashed: (ERROR, "%(path)s crashed"),
    told.ActorRestarting: (WARNING, "%(path)s starts again in %(delay).1f s, try %(attempt)d"),
    told.ActorUnkillable: (CRITICAL, "%(path)s was cancelled, but lives on"),
    told.SupervisorStarted: (DEBUG, "all is up below %(path)s"),
    told.SupervisorShutDown: (DEBUG, "%(path)s stops, since %(child)s has ended"),
    told.IntensityExceeded: (
        DEBUG,
        "%(child)s of %(path)s: more than %(intensity)g restarts within %(period)g s",
    ),
    told.SupervisorGaveUp: (ERROR, "%(path)s gives up on %(child)s: %(reason)s"),
    told.MailboxFilled: (DEBUG, "the mailbox of %(path)s is full: %(queued)d, %(bytes)d bytes"),
    told.MailboxRelieved: (DEBUG, "the mailbox of %(path)s has room again"),
    told.MessageDropped: (WARNING, "%(path)s gives up a message: %(reason)s"),
    actors.MessageExpired: (DEBUG, "nobody waits for the answer of %(path)s to %(message)s"),
    actors.MessageQuarantined: (ERROR, "%(path)s crashed twice on a message: %(reason)s"),
    actors.MessageFailed: (ERROR, "%(path)s failed on a message: %(error)s"),
    actors.DeadLetter: (DEBUG, "%(path)s has ended, and did not get %(message)s"),
    told.ServerLost: (
        WARNING,
        "%(path)s can't reach %(address)s, and tries again until it can: %(error)s",
    ),
    told.ServerFound: (INFO, "%(path)s has reached %(address)s again"),
    told.ServerBlocked: (WARNING, "%(path)s can't publish: %(address)s has no room: %(reason)s"),
    told.ServerUnblocked: (INFO, "%(path)s publishes again: %(address)s has room"),
    told.SettledLate: (DEBUG, "%(path)s: a message of %(address)s is handled twice"),
    told.SettledTwice: (DEBUG, "%(path)s: a message of %(address)s was settled before"),
    told.SettlementsFailed: (
        WARNING,
        "%(path)s tries again to settle messages of %(address)s: %(error)s",
    ),
    told.PublicationFailed: (ERROR, "%(path)s could not publish to %(address)s: %(error)s"),
    told.MessageUnrouted: (DEBUG, "%(path)s drops a message to %(address)s: nobody reads it"),
    told.MessagesDropped: (
        WARNING,
        "%(path)s has dropped %(dropped)d messages of %(address)s: more came than may wait",
    ),
    told.MessagesTrimmed: (
        WARNING,
        "%(path)s: %(trimmed)d messages of %(address)s were taken out of the stream before they were handled",
    ),
    told.MessageDeadLettered: (DEBUG, "%(path)s keeps a message of %(address)s: %(reason)s"),
    told.MessageGivenUp: (
        ERROR,
        (
            "%(path)s: message %(position)d of %(address)s is not delivered any more, after"
            " %(deliveries)d times"
        ),
    ),
    told.FetchFailed: (DEBUG, "%(path)s tries again to read %(address)s: %(error)s"),
    told.PartitionsAssigned: (DEBUG, "%(path)s has partitions of %(address)s: %(partitions)s"),
    told.PartitionsRevoking: (
        DEBUG,
        "%(path)s is to give up partitions of %(address)s, %(in_hand)d in hand: %(partitions)s",
    ),
    told.PartitionsRevoked: (
        DEBUG,
        "%(path)s gave up partitions of %(address)s, %(unfinished)d unfinished: %(partitions)s",
    ),
    told.PartitionsLost: (WARNING, "%(path)s has lost partitions of %(address)s: %(error)s"),
    told.PartitionHeld: (
        WARNING,
        (
            "%(path)s reads no further in %(address)s, partition %(partition)d, until %(position)s is"
            " settled"
        ),
    ),
    told.HandlerFailed: (ERROR, "%(path)s failed on %(message)s; %(then)s: %(error)s"),
    told.MessageRetried: (
        WARNING,
        "%(path)s failed on %(message)s, try %(attempt)d; again in %(delay).1f s: %(error)s",
    ),
    told.MessageHalted: (
        CRITICAL,
        (
            "%(path)s failed too often on %(message)s, which stays where it is, and its key waits,"
            " until the subscriber starts anew: %(error)s"
        ),
    ),
    told.MessageHeld: (
        WARNING,
        "%(path)s failed on %(message)s, which stays until it is clear why: %(error)s",
    ),
    told.BreakerOpened: (
        ERROR,
        (
            "%(path)s takes nothing for %(pause).1f s, then tries one message: %(failed)d of"
            " %(calls)d calls have failed: %(error)s"
        ),
    ),
    told.BreakerHalfOpened: (INFO, "%(path)s tries whether it can go on"),
    told.BreakerClosed: (INFO, "%(path)s goes on, after %(seconds).1f s"),
    told.RetriesPlanned: (INFO, "%(path)s handles a message up to %(total)d times"),
    told.FailureHandled: (
        WARNING,
        "%(path)s failed on %(message)s, which a middleware has seen to; %(then)s: %(error)s",
    ),
    told.HandlerDecided: (DEBUG, "%(path)s has decided about %(message)s: %(error)s"),
    told.MessageQuarantined: (ERROR, "%(path)s crashed twice on %(message)s; it is quarantined"),
    told.MessageUnordered: (
        ERROR,
        (
            "ordered_by= of %(path)s fails for %(message)s, which is handled in no particular order:"
            " %(error)s"
        ),
    ),
    told.OutputsFailed: (
        ERROR,
        "the outputs of %(message)s can't be published; %(then)s: %(error)s",
    ),
    told.OutputsLost: (
        ERROR,
        (
            "the outputs of %(message)s can't be published; it is settled already, so that they are"
            " lost: %(error)s"
        ),
    ),
    told.DeadLetterLate: (
        ERROR,
        "the dead letter of %(message)s can't be published; trying again: %(error)s",
    ),
    told.DeadLetterImpossible: (
        CRITICAL,
        "no dead letter can be made of %(message)s, which is rejected without one: %(error)s",
    ),
    told.NoDeadLetters: (
        WARNING,
        (
            "what is rejected by %(subscribers)s is logged and skipped, since %(path)s keeps no dead"
            " letters of them: give them or the broker a dead_letter= address"
        ),
    ),
    told.InstrumentFailed: (
        ERROR,
        "an instrument of %(path)s has failed on %(message)s: %(error)s",
    ),
    told.AnswerWithheld: (WARNING, "no answer goes to '%(address)s': %(reason)s"),
    told.SubscriptionDown: (
        ERROR,
        "%(path)s is down; it is tried again in %(delay).1f s: %(error)s",
    ),
    told.SubscriptionUp: (INFO, "%(path)s is up again"),
    told.ScheduleFailed: (ERROR, "%(path)s has failed at what was due %(due)s: %(error)s"),
    told.OutboxHeldUp: (
        WARNING,
        "%(path)s can't send all that waits, and tries again until it can: %(error)s",
    ),
    told.OutboxResumed: (INFO, "%(path)s sends again"),
    told.OutboxMessageRefused: (
        ERROR,
        (
            "%(path)s sets message %(number)d to '%(address)s' aside, which never can be sent:"
            " %(error)s"
        ),
    ),
    told.HandlerSlow: (DEBUG, "%(path)s takes more than %(threshold)g s for %(message)s"),
    told.ThreadLeft: (
        WARNING,
        (
            "%(path)s has timed out on %(message)s, but its thread can't be cancelled; %(busy)d are"
            " left behind, and what they do does not count"
        ),
    ),
    told.ThreadEnded: (INFO, "a thread that %(path)s left behind has ended; %(busy)d are left"),
    told.ThreadsExhausted: (
        ERROR,
        "%(path)s handles nothing: %(busy)d threads of calls that have timed out still run",
    ),
    told.LoopLagged: (
        WARNING,
        "%(path)s has kept the event loop for %(seconds).1f s, at %(where)s",
    ),
}
_OTHER: Final = (DEBUG, "%(path)s: %(name)s")
"""Of events that are not ours."""
_THEN: Final = {
    Settlement.ACK: "it is acknowledged all the same",
    Settlement.NACK: "it will be delivered again",
    Settlement.REJECT: "it is rejected",
    None: "it stays unsettled",
}
# What these say is the whole story: the handler's own frames are not in it.
_SELF_EXPLANATORY: Final = (CodecError, MissingValue, ActorCrash)
LONG: Final = 1.0
"""Seconds for which somebody may keep the event loop before that is a line of the log."""
SILENCE: Final = 30.0
"""Seconds until the next line about the same one who does."""


class Log:
    """Writes events to a logger: a sink."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._crashed = ("", "")
        self._silent: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        level, line = LINES.get(type(event), _OTHER)
        if self._is_known(event):
            level = DEBUG
        if not self._logger.isEnabledFor(level):
            return
        parts = _parts(event)
        if isinstance(event, told.ActorCrashed):
            line, parts["trace"] = f"{line}:\n%(trace)s", fitted(event.error)
        write(self._logger, level, line, (parts,), error=_raised(event), extra=_extra(event))

    def _is_known(self, event: Event) -> bool:
        """Whether an event adds nothing to what was told before, or is none of anybody's business."""
        match event:
            case told.ActorCrashed(path, error=error, reason=reason):
                last = error.rstrip().rpartition("\n")[2]
                below, before = self._crashed
                self._crashed = (path, last)
                # It is on its way up the tree.
                return reason == "gave_up" or (below.startswith(f"{path}/") and last == before)
            case told.LoopLagged(path, at=at, seconds=seconds):
                if seconds < LONG or at < self._silent.get(path, -inf):
                    return True
                self._silent[path] = at + SILENCE
                return False
            case _:
                return False


class _Parts(dict[str, object]):
    """What a line may say, by name; what is not known is a question mark there."""

    def __missing__(self, name: str) -> str:
        return "?"


def _parts(event: Event) -> _Parts:
    """Return what *event* says, each part fit to be seen; figures stay figures."""
    said = {**event.attributes, "name": event.name}
    parts = _Parts(
        (name, value if isinstance(value, int | float) else text_of(value))
        for name, value in said.items()
    )
    parts["path"] = text_of(event.path or "something outside of the tree")
    if isinstance(event, told.MessageEnded):
        parts["then"] = _THEN[event.settlement]
    return parts


def _extra(event: Event) -> dict[str, object]:
    """Return what a record says of *event* beside its line: by the names that lines of handlers have."""
    if not isinstance(event, told.MessageFailed):
        return {"event": event.name}
    said = {"event": event.name, "subscriber": event.path, "address": event.address}
    attempt = {"attempt": event.attempt} if isinstance(event, told.MessageRetried) else {}
    return {**said, "message_id": event.message_id, **attempt}


def _raised(event: Event) -> Exception | None:
    """Return what is to be shown with its traceback."""
    if not isinstance(event, told.HandlerFailed) or isinstance(event.error, _SELF_EXPLANATORY):
        return None
    return event.error if explained(event.error) is None else None
