"""What can go wrong with actors.

ActorError
├─ ActorCrash             raised by an actor: my state is corrupt, restart me
├─ StopActor              raised by an actor: I am done, do not restart me
├─ Escalate               raised by an actor: this is a matter for my supervisor
├─ ForeignCancellation    cancelled by something that is no cancel scope around the actor
├─ StartTimeout           a child did not say that it is ready
├─ GaveUp                 a supervisor has restarted too often
├─ Unkillable             a child lives on although it was cancelled
├─ SpecError              a declaration that cannot work
├─ SupervisorStopped      a child for a supervisor that does not run
├─ MailboxClosed          nothing more is put, or nothing is left to take
├─ MailboxFull            no room, and the sender does not wait
├─ UnknownActor           nobody lives under a path
└─ AskError               a question without an answer
   ├─ AskTimeout          … in time
   ├─ ReentrantAsk        … because the one who is asked waits for the one who asks
   └─ Abandoned           … because the actor ended, or crashed on it twice
"""

from __future__ import annotations


class ActorError(Exception):
    """The root of all errors of this package."""


class ActorCrash(ActorError):
    """Raised by an actor whose state is corrupt: its supervisor makes a new one."""


class StopActor(ActorError):
    """Raised by an actor that is done: it ends normally, and is not restarted."""


class Escalate(ActorError):
    """Raised by an actor that a restart would not help: its supervisor gives up at once.

    Raise it `from` what happened.
    """


class ForeignCancellation(ActorError):
    """A cancellation that no cancel scope has asked for.

    A task was cancelled natively, or awaited a future that somebody else had cancelled, as client
    libraries do with their futures when a connection is lost.
    """


class StartTimeout(ActorError):
    """A child did not call `Child.ready` within its `start_timeout`."""


class GaveUp(ActorError):
    """A supervisor has restarted its children more often than it may, or one has escalated.

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
    """There is no room, and the sender does not wait for it."""


class UnknownActor(ActorError, LookupError):
    """Nobody lives under a path: nobody ever did, or who did has ended."""


class AskError(ActorError):
    """A question got no answer."""


class AskTimeout(AskError, TimeoutError):
    """The answer did not come in time. The actor may still be at work on the question."""


class ReentrantAsk(AskError):
    """An actor asked one that waits for it, itself or through others: neither would go on."""


class Abandoned(AskError):
    """The actor ended before it answered, or crashed twice on the question."""
