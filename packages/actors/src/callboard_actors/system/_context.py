"""What an actor may ask of the system that runs it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from anyio.abc import TaskGroup

from callboard_actors._errors import ActorError, MailboxFull
from callboard_actors.supervision._exits import ExitReason
from callboard_actors.system._actor import Actor
from callboard_actors.system._envelope import Envelope, Question, SystemMessage
from callboard_actors.system._inbox import Inbox
from callboard_actors.system._ref import ActorRef, Terminated
from callboard_actors.system._timers import Timers

M = TypeVar("M")
N = TypeVar("N")


class System(Protocol):
    """What an actor sees of the `ActorSystem` in which it lives."""

    async def spawn(
        self,
        factory: Factory[N],
        name: str,
        *,
        parent: ActorRef[Any] | None = None,
        capacity: int = 256,
    ) -> ActorRef[N]:
        """Start an actor."""
        ...

    def get(self, path: str) -> ActorRef[Any]:
        """Return the address of the actor at *path*."""
        ...


class ActorContext(Generic[M]):
    """What an actor may ask of the system that runs it. A factory of one parameter is given it.

    It belongs to one life of the actor: timers, watches and children end with that, and the next
    life begins without. What was stashed returns to the mailbox.

    Attributes:
        ref: The actor's own address.
        system: The system, an `ActorSystem`.
        timers: Messages that the actor sends to itself, later.
    """

    def __init__(self, ref: ActorRef[M], inbox: Inbox[M], system: System, tasks: TaskGroup) -> None:
        self.ref = ref
        self.system = system
        self.timers = Timers[M](tasks, inbox.post)
        self._inbox = inbox
        self._stashed: list[Envelope[M]] = []
        self._watched: set[ActorRef[Any]] = set()

    async def spawn(self, factory: Factory[N], name: str, *, capacity: int = 256) -> ActorRef[N]:
        """Start an actor below this one; see `ActorSystem.spawn`.

        It ends when this one ends or crashes. When it crashes too often, this one crashes.
        """
        return await self.system.spawn(factory, name, parent=self.ref, capacity=capacity)

    def watch(self, ref: ActorRef[Any]) -> None:
        """Have `Terminated` received when the actor at *ref* ends for good, or has ended already."""
        self._watched.add(ref)
        ref.termination.watch(self, partial(self._tell_end, ref))

    def unwatch(self, ref: ActorRef[Any]) -> None:
        """Undo `watch`. No notice arrives after this, not even one already sent."""
        self._watched.discard(ref)
        ref.termination.unwatch(self)

    def stash(self) -> None:
        """Put the message that is being received aside, until `unstash_all`.

        A question that is put aside is not answered by what `receive` returns now.

        Raises:
            MailboxFull: There are as many put aside as the mailbox may hold.
            ActorError: No message is being received.
        """
        envelope = self._inbox.reader.current
        if envelope is None:
            raise ActorError(f"{self.ref} receives no message that it could stash")
        if len(self._stashed) >= self._inbox.capacity:
            raise MailboxFull(f"{self.ref} has stashed {len(self._stashed)} messages, which is all")
        self._stashed.append(envelope)
        if isinstance(envelope, Question):
            envelope.is_stashed = True

    def unstash_all(self) -> None:
        """Return what was put aside to the front of the mailbox, in its order."""
        while self._stashed:
            self._inbox.put_back(self._stashed.pop())

    def failed(self, envelope: Envelope[M] | None) -> None:
        """Forget that *envelope* was just put aside; whoever handles its failure sees to it."""
        if self._stashed and self._stashed[-1] is envelope:
            self._stashed.pop()

    def close(self) -> None:
        """End what belongs to this life."""
        self.timers.cancel_all()
        for ref in list(self._watched):
            self.unwatch(ref)
        self.failed(self._inbox.reader.returned)  # it crashed the actor, and is put back
        self.unstash_all()

    def _tell_end(self, ref: ActorRef[Any], reason: ExitReason) -> None:
        self._inbox.post(SystemMessage(Terminated(ref, reason), partial(self._is_watched, ref)))

    def _is_watched(self, ref: ActorRef[Any]) -> bool:
        watched = ref in self._watched
        self._watched.discard(ref)
        return watched


# Of any context: what it takes is told by the actor that comes out.
Make: TypeAlias = Callable[[ActorContext[Any]], Actor[M]]
Factory: TypeAlias = Callable[[], Actor[M]] | Make[M]
"""Makes an actor, and makes it anew for every restart: a class, for example."""
