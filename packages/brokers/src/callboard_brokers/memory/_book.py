"""What a broker in memory writes down beside its queues: counts and dead letters."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import TypeAlias

from callboard_brokers.memory._records import DeadLetter, MemoryRecord

__all__ = ["Book", "Notify", "Redelivery", "redelivery"]

Notify: TypeAlias = Callable[[str, Mapping[str, object]], None]
Redelivery: TypeAlias = Callable[[int], float | None]
"""Given how often a message was delivered, returns the delay before the next time; None: never."""


def redelivery(deliveries: int) -> float:
    """Double from 0.1 s up to 30 s."""
    return min(30.0, 0.1 * 2.0 ** min(deliveries - 1, 16))


class Book:
    """Shared by all connections of one broker; `counts` are by the names of events."""

    __slots__ = ("_notify", "counts", "dead_letters", "redelivery", "watch")

    def __init__(self, redelivery: Redelivery, keep: int, notify: Notify | None) -> None:
        self.counts: Counter[str] = Counter()
        self.dead_letters: deque[DeadLetter] = deque(maxlen=keep)
        self.redelivery = redelivery
        self.watch: Callable[[], None] | None = None  # called when a reader holds nothing more
        self._notify = notify

    def count(self, event: str, address: str, **attributes: object) -> None:
        """Count *event*, and tell whoever listens."""
        self.counts[event] += 1
        if self._notify is not None:
            self._notify(event, {"address": address, **attributes})

    def bury(self, record: MemoryRecord, group: str | None, reason: str) -> None:
        """Keep *record* among the dead letters; the oldest of too many is forgotten."""
        self.dead_letters.append(DeadLetter(record.message(), record.address, group, reason))
        self.count("message.dead_lettered", record.address, group=group, reason=reason)
