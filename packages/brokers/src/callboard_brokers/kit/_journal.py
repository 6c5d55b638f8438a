"""What an adapter counts and tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeAlias

__all__ = ["Journal", "Tell"]

Tell: TypeAlias = Callable[[str, Mapping[str, object]], None]
"""Takes the name of an event and its attributes; it may not raise."""


class Journal:
    """The counts of one adapter, by the names of events."""

    __slots__ = ("_notify", "counts")

    def __init__(self, notify: Tell | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._notify = notify

    def tell(self, event: str, address: str, **attributes: object) -> None:
        """Count *event*, and tell whoever listens."""
        self.counts[event] += 1
        if self._notify is not None:
            self._notify(event, {"address": address, **attributes})
