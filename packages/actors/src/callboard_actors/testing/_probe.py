"""An actor that a test asks what it has been told, and a way to crash the others."""

from __future__ import annotations

from collections import deque
from typing import Any, TypeVar, overload

import anyio

from callboard_actors._errors import ActorCrash
from callboard_actors.system._context import ActorContext
from callboard_actors.system._envelope import SystemMessage
from callboard_actors.system._ref import ActorRef
from callboard_actors.system._system import ActorSystem

T = TypeVar("T")


class Probe:
    """Records what it is told. Made by `probe`.

    Attributes:
        ref: Its address, to be given to those under test.
        received: All that it was told, in order.
        answer: What it answers to every question; an exception is raised.
    """

    def __init__(self, context: ActorContext[object]) -> None:
        self.ref: ActorRef[Any] = context.ref
        self.received: list[object] = []
        self.answer: object = None
        self._context = context
        self._unexpected: deque[object] = deque()
        self._told = anyio.Event()

    async def receive(self, message: object) -> object:
        """Record *message*; wake who expects it."""
        self.received.append(message)
        self._unexpected.append(message)
        self._told.set()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def watch(self, ref: ActorRef[Any]) -> None:
        """Be told `Terminated` when the actor at *ref* has ended."""
        self._context.watch(ref)

    @overload
    async def expect(self, expected: type[T], within: float = 3.0) -> T: ...
    @overload
    async def expect(self, expected: T, within: float = 3.0) -> T: ...
    async def expect(self, expected: object, within: float = 3.0) -> object:
        """Wait for the next message that no `expect` has had yet, and return it.

        Args:
            expected: What it has to be equal to, or its type.
            within: How many seconds it may take.

        Raises:
            AssertionError: It did not come, or is another one.
        """
        with anyio.move_on_after(within):
            await self._next()
        if not self._unexpected:
            raise AssertionError(f"expected {expected!r} within {within:g} s, but nothing came")
        message = self._unexpected.popleft()
        fits = isinstance(message, expected) if isinstance(expected, type) else message == expected
        if not fits:
            raise AssertionError(f"expected {expected!r}, but {message!r} came")
        return message

    async def expect_no_message(self, within: float = 0.5) -> None:
        """Wait for *within* seconds.

        Raises:
            AssertionError: A message came, or had come, that no `expect` has had.
        """
        with anyio.move_on_after(within):
            await self._next()
        if self._unexpected:
            raise AssertionError(f"expected no message, but {self._unexpected[0]!r} came")

    async def _next(self) -> None:
        while not self._unexpected:
            self._told = anyio.Event()
            await self._told.wait()


async def probe(system: ActorSystem, name: str = "probe") -> Probe:
    """Start a probe in *system*."""
    made: list[Probe] = []

    def make(context: ActorContext[object]) -> Probe:
        made.append(Probe(context))
        return made[-1]

    await system.spawn(make, name)
    return made[0]


def crash(ref: ActorRef[Any], error: Exception | None = None) -> None:
    """Have the actor at *ref* crash before its next message, as if its state were corrupt.

    It crashes with *error*, or else with `ActorCrash`. Its mailbox is untouched. Await `idle` to
    see it restarted.

    Raises:
        MailboxClosed: The actor was stopped.
    """
    errors = [error or ActorCrash("crashed by a test")]

    def accept() -> bool:
        # It returns to the mailbox with the crash, and must not crash the next life.
        if errors:
            raise errors.pop()
        return False

    ref.mailbox.put_system(SystemMessage(None, accept))
