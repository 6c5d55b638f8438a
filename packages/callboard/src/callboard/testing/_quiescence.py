"""What a test waits for: that all is settled and nothing runs; and what failed on the way."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

import anyio

from callboard.events import (
    Event,
    HandlerFailed,
    MessageQuarantined,
    OutputsFailed,
    OutputsLost,
)
from callboard.handle._parts import parts_of
from callboard.instruments import Handle, Outcome
from callboard_brokers import Delivery, Message, Settlement

INSIDE: Final[ContextVar[bool]] = ContextVar("callboard-inside-a-test-broker", default=False)
"""Whether this runs under a test broker: it must not wait for itself."""


class Quiescence:
    """Watches the brokers of one test.

    Args:
        outstanding: Returns how many messages are not settled, those apart that are not due.
    """

    def __init__(self, outstanding: Callable[[], int]) -> None:
        self._outstanding = outstanding
        self._failures: list[Exception] = []
        self._left: list[Delivery] = []
        self._running = 0
        self._changed = anyio.Event()

    async def settled(self) -> None:
        """Wait until nothing runs, and all is settled but what was left unsettled on purpose."""
        while self._running or self._outstanding() > self._held():
            if self._changed.is_set():
                self._changed = anyio.Event()
            await self._changed.wait()

    @property
    def failed(self) -> int:
        """How many failures there have been: a point in time for `failure`."""
        return len(self._failures)

    def failure(self, since: int) -> Exception | None:
        """Return the first failure after the first *since* of them."""
        return self._failures[since] if since < len(self._failures) else None

    def changed(self) -> None:
        """Hear that something may have settled."""
        self._changed.set()

    def note(self, event: Event) -> None:
        """Hear an event of a broker."""
        if isinstance(event, HandlerFailed | MessageQuarantined | OutputsFailed | OutputsLost):
            self._failures.append(event.error)
        self.changed()

    def leave(self, delivery: Delivery, outcome: Outcome) -> None:
        """Hear what becomes of a delivery: one that is left, or kept for its next try, can wait."""
        is_left = outcome.settlement is None
        parts = parts_of(delivery)
        self._left = [each for each in self._left if each not in parts]
        self._left += [
            each
            for each in parts
            if each.settlement is Settlement.NACK or (each.settlement is None and is_left)
        ]
        self.changed()

    @contextmanager
    def running(self) -> Generator[None]:
        """Have everybody wait for what runs in the block, settled or not."""
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self.changed()

    def attending(self, handle: Handle) -> Handle:
        """Put around a handler that it runs: its message may be settled before it has ended."""

        async def attend(message: Message) -> object:
            self._take_up(message)
            with self.running():
                return await handle(message)

        return attend

    def _take_up(self, message: Message) -> None:
        """Wait again for what had been left, as a nacked message is until its next try."""
        if self._left:
            again = {id(each) for each in getattr(message, "parts", [message])}
            self._left = [each for each in self._left if id(each.message) not in again]

    def _held(self) -> int:
        self._left = [delivery for delivery in self._left if not delivery.settled]
        return len(self._left)
