"""A reader of a group, and what it holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Final

from anyio.lowlevel import checkpoint

from callboard_brokers._delivery import Delivery
from callboard_brokers._errors import ConnectionClosed
from callboard_brokers._port import Capacity
from callboard_brokers._settlement import Settlement
from callboard_brokers.kit._held import Held
from callboard_brokers.kit._inflow import FAIR
from callboard_brokers.memory._book import Book
from callboard_brokers.memory._group import Group
from callboard_brokers.memory._records import MemoryRecord

_ACK: Final = Settlement.ACK
"""Looked up once: a member of an enumeration costs more than the rest of what an ack does."""


class MemorySubscription:
    """Reads a group; as long as it has unsettled deliveries.

    When it is left, all that it holds is given back; what is settled later is stale.
    """

    __slots__ = ("_book", "_capacity", "_give_up", "_held", "_open", "_turn", "group")

    def __init__(
        self,
        group: Group,
        capacity: Capacity,
        epoch: int,
        book: Book,
        give_up: Callable[[MemoryRecord, Group, str], None],
    ) -> None:
        self.group = group
        self._capacity = capacity
        self._book = book
        self._give_up = give_up
        self._open = True
        self._turn = 0
        self._held = Held[MemoryRecord](
            self._settle, book.journal, backoff=lambda nacks: self._redelivery(nacks + 1)
        )
        self._held.epoch = epoch

    def __len__(self) -> int:
        return len(self._held)

    async def receive(
        self, limit: int, max_bytes: float = inf, /
    ) -> Sequence[Delivery[MemoryRecord]]:
        """Wait for at least one delivery; return at most *limit* and *max_bytes*, oldest first.

        Raises:
            ConnectionClosed: The subscription has been left.
        """
        capacity = self._capacity
        if limit < 1:
            raise ValueError(f"cannot receive {limit} deliveries: ask for at least one")
        self._turn += 1
        if self._turn % FAIR == 0:
            await checkpoint()
        most, max_bytes = min(limit, capacity.messages), min(max_bytes, capacity.bytes)
        while self._open:
            records = self.group.take(most, max_bytes)
            if records:
                return [self._deliver(record) for record in records]
            await self.group.wait()
        raise ConnectionClosed(
            f"the subscription of group {self.group.readership.group!r} has been left; subscribe again"
        )

    def count_failure(self, delivery: Delivery, delay: float | None, /) -> float | None:
        """Count it as a nack would, whose delay or end it tells."""
        wait = self._held.count_failure(delivery, delay)
        if wait is not None and isinstance(record := delivery.token, MemoryRecord):
            record.deliveries += 1
            self._book.journal.counts["message.redelivered"] += 1
        return wait

    async def stop_intake(self) -> None:
        """Receive nothing more: nothing waits here that could be given back."""
        self._open = False
        self.group.wake_all()

    def leave(self) -> None:
        """Give back everything unsettled, and end what waits in `receive`; once."""
        self._open = False
        for delivery in self._held.end_epoch():
            self._settle(delivery, Settlement.RELEASE, None)
        self.group.wake_all()

    def _deliver(self, record: MemoryRecord) -> Delivery[MemoryRecord]:
        record.deliveries += 1
        return self._held.deliver(record.message(), record, record.deliveries)

    def _settle(self, delivery: Delivery, settlement: Settlement, delay: float | None) -> None:
        """Do what the settlement of *delivery* asks for."""
        if settlement is not _ACK:
            self._pass_on(delivery, settlement, delay)
        if self._book.watch is not None and not self._held:
            self._book.watch()

    def _pass_on(self, delivery: Delivery, settlement: Settlement, delay: float | None) -> None:
        record = delivery.token
        if not isinstance(record, MemoryRecord):
            return
        if settlement is Settlement.RELEASE:
            record.deliveries -= 1
            self.group.put_back(record)
        elif settlement is Settlement.REJECT:
            self._give_up(record, self.group, "rejected")
        elif self._redelivery(record.deliveries) is None:
            reason = f"given up after {record.deliveries} deliveries"
            self._give_up(record, self.group, reason)
        else:
            self._book.journal.counts["message.redelivered"] += 1
            self.group.put_back(record, delay or 0.0)

    def _redelivery(self, deliveries: int) -> float | None:
        limit = self.group.readership.limit
        over = limit is not None and deliveries > limit
        return None if over else self._book.redelivery(deliveries)
