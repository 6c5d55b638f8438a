"""The address of an actor, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import anyio

from callboard_actors._errors import MailboxClosed, MailboxFull
from callboard_actors._parker import Loop
from callboard_actors.supervision._exits import ExitReason
from callboard_actors.system._envelope import Envelope, Question
from callboard_actors.system._inbox import Inbox

M_contra = TypeVar("M_contra", contravariant=True)


class ActorRef(Generic[M_contra]):
    """The address of an actor. It stays valid across restarts. Made by `ActorSystem.spawn`.

    Attributes:
        path: The names from the root of the system down to the actor, joined by slashes;
            `ActorSystem.get` finds it by this.
        mailbox: Where its messages wait; ask it for `stats`.
        termination: Whether it has ended for good.
    """

    __slots__ = ("_loop", "_reader", "_undeliverable", "mailbox", "path", "termination")

    def __init__(
        self,
        path: str,
        inbox: Inbox[M_contra],
        loop: Loop,
        undeliverable: Callable[[object], None],
    ) -> None:
        self.path = path
        self.mailbox = inbox.mailbox
        self.termination = Termination()
        self._reader = inbox.reader
        self._loop = loop
        self._undeliverable = undeliverable

    def __repr__(self) -> str:
        return f"actor {self.path!r}"

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def pending(self) -> int:
        """How many messages it has not handled yet."""
        return len(self.mailbox) + (self._reader.current is not None)

    def tell(self, message: M_contra) -> None:
        """Leave *message*, and do not wait. If the actor crashes on it, it is given it once more.

        To an actor that was stopped it is a dead letter.

        Raises:
            MailboxFull: There is no room in its mailbox.
        """
        try:
            has_room = self.mailbox.put_nowait(Envelope(message))
        except MailboxClosed:
            self._undeliverable(message)
            return
        if not has_room:
            raise MailboxFull(f"the mailbox of {self} is full: {len(self.mailbox)} messages wait")

    async def ask(self, message: M_contra, timeout: float = 30.0) -> Any:  # noqa: ASYNC109 - only the actor knows what it answers; the question ends with the time
        """Leave *message* and wait for what `receive` returns.

        What `receive` raises is raised here and the actor lives on, unless it concerns the actor
        itself, as `ActorCrash` does: then it is restarted and given the message once more.
        A question whose time is up, or whose sender is gone, is not handled any more. If the
        sender is an actor that answers a question itself, the time is up with that one's, too.

        Raises:
            AskTimeout: There was no answer in *timeout* seconds.
            ReentrantAsk: The actor waits, itself or through others, for the one who asks.
            Abandoned: The actor ended before it answered, or crashed twice on the message.
            MailboxClosed: The actor was stopped.
        """
        return await Question(message, self, timeout, self._loop).ask(self.mailbox)

    def stop(self) -> None:
        """Let no more messages in. The actor handles those that it has, and ends."""
        self.mailbox.close()

    async def ended(self) -> ExitReason:
        """Wait until the actor has ended for good; return why."""
        over = anyio.Event()
        self.termination.watch(over, lambda _: over.set())
        try:
            await over.wait()
        finally:
            self.termination.unwatch(over)
        return self.termination.reason or ExitReason("normal")


@dataclass(frozen=True, slots=True)
class Terminated:
    """A death notice: an actor that was watched has ended for good; a restart is no end.

    Attributes:
        ref: Its address.
        reason: Why its last life ended.
    """

    ref: ActorRef[Any]
    reason: ExitReason


class Termination:
    """Whether an actor has ended for good, and whom to tell when it does.

    Attributes:
        reason: Why it ended; None while it lives.
    """

    __slots__ = ("_watchers", "reason")

    def __init__(self) -> None:
        self.reason: ExitReason | None = None
        self._watchers: dict[object, Callable[[ExitReason], None]] = {}

    def watch(self, watcher: object, tell: Callable[[ExitReason], None]) -> None:
        """Have *tell* called once, when it ends; at once if it has."""
        if self.reason is not None:
            tell(self.reason)
        else:
            self._watchers[watcher] = tell

    def unwatch(self, watcher: object) -> None:
        self._watchers.pop(watcher, None)

    def end(self, reason: ExitReason) -> None:
        self.reason = reason
        watchers, self._watchers = self._watchers, {}
        for tell in watchers.values():
            tell(reason)
