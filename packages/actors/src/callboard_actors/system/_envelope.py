"""What lies in an actor's mailbox: a message, a question, or a message of the system."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

import anyio

from callboard_actors._errors import Abandoned, AskTimeout, ReentrantAsk
from callboard_actors._parker import Loop, Wake
from callboard_actors.mailbox._mailbox import Mailbox

M = TypeVar("M")


class Envelope(Generic[M]):
    """A message on its way."""

    __slots__ = ("message",)

    def __init__(self, message: M) -> None:
        self.message = message


class SystemMessage(Envelope[Any]):
    """A message of the system that may be stale when it arrives: a tick, a death notice.

    Attributes:
        accept: Asked on delivery; what it refuses is not received.
    """

    __slots__ = ("accept",)

    def __init__(self, message: object, accept: Callable[[], bool]) -> None:
        super().__init__(message)
        self.accept = accept


class AskRoot:
    """An actor at work on what nobody waits for: the root of a chain of asks.

    A task that the actor has started is no part of the chain: while it waits, the actor goes on.
    """

    __slots__ = ("_loop", "_task", "to")

    cause = None
    deadline = math.inf

    def __init__(self, actor: object, loop: Loop) -> None:
        self.to = actor
        self._loop = loop
        self._task = loop.task()

    @property
    def is_over(self) -> bool:
        return self._loop.task() is not self._task


class Question(Envelope[M]):
    """A message whose sender waits for an answer.

    It knows the question that made its sender ask, and so on up to the root: a chain of asks has
    one deadline, and cannot bite its own tail.

    Attributes:
        to: Who is asked.
        cause: What the sender is at work on, if it is an actor.
        deadline: When nobody waits any more, as `anyio.current_time()` tells it.
        is_stashed: Whether the actor has put off the answer.

    Raises:
        ReentrantAsk: The one who is asked waits for the sender.
    """

    __slots__ = (
        "_answer",
        "_failure",
        "_is_answered",
        "_loop",
        "_seconds",
        "_wake",
        "cause",
        "deadline",
        "is_stashed",
        "to",
    )

    def __init__(self, message: M, to: object, seconds: float, loop: Loop) -> None:
        self.message = message
        self.to = to
        self.cause: AskRoot | Question[Any] | None = None
        self._loop = loop
        now, cause = loop.now(), current_cause.get(None)
        if cause is not None and not cause.is_over:
            _refuse_loop(to, cause)
            self.cause = cause
            seconds = min(seconds, cause.deadline - now)
        self._seconds = seconds
        self.deadline: float = now + seconds
        self.is_stashed = False
        self._is_answered = False
        self._wake: Wake | None = None
        self._answer: object = None
        self._failure: Exception | None = None

    @property
    def is_over(self) -> bool:
        """Whether nobody waits any more: it is answered, or its time is up."""
        return self._is_answered or self.deadline <= self._loop.now()

    def reply(self, answer: object, failure: Exception | None = None) -> None:
        """Give the answer, or what is raised in its place. The first one counts."""
        if self._is_answered:
            return
        self._is_answered, self._answer, self._failure = True, answer, failure
        if self._wake is not None:
            self._wake()

    def abandon(self, why: str) -> None:
        self.reply(None, Abandoned(f"{self.to} {why}"))

    async def ask(self, mailbox: Mailbox[Envelope[M]]) -> object:
        """Leave it in *mailbox* and wait for the answer. It is over when this ends."""
        try:
            if mailbox.offer(self) or await self._put(mailbox):
                wait, self._wake = self._loop.park_until(self.deadline)
                await wait
        finally:
            self.deadline = -math.inf
        if self._failure is not None:
            raise self._failure
        if not self._is_answered:
            message = f"{self.to} did not answer {self.message!r:.80} within {self._seconds:g} s"
            raise AskTimeout(message)
        return self._answer

    async def _put(self, mailbox: Mailbox[Envelope[M]]) -> bool:
        """Wait for room; return whether there was any in time."""
        with anyio.CancelScope(deadline=self.deadline):
            await mailbox.put(self)
            return True
        return False


current_cause: ContextVar[AskRoot | Question[Any]] = ContextVar("current_cause")
"""What the actor that runs is at work on."""


def _refuse_loop(to: object, cause: AskRoot | Question[Any]) -> None:
    asked, link = [str(to)], cause
    while link.to is not to:
        asked.append(str(link.to))
        if link.cause is None:
            return
        link = link.cause
    chain = " asks ".join([str(to), *reversed(asked)])
    raise ReentrantAsk(f"{to} would wait for itself: {chain}; tell it instead")
