"""What a mailbox and its readers have in common: how much is queued, and who waits for room."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

import anyio

from callboard_actors._events import Event, Notify

__all__ = ["Crashes", "Stock"]

T = TypeVar("T")


class Crashes:
    """How often an item has crashed its actor, and how the last time looked."""

    __slots__ = ("count", "text")

    def __init__(self, count: int, text: str) -> None:
        self.count = count
        self.text = text


class Stock(Generic[T]):
    """The accounts of one mailbox.

    Once it is full, it has no room until it is half empty: a sender that is woken for every
    single place would cost more than the place is worth.
    """

    __slots__ = (
        "bytes",
        "capacity",
        "closed",
        "crashes",
        "dropped",
        "max_bytes",
        "name",
        "notify",
        "queued",
        "roomy",
        "size",
        "system",
    )

    def __init__(
        self,
        capacity: int,
        max_bytes: int | None,
        size: Callable[[T], int] | None,
        notify: Notify | None,
        name: str,
    ) -> None:
        self.capacity = capacity
        self.max_bytes = max_bytes
        self.size = size
        self.notify = notify
        self.name = name
        self.queued = 0
        self.bytes = 0
        self.dropped = 0
        self.closed = False
        self.system: deque[T] = deque()
        # Keyed by identity: an entry lives only while its item is queued or held.
        self.crashes: dict[int, Crashes] = {}
        self.roomy: anyio.Event | None = None

    @property
    def free(self) -> int:
        """Return how many more items may be queued."""
        if self.max_bytes is not None and self.queued and self.bytes >= self.max_bytes:
            return 0
        return max(self.capacity - self.queued, 0)

    async def wait_for_room(self) -> None:
        """Wait until the mailbox, which is full, is half empty or closed."""
        if self.roomy is None:
            self.roomy = anyio.Event()
            self.report("mailbox.high_water", {"queued": self.queued, "bytes": self.bytes})
        await self.roomy.wait()

    def relieve(self) -> None:
        """Wake who waits for room, if there is enough of it."""
        if self.roomy is None:
            return
        half_empty = self.queued <= self.capacity // 2 and (
            self.max_bytes is None or self.bytes <= self.max_bytes // 2
        )
        if half_empty or self.closed:
            self.roomy.set()
            self.roomy = None
            self.report("mailbox.low_water", {"queued": self.queued, "bytes": self.bytes})

    def forget(self, items: Sequence[T]) -> None:
        """Account for *items* that were taken out of the queue for good."""
        self.queued -= len(items)
        if self.size is not None:
            self.bytes -= sum(map(self.size, items))
        for item in items:
            self.crashes.pop(id(item), None)
        self.relieve()

    def report(self, name: str, attributes: Mapping[str, object]) -> None:
        """Tell whoever wants to know."""
        if self.notify is not None:
            self.notify(Event(name, self.name, attributes))
