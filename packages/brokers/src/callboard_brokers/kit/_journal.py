"""What an adapter counts and tells."""

from __future__ import annotations

from collections import Counter

from callboard_brokers.events import Event, Notify


class Journal:
    """The counts of one adapter, by the names of events."""

    __slots__ = ("_notify", "counts")

    def __init__(self, notify: Notify | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._notify = notify

    def tell(self, event: Event) -> None:
        """Count *event*, and tell whoever listens."""
        self.counts[event.name] += 1
        if self._notify is not None:
            self._notify(event)
