"""What an adapter counts and tells, and a signal that can be waited for again and again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeAlias

from anyio import Event, move_on_after

__all__ = ["Journal", "Notify", "Signal"]

Notify: TypeAlias = Callable[[str, Mapping[str, object]], None]


class Journal:
    """The counts of one adapter, by the names of events."""

    __slots__ = ("_notify", "counts")

    def __init__(self, notify: Notify | None) -> None:
        self.counts: Counter[str] = Counter()
        self._notify = notify

    def tell(self, event: str, address: str, **attributes: object) -> None:
        """Count *event*, and tell whoever listens."""
        self.counts[event] += 1
        if self._notify is not None:
            self._notify(event, {"address": address, **attributes})


class Signal:
    """Wakes whoever waits at the moment; nobody later."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = Event()

    def set(self) -> None:
        """Wake them."""
        self._event.set()
        self._event = Event()

    async def wait(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - one scope, here
        """Return when it is set, or after *timeout* seconds."""
        event = self._event
        with move_on_after(timeout):
            await event.wait()
