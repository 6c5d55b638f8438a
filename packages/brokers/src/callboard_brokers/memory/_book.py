"""What all connections of a broker in memory share beside its queues."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from anyio.lowlevel import checkpoint

from callboard_brokers._message import Message
from callboard_brokers.events import MessageDeadLettered
from callboard_brokers.kit._backoff import REDELIVER
from callboard_brokers.kit._journal import Journal
from callboard_brokers.memory._records import DeadLetter, MemoryRecord

Redelivery: TypeAlias = Callable[[int], float | None]
"""Given how often a message was delivered, returns the delay before the next time; None: never."""


def redelivery(deliveries: int) -> float:
    """Double from 0.1 s up to 30 s."""
    return REDELIVER.whole(deliveries - 1)


@dataclass(eq=False, slots=True)
class Book:
    """The dead letters, and who is told what."""

    journal: Journal
    redelivery: Redelivery
    dead_letters: deque[DeadLetter]
    watch: Callable[[], None] | None = None
    """Called when a reader holds nothing more."""

    def keep(self, record: MemoryRecord, group: str | None, reason: str) -> None:
        """Keep *record* among the dead letters; the oldest of too many is forgotten."""
        self.dead_letters.append(DeadLetter(record.message(), record.address, group, reason))
        self.journal.tell(MessageDeadLettered(record.address, group, reason))


class Pages:
    """The dead letters at an *address* of a *book*, as they are when it is opened."""

    def __init__(self, book: Book, address: str) -> None:
        self._letters = book.dead_letters
        self._ahead = deque(each for each in book.dead_letters if each.address == address)
        self._read = dict[Message, DeadLetter]()

    async def read(self, limit: int, /) -> Sequence[Message]:
        """Return the next *limit* at most, the oldest first; none: that was all."""
        await checkpoint()
        letters = [self._ahead.popleft() for _ in range(min(limit, len(self._ahead)))]
        self._read |= {each.message: each for each in letters}
        return [each.message for each in letters]

    async def remove(self, messages: Sequence[Message], /) -> None:
        """Keep *messages* no more."""
        await checkpoint()
        for each in messages:
            letter = self._read.pop(each, None)
            if letter is not None and letter in self._letters:
                self._letters.remove(letter)
