"""Calls that take too long: they fail at once, and what they still do counts for nothing.

A coroutine is cancelled. A thread can't be: it is left behind, with a message that settles nothing
and a context in which nothing can be published. So the next try is not disturbed by the last one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from copy import copy
from dataclasses import replace
from functools import wraps
from threading import Lock
from typing import Final

import anyio

from callboard._errors import HandlerTimedOut
from callboard.events import Notify, ThreadEnded, ThreadLeft, ThreadsExhausted, about, described
from callboard.instruments import Handle, Send
from callboard_brokers import Delivery, Message, Settlement
from callboard_di import Callee


class Attempt:
    """One call of a handler that has a limit of time, or of which nothing may leave yet.

    Attributes:
        is_over: Whether it has timed out.
        is_in_thread: Whether its thread runs.
        is_rejected: Whether it has rejected its message by hand.
        diverts: Returns what sends in place of the way out, given what finds that; None: nothing
            does.
    """

    __slots__ = ("diverts", "is_in_thread", "is_over", "is_rejected")

    def __init__(self) -> None:
        self.is_over = self.is_in_thread = self.is_rejected = False
        self.diverts: Callable[[Callable[[], Send]], Send] | None = None


ATTEMPT: Final[ContextVar[Attempt | None]] = ContextVar("callboard-attempt", default=None)

FENCED: Final[ContextVar[Attempt | None]] = ContextVar("callboard-fenced", default=None)
"""The attempt in whose thread this runs, or by whose thread it was called.

A task that a handler has begun and left to others is not that: it may publish for as long as it
lives, though its context is that of the handler."""


class Threads:
    """The threads of one subscriber that were left behind.

    Args:
        name: That of the subscriber.
        most: How many may be left, before nothing is handled until one ends.
        tell: Told of each.
        soon: Calls a function in the event loop, from any thread.

    Attributes:
        left: How many there are.
    """

    def __init__(
        self,
        name: str,
        most: int,
        tell: Notify,
        soon: Callable[[Callable[[], object]], None],
    ) -> None:
        self.left = 0
        self._name = name
        self.most = most
        self._tell = tell
        self._soon = soon
        self._lock = Lock()
        self._ended = anyio.Event()

    async def room(self) -> None:
        """Wait until so few are left that another one may be."""
        if self.left >= self.most:
            self._tell(ThreadsExhausted(self._name, self.left))
        while self.left >= self.most:
            await self._ended.wait()

    def watched(self, callee: Callee) -> Callee:
        """Return *callee*, the thread of which is minded, if it is called in one."""
        if callee.style != "sync":
            return callee
        call = callee.call

        @wraps(call)
        def run(*args: object, **kwargs: object) -> object:
            attempt = ATTEMPT.get()
            if attempt is None:
                return call(*args, **kwargs)
            self._begin(attempt)
            FENCED.set(attempt)  # the context is that of the thread, and ends with it
            try:
                return call(*args, **kwargs)
            finally:
                self._end(attempt)

        return replace(callee, call=run)

    def leave(self, attempt: Attempt, message: Message) -> None:
        """Let *attempt* be over; tell, if its thread is not."""
        with self._lock:
            attempt.is_over = True
            is_left = attempt.is_in_thread
        cut_off(message)
        if is_left:
            self.left += 1
            self._tell(ThreadLeft(self._name, described(*about(message)), self.left))

    def _begin(self, attempt: Attempt) -> None:
        with self._lock:
            refuse_late(attempt)
            attempt.is_in_thread = True

    def _end(self, attempt: Attempt) -> None:
        with self._lock:
            attempt.is_in_thread = False
            is_left = attempt.is_over
        if is_left:
            self._soon(self._note_end)

    def _note_end(self) -> None:
        self.left -= 1
        self._ended.set()
        self._ended = anyio.Event()  # another one: every worker that waits has had this
        self._tell(ThreadEnded(self._name, self.left))


def timed(handle: Handle, seconds: float, threads: Threads) -> Handle:
    """Cancel what takes longer than *seconds*, or leave it behind: that is a failure."""

    async def within(message: Message) -> object:
        if threads.left >= threads.most:
            await threads.room()
        attempt = Attempt()
        before = ATTEMPT.set(attempt)
        try:
            with anyio.move_on_after(seconds) as scope:
                return await handle(message)
        finally:
            ATTEMPT.reset(before)
        if scope.cancelled_caught:
            threads.leave(attempt, message)
            raise HandlerTimedOut(f"the handler took longer than {seconds:g} s")
        return None

    return within


def refuse_late(attempt: Attempt | None) -> None:
    """Let nothing leave that a call of a handler publishes when it is over.

    Raises:
        HandlerTimedOut: It is.
    """
    if attempt is not None and attempt.is_over:
        raise HandlerTimedOut("this call has timed out before, and nothing that it does counts")


def cut_off(message: Message) -> None:
    """Take from whoever has *message* the power to settle it; the next try gets a copy."""
    for each in (*getattr(message, "parts", ()), message):
        delivery = each.delivery
        if isinstance(delivery, Delivery) and not delivery.settled:
            if delivery.message is each:  # pyright: ignore[reportUnknownMemberType] - isinstance can't say of what
                delivery.message = copy(each)
            each.delivery = _Gone(delivery.deliveries)


class _Gone:
    """Stands in for the delivery in a message whose handler has timed out."""

    __slots__ = ("deliveries", "settlement")
    settled = True

    def __init__(self, deliveries: int | None) -> None:
        self.settlement: Settlement | None = None
        self.deliveries = deliveries

    def settle(self, settlement: Settlement, delay: float | None = None) -> bool:
        """Accept nothing."""
        del settlement, delay
        return False
