"""A reader of a group, and the ledger of what it holds."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from anyio.lowlevel import checkpoint

from callboard_brokers._delivery import Delivery
from callboard_brokers._errors import ConnectionClosed
from callboard_brokers._settlement import Settlement
from callboard_brokers.memory._book import Book
from callboard_brokers.memory._group import Group
from callboard_brokers.memory._records import MemoryRecord

__all__ = ["MemorySubscription"]

FAIR = 64
"""After so many calls that found something at once, others get a turn."""


class MemorySubscription:
    """Reads a group; as long as it has unsettled deliveries.

    When it is left, all that it holds is given back; what is settled later is stale.
    """

    __slots__ = ("_book", "_capacity", "_epoch", "_open", "_turn", "_unsettled", "group")

    def __init__(self, group: Group, capacity: int, epoch: int, book: Book) -> None:
        self.group = group
        self._capacity = capacity
        self._epoch = epoch
        self._book = book
        self._open = True
        self._turn = 0
        self._unsettled: dict[object, MemoryRecord] = {}

    def __len__(self) -> int:
        return len(self._unsettled)

    async def receive(
        self, limit: int, max_bytes: float = inf, /
    ) -> Sequence[Delivery[MemoryRecord]]:
        """Wait for at least one delivery; return at most *limit* and *max_bytes*, oldest first.

        Raises:
            ConnectionClosed: The subscription has been left.
        """
        if limit < 1:
            raise ValueError(f"cannot receive {limit} deliveries: ask for at least one")
        self._turn += 1
        if self._turn % FAIR == 0:
            await checkpoint()
        while self._open:
            records = self.group.take(min(limit, self._capacity), max_bytes)
            if records:
                return [self._deliver(record) for record in records]
            await self.group.wait()
        raise ConnectionClosed(
            f"the subscription of group {self.group.route.group!r} has been left; subscribe again"
        )

    def settle(self, delivery: Delivery, settlement: Settlement, delay: float | None, /) -> None:
        """Take *delivery* off what is held, and do what its settlement asks for."""
        record = self._unsettled.pop(delivery.token, None)
        if record is None:
            self._book.journal.tell("settle.stale", delivery.message.address)
            return
        if settlement is not Settlement.ACK:
            self._pass_on(record, settlement, delay)
        if self._book.watch is not None and not self._unsettled:
            self._book.watch()

    def settled_twice(self, delivery: Delivery, /) -> None:
        """Count it."""
        self._book.journal.tell("settle.double", delivery.message.address)

    def count_failure(self, delivery: Delivery, delay: float | None, /) -> float | None:
        """Count it as a nack would, whose delay or end it tells."""
        record = self._unsettled.get(delivery.token)
        usual = None if record is None else self._book.redelivery(record.deliveries)
        if record is None or usual is None:
            return None
        record.deliveries += 1
        delivery.deliveries = record.deliveries
        self._book.journal.counts["message.redelivered"] += 1
        return usual if delay is None else delay

    def leave(self) -> None:
        """Give back everything unsettled, and end what waits in `receive`; once."""
        self._open = False
        held, self._unsettled = self._unsettled, {}
        for record in held.values():
            self._release(record)
        self.group.wake_all()

    def _deliver(self, record: MemoryRecord) -> Delivery[MemoryRecord]:
        record.deliveries += 1
        self._unsettled[record] = record
        return Delivery(record.message(), self, self._epoch, record.deliveries, record)

    def _pass_on(self, record: MemoryRecord, settlement: Settlement, delay: float | None) -> None:
        if settlement is Settlement.RELEASE:
            self._release(record)
        elif settlement is Settlement.REJECT:
            self._book.bury(record, self.group.route.group, "rejected")
        else:
            self._redeliver(record, delay)

    def _redeliver(self, record: MemoryRecord, delay: float | None) -> None:
        usual = self._book.redelivery(record.deliveries)
        if usual is None:
            reason = f"given up after {record.deliveries} deliveries"
            self._book.bury(record, self.group.route.group, reason)
            return
        self._book.journal.counts["message.redelivered"] += 1
        self.group.put_back(record, usual if delay is None else delay)

    def _release(self, record: MemoryRecord) -> None:
        record.deliveries -= 1
        self.group.put_back(record)
