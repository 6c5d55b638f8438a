"""What all connections of a broker in memory share beside its queues."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

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
