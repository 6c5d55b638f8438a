"""What an actor may ask of the system that runs it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from anyio.abc import TaskGroup

from callboard_actors._envelope import Envelope, Question, SystemMessage
from callboard_actors._errors import ActorError, MailboxFull
from callboard_actors._exits import ExitReason
from callboard_actors._ref import ActorRef, Terminated
from callboard_actors._timers import Timers

if TYPE_CHECKING:
    from callboard_actors._cell import ActorCell
    from callboard_actors._factory import Factory
    from callboard_actors._system import ActorSystem

__all__ = ["ActorContext"]

M = TypeVar("M")
N = TypeVar("N")


class ActorContext(Generic[M]):
    """What an actor may ask of the system that runs it. A factory of one parameter is given it.

    It belongs to one life of the actor: timers, watches and children end with that, and the next
    life begins without. What was stashed returns to the mailbox.

    Attributes:
        ref: The actor's own address.
        system: The system.
        timers: Messages that the actor sends to itself, later.
    """

    def __init__(self, cell: ActorCell[M], system: ActorSystem, tasks: TaskGroup) -> None:
        self.ref = cell.ref
        self.system = system
        self.timers = Timers[M](tasks, cell.post)
        self._cell = cell
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
        envelope = self._cell.reader.current
        if envelope is None:
            raise ActorError(f"{self.ref} receives no message that it could stash")
        if len(self._stashed) >= self._cell.capacity:
            raise MailboxFull(f"{self.ref} has stashed {len(self._stashed)} messages, which is all")
        self._stashed.append(envelope)
        if isinstance(envelope, Question):
            envelope.is_stashed = True

    def unstash_all(self) -> None:
        """Return what was put aside to the front of the mailbox, in its order."""
        while self._stashed:
            self._cell.put_back(self._stashed.pop())

    def failed(self, envelope: Envelope[M] | None) -> None:
        """Forget that *envelope* was just put aside; whoever handles its failure sees to it."""
        if self._stashed and self._stashed[-1] is envelope:
            self._stashed.pop()

    def close(self) -> None:
        """End what belongs to this life."""
        self.timers.cancel_all()
        for ref in list(self._watched):
            self.unwatch(ref)
        self.failed(self._cell.reader.returned)  # it crashed the actor, and is put back
        self.unstash_all()

    def _tell_end(self, ref: ActorRef[Any], reason: ExitReason) -> None:
        self._cell.post(SystemMessage(Terminated(ref, reason), partial(self._is_watched, ref)))

    def _is_watched(self, ref: ActorRef[Any]) -> bool:
        watched = ref in self._watched
        self._watched.discard(ref)
        return watched
