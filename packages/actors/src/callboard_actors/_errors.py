"""What can go wrong with actors.

ActorError
├─ ActorCrash             raised by an actor: my state is corrupt, restart me
├─ ForeignCancellation    cancelled by something that is no cancel scope around the actor
├─ StartTimeout           a child did not say that it is ready
├─ GaveUp                 a supervisor has restarted too often
├─ Unkillable             a child lives on although it was cancelled
├─ SpecError              a declaration that cannot work
├─ SupervisorStopped      a child for a supervisor that does not run
├─ MailboxClosed          nothing more is put, or nothing is left to take
├─ MailboxFull            no room, and no leave to wait for it
└─ AskError               a question without an answer
   ├─ AskTimeout          … in time
   └─ Abandoned           … because the actor stopped, or crashed on it twice
"""

from __future__ import annotations

__all__ = [
    "Abandoned",
    "ActorCrash",
    "ActorError",
    "AskError",
    "AskTimeout",
    "ForeignCancellation",
    "GaveUp",
    "MailboxClosed",
    "MailboxFull",
    "SpecError",
    "StartTimeout",
    "SupervisorStopped",
    "Unkillable",
]


class ActorError(Exception):
    """The root of all errors of this package."""


class ActorCrash(ActorError):
    """Raised by an actor whose state is corrupt: its supervisor makes a new one."""


class ForeignCancellation(ActorError):
    """A cancellation that no cancel scope has asked for.

    A task was cancelled natively, or awaited a future that somebody else had cancelled, as client
    libraries do with their futures when a connection is lost.
    """


class StartTimeout(ActorError):
    """A child did not call `Child.ready` within its `start_timeout`."""


class GaveUp(ActorError):
    """A supervisor has restarted its children more often than it may.

    The last failure is the `__cause__`, if there was one.
    """


class Unkillable(ActorError):
    """A child lives on after it was cancelled, so that nothing can take its place."""


class SpecError(ActorError, ValueError):
    """A declaration that cannot work, found where it is made."""


class SupervisorStopped(ActorError):
    """A child was given to a supervisor that does not run (yet, or any more)."""


class MailboxClosed(ActorError):
    """Nothing can be put any more; for a reader: and nothing is left."""


class MailboxFull(ActorError):
    """There is no room, and the sender cannot or will not wait for it."""


class AskError(ActorError):
    """A question got no answer."""


class AskTimeout(AskError, TimeoutError):
    """The answer did not come in time. The actor may still be at work on the question."""


class Abandoned(AskError):
    """The actor stopped before it answered, or crashed twice on the question."""
