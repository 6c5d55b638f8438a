"""The broker in this process: adapter and broker in one."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from anyio import Event

from callboard_brokers._port import Features
from callboard_brokers.events import (
    MessageDeadLettered,
    MessageUnrouted,
    Notify,
    SettledLate,
    SettledTwice,
)
from callboard_brokers.kit._journal import Journal
from callboard_brokers.memory._book import Book, Redelivery, redelivery
from callboard_brokers.memory._connection import MemoryConnection
from callboard_brokers.memory._exchange import Exchange
from callboard_brokers.memory._records import DeadLetter, MemorySource, MemoryStats, MemoryTarget
from callboard_brokers.memory._routing import Routing, Templates

_FEATURES: Final = Features(
    redelivers=True,
    delays=True,
    counts_deliveries=True,
    keeps_rejected=True,
    groups=True,
    fans_out=True,
    persistent=True,
    ordered_by_key=True,
    keys=True,
    headers=True,
    binary_headers=True,
    backpressure=True,
)


class Memory:
    """A message broker in this process, shared by everyone who connects to this object.

    It keeps what it keeps in memory: groups, queues and dead letters end with it. *capacity*
    bounds the queue of each group; publishing waits while one is full, so whoever publishes to
    the group that he reads needs room in it. Nacked messages come again after `redelivery(n)`,
    n being the deliveries so far; None gives the message up. The newest *dead_letters* are kept.
    *notify* is told what is dropped, by the types of `callboard_brokers.events`. Neither it nor
    *redelivery* may raise.
    """

    def __init__(
        self,
        *,
        capacity: int = 10_000,
        routing: Routing[MemorySource, MemoryTarget] | None = None,
        redelivery: Redelivery = redelivery,
        dead_letters: int = 1000,
        notify: Notify | None = None,
    ) -> None:
        if capacity < 1:
            raise ValueError(f"a queue with a capacity of {capacity} holds nothing: give 1 or more")
        self._book = Book(Journal(notify), redelivery, deque(maxlen=dead_letters))
        self._routing = routing or Templates()
        self._exchange = Exchange(capacity, self._book, self._routing)
        self._settled: Event | None = None

    def features(self, source: MemorySource, /) -> Features:
        """Return what *source* can do: without a group nothing is kept for it, nor shared."""
        readership = self._routing.source(source)
        shared = readership.group is not None
        return replace(_FEATURES, groups=shared, persistent=shared and readership.keeps)

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[MemoryConnection[MemorySource, MemoryTarget]]:
        """Open a connection; leaving it ends whatever still waits there."""
        connection = MemoryConnection(self._exchange, self._routing)
        try:
            yield connection
        finally:
            connection.close()

    @property
    def outstanding(self) -> int:
        """How many messages a reader holds or could take now, once for each group.

        Without those that are not due yet, and without those of groups that nobody reads.
        """
        return self._exchange.outstanding

    async def settled(self) -> None:
        """Wait until nothing is outstanding."""
        while self.outstanding:
            if self._settled is None:
                self._settled = Event()
                self._book.watch = self._look
            await self._settled.wait()

    def unread(self, address: str) -> int:
        """Return how many messages to *address* could be taken now, once for each group."""
        return sum(group.count(address) for group in self._exchange.groups)

    def dead_letters(self, address: str | None = None) -> Sequence[DeadLetter]:
        """Return the dead letters that are kept, oldest first; to *address*, or all."""
        return [
            letter
            for letter in self._book.dead_letters
            if address is None or letter.address == address
        ]

    def stats(self) -> MemoryStats:
        """Return what has been counted, and what is held now."""
        counts, groups = self._book.journal.counts, self._exchange.groups
        return MemoryStats(
            published=self._exchange.published,
            unrouted=counts[MessageUnrouted.name],
            redelivered=counts["message.redelivered"],
            dead_lettered=counts[MessageDeadLettered.name],
            stale=counts[SettledLate.name],
            settled_twice=counts[SettledTwice.name],
            waiting=sum(group.waiting for group in groups),
            delayed=sum(group.delayed for group in groups),
            unsettled=sum(group.unsettled for group in groups),
        )

    def _look(self) -> None:
        if self._settled is not None and not self.outstanding:
            self._settled.set()
            self._settled = self._book.watch = None
