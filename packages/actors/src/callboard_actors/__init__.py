"""Mailboxes, lanes, actors and supervision on structured concurrency."""

from __future__ import annotations

from callboard_actors._errors import (
    Abandoned,
    ActorCrash,
    ActorError,
    AskError,
    AskTimeout,
    Escalate,
    ForeignCancellation,
    GaveUp,
    MailboxClosed,
    MailboxFull,
    ReentrantAsk,
    SpecError,
    StartTimeout,
    StopActor,
    SupervisorStopped,
    Unkillable,
    UnknownActor,
)
from callboard_actors.events import Event, ExitKind, Notify
from callboard_actors.mailbox._mailbox import Mailbox, MailboxStats
from callboard_actors.mailbox._reader import Reader
from callboard_actors.supervision._child import Child, ChildSpec, Run
from callboard_actors.supervision._decisions import Decision, Rule, concerns_actor, decision
from callboard_actors.supervision._exits import ExitReason, guarded
from callboard_actors.supervision._policy import AutoShutdown, Strategy
from callboard_actors.supervision._restarts import Backoff, Restart, Supervision
from callboard_actors.supervision._supervisor import Supervisor
from callboard_actors.supervision._tree import Node, State
from callboard_actors.system._actor import Actor, Failed, Quarantine, isolated, lifecycle, serve
from callboard_actors.system._context import ActorContext, Factory
from callboard_actors.system._factory import actor
from callboard_actors.system._pool import (
    Pool,
    Route,
    consistent_hash,
    round_robin,
    smallest_mailbox,
)
from callboard_actors.system._ref import ActorRef, Terminated
from callboard_actors.system._registry import DeadLetters
from callboard_actors.system._system import ActorSystem
from callboard_actors.system._team import Team
from callboard_actors.system._timers import Timers

__all__ = [
    "Abandoned",
    "Actor",
    "ActorContext",
    "ActorCrash",
    "ActorError",
    "ActorRef",
    "ActorSystem",
    "AskError",
    "AskTimeout",
    "AutoShutdown",
    "Backoff",
    "Child",
    "ChildSpec",
    "DeadLetters",
    "Decision",
    "Escalate",
    "Event",
    "ExitKind",
    "ExitReason",
    "Factory",
    "Failed",
    "ForeignCancellation",
    "GaveUp",
    "Mailbox",
    "MailboxClosed",
    "MailboxFull",
    "MailboxStats",
    "Node",
    "Notify",
    "Pool",
    "Quarantine",
    "Reader",
    "ReentrantAsk",
    "Restart",
    "Route",
    "Rule",
    "Run",
    "SpecError",
    "StartTimeout",
    "State",
    "StopActor",
    "Strategy",
    "Supervision",
    "Supervisor",
    "SupervisorStopped",
    "Team",
    "Terminated",
    "Timers",
    "Unkillable",
    "UnknownActor",
    "actor",
    "concerns_actor",
    "consistent_hash",
    "decision",
    "guarded",
    "isolated",
    "lifecycle",
    "round_robin",
    "serve",
    "smallest_mailbox",
]

# In tracebacks they have the name by which they are imported.
for _name in __all__:
    if isinstance(_each := globals()[_name], type) and issubclass(_each, BaseException):
        _each.__module__ = __name__
