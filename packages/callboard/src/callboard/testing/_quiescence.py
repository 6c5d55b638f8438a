"""What a test waits for: that all is settled and nothing runs; and what failed on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Generator, Hashable, Sequence
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
from callboard_brokers.memory import Memory

INSIDE: Final[ContextVar[bool]] = ContextVar("callboard-inside-a-test-broker", default=False)
"""Whether this runs under a test broker: it must not wait for itself."""


_OPEN: Final[ContextVar[Quiescence | None]] = ContextVar("callboard-test", default=None)


class Quiescence:
    """Watches the brokers of one test, in the memories that stand in for their servers."""

    def __init__(self) -> None:
        self._memories: list[Memory] = []
        self._failures: list[Exception] = []
        self._left: list[Delivery] = []
        self._tried_again = Counter[object]()
        """Messages that a `Retry` gives another try, which may be with the broker until it is due."""
        self._running = 0
        self._changed = anyio.Event()

    @classmethod
    def around(cls) -> Quiescence:
        """Return what watches the test in which this runs: one that is open already, or another."""
        open_ = _OPEN.get()
        if open_ is None or not open_.watches:
            open_ = cls()
            _OPEN.set(open_)
        return open_

    @property
    def watches(self) -> bool:
        """Whether it watches anything."""
        return bool(self._memories)

    def watch(self, memories: Collection[Memory]) -> Callable[[], object]:
        """Watch *memories* too; return what ends that."""
        self._memories += memories

        def end() -> None:
            self._memories = [each for each in self._memories if each not in memories]
            self.changed()

        return end

    def _outstanding(self) -> int:
        """Count what is not settled, without what is not due."""
        return sum(each.outstanding for each in self._memories)

    async def settled(self) -> None:
        """Wait until nothing runs, and all is settled but what was left unsettled on purpose."""
        while self._running or self._tried_again or self._outstanding() > self._held():
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

    def gone(self) -> None:
        """Hear that a subscription has ended, which tries nothing again."""
        self._tried_again.clear()
        self.changed()

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
        is_left, parts = outcome.settlement is None, parts_of(delivery)
        if outcome.attempt is not None and not outcome.leaves:
            self._tried_again.update(_try(part.message, outcome.attempt + 1) for part in parts)
            return
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
        parts: Sequence[Message] = getattr(message, "parts", [message])
        for part in parts if self._tried_again else ():
            self._tried_again -= Counter([_try(part, part.attempt)])
        if self._left:
            again = {id(each) for each in parts}
            self._left = [each for each in self._left if id(each.message) not in again]

    def _held(self) -> int:
        self._left = [delivery for delivery in self._left if not delivery.settled]
        return len(self._left)


def _try(message: Message, attempt: int) -> Hashable:
    """Tell a try of *message* from others: each is brought by a message of its own."""
    return message.address, message.key, message.body, attempt
