"""What lies in an actor's mailbox: a message, a question, or a signal of the system."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

import anyio

from callboard_actors._errors import Abandoned, AskTimeout, ReentrantAsk
from callboard_actors._mailbox import Mailbox

__all__ = ["Duty", "Letter", "Question", "Signal", "on_duty"]

M = TypeVar("M")


class Letter(Generic[M]):
    """A message on its way."""

    __slots__ = ("message",)

    def __init__(self, message: M) -> None:
        self.message = message


class Signal(Letter[Any]):
    """A message of the system that may be stale when it arrives: a tick, a death notice.

    Attributes:
        accept: Asked on delivery; what it refuses is not received.
    """

    __slots__ = ("accept",)

    def __init__(self, message: object, accept: Callable[[], bool]) -> None:
        super().__init__(message)
        self.accept = accept


class Duty:
    """An actor at work on what nobody waits for: the root of a chain of asks.

    A task that the actor has started is not on duty: while it waits, the actor goes on.
    """

    __slots__ = ("_task", "to")

    cause = None
    deadline = math.inf

    def __init__(self, actor: object) -> None:
        self.to = actor
        self._task = anyio.get_current_task().id

    @property
    def is_over(self) -> bool:
        return anyio.get_current_task().id != self._task


class Question(Letter[M]):
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
        "_answered",
        "_failure",
        "_seconds",
        "cause",
        "deadline",
        "is_stashed",
        "to",
    )

    def __init__(self, message: M, to: object, seconds: float) -> None:
        super().__init__(message)
        now, cause = anyio.current_time(), on_duty.get(None)
        self.to = to
        self.cause = None if cause is None or cause.is_over else cause
        if self.cause is not None:
            _refuse_loop(to, self.cause)
            seconds = min(seconds, self.cause.deadline - now)
        self._seconds = seconds
        self.deadline: float = now + seconds
        self.is_stashed = False
        self._answered = anyio.Event()
        self._answer: object = None
        self._failure: Exception | None = None

    @property
    def is_over(self) -> bool:
        """Whether nobody waits any more: it is answered, or its time is up."""
        return self._answered.is_set() or self.deadline <= anyio.current_time()

    def reply(self, answer: object, failure: Exception | None = None) -> None:
        """Give the answer, or what is raised in its place. The first one counts."""
        if not self._answered.is_set():
            self._answer, self._failure = answer, failure
            self._answered.set()

    def abandon(self, why: str) -> None:
        self.reply(None, Abandoned(f"{self.to} {why}"))

    async def ask(self, mailbox: Mailbox[Letter[M]]) -> object:
        """Leave it in *mailbox* and wait for the answer. It is over when this ends."""
        try:
            with anyio.CancelScope(deadline=self.deadline):
                await mailbox.put(self)
                await self._answered.wait()
        finally:
            self.deadline = -math.inf
        if self._failure is not None:
            raise self._failure
        if not self._answered.is_set():
            message = f"{self.to} did not answer {self.message!r:.80} within {self._seconds:g} s"
            raise AskTimeout(message)
        return self._answer


on_duty: ContextVar[Duty | Question[Any]] = ContextVar("on_duty")
"""What the actor that runs is at work on."""


def _refuse_loop(to: object, cause: Duty | Question[Any]) -> None:
    asked, link = [str(to)], cause
    while link.to is not to:
        asked.append(str(link.to))
        if link.cause is None:
            return
        link = link.cause
    chain = " asks ".join([str(to), *reversed(asked)])
    raise ReentrantAsk(f"{to} would wait for itself: {chain}; tell it instead")
