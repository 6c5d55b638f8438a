"""Mailboxes, lanes, actors and supervision on structured concurrency."""

from __future__ import annotations

from callboard_actors._actor import Actor, Quarantine, lifecycle, serve
from callboard_actors._child import Child, ChildSpec, Run
from callboard_actors._errors import (
    Abandoned,
    ActorCrash,
    ActorError,
    AskError,
    AskTimeout,
    ForeignCancellation,
    GaveUp,
    MailboxClosed,
    MailboxFull,
    SpecError,
    StartTimeout,
    SupervisorStopped,
    Unkillable,
)
from callboard_actors._events import Event, Notify
from callboard_actors._exits import ExitKind, ExitReason
from callboard_actors._mailbox import Mailbox, MailboxStats, Overflow
from callboard_actors._reader import Reader
from callboard_actors._restarts import Backoff, Restart, Supervision
from callboard_actors._supervisor import Strategy, Supervisor
from callboard_actors._system import ActorRef, ActorSystem
from callboard_actors._tree import Node, State

__all__ = [
    "Abandoned",
    "Actor",
    "ActorCrash",
    "ActorError",
    "ActorRef",
    "ActorSystem",
    "AskError",
    "AskTimeout",
    "Backoff",
    "Child",
    "ChildSpec",
    "Event",
    "ExitKind",
    "ExitReason",
    "ForeignCancellation",
    "GaveUp",
    "Mailbox",
    "MailboxClosed",
    "MailboxFull",
    "MailboxStats",
    "Node",
    "Notify",
    "Overflow",
    "Quarantine",
    "Reader",
    "Restart",
    "Run",
    "SpecError",
    "StartTimeout",
    "State",
    "Strategy",
    "Supervision",
    "Supervisor",
    "SupervisorStopped",
    "Unkillable",
    "lifecycle",
    "serve",
]
