"""What the broker is to be told: of each delivery by itself, or up to where all is settled."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeAlias

from callboard_brokers._delivery import Delivery
from callboard_brokers._settlement import Settlement
from callboard_brokers._tracker import Tracked, Tracker

Entry: TypeAlias = tuple[Delivery, Settlement, float | None]
"""A settlement that the broker has not been told, and its delay."""


class Each:
    """Settlements in the order in which they were made; *wake* is called for each.

    An adapter that pulls asks the broker for nothing while more of them wait than it may hold:
    so they are bounded too, while the broker takes none.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._entries: list[Entry] = []
        self._wake = wake

    def __len__(self) -> int:
        return len(self._entries)

    def write(self, delivery: Delivery, settlement: Settlement, delay: float | None) -> None:
        """Note it."""
        self._entries.append((delivery, settlement, delay))
        self._wake()

    @contextmanager
    def sending(self) -> Generator[list[Entry]]:
        """Take everything, to be sent in the body; if that fails, keep what is left in the list.

        What went out in vain, or half, is sent again: take out of the list what must not be.
        """
        entries, self._entries = self._entries, []
        try:
            yield entries
        except BaseException:
            self._entries[:0] = entries
            raise

    def forget(self) -> list[Entry]:
        """Take everything, which cannot be sent any more: its epoch has ended."""
        entries, self._entries = self._entries, []
        return entries


class Prefix:
    """The position of a *tracker*, which knows a delivery by its token; for acks and rejects.

    *wake* is called when it moves. `Held` needs an *again* beside it, since a position cannot say
    that something is to come again.

    Attributes:
        sent: The position that the broker was told last; None: none yet.
    """

    def __init__(self, tracker: Tracker, wake: Callable[[], None], sent: int | None = None) -> None:
        self.tracker = tracker
        self.sent = sent
        self._wake = wake

    def write(self, delivery: Delivery, settlement: Settlement, delay: float | None) -> None:
        """Note that *delivery* is done with, acknowledged or rejected."""
        del settlement, delay
        token = delivery.token
        if isinstance(token, Tracked) and self.tracker.done(token):
            self._wake()

    @property
    def unsent(self) -> int | None:
        """The position to tell the broker; None if it has been told. It never goes back."""
        position = self.tracker.position
        return None if position == self.sent else position
