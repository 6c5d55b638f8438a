"""What a mailbox and its readers have in common: how much is queued, and who waits for room."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio

from callboard_actors.events import MailboxFilled, MailboxRelieved, Notify

T = TypeVar("T")


@dataclass(slots=True)
class Crashes:
    """How often an item has crashed its actor, and how the last time looked."""

    count: int
    text: str


@dataclass(eq=False, slots=True)
class Gauge(Generic[T]):
    """The accounts of one mailbox.

    Once it is full, it has no room until it is half empty, or a reader finds nothing to take: a
    sender that is woken for every single place would cost more than the place is worth.
    """

    capacity: int
    max_bytes: float
    size: Callable[[T], int] | None
    notify: Notify
    name: str
    queued: int = 0  # what is deferred keeps its room: it is counted here, and in `bytes`
    bytes: int = 0
    deferred: int = 0
    dropped: int = 0
    closed: bool = False
    now: Callable[[], float] = anyio.current_time  # until a reader brings a faster one
    system: deque[T] = field(default_factory=deque[T])
    # Keyed by identity: an entry lives only while its item is queued or held.
    crashes: dict[int, Crashes] = field(default_factory=dict[int, Crashes])
    roomy: anyio.Event | None = None
    # When so many are queued, or fewer, who waits for room is woken; -1 while nobody does.
    relief: int = -1

    @property
    def free(self) -> int:
        """Return how many more items may be queued."""
        return 0 if self.bytes >= self.max_bytes else max(self.capacity - self.queued, 0)

    async def wait_for_room(self) -> None:
        """Wait until the mailbox, which is full, is half empty or closed."""
        if self.roomy is None:
            self.roomy = anyio.Event()
            self.relief = self.capacity // 2
            self.notify(MailboxFilled(self.name, self.queued, self.bytes))
        await self.roomy.wait()

    def relieve(self) -> None:
        """Wake who waits for room, if there is enough of it."""
        if self.roomy is None:
            return
        half_empty = self.queued <= self.relief and self.bytes <= self.max_bytes / 2
        if half_empty or self.closed:
            self._let_in(self.roomy)

    def feed(self) -> None:
        """Wake who waits for room, if there is any: a reader has nothing to take."""
        # What waits here for its time must not keep out for whom there would be room.
        if self.roomy is not None and self.free:
            self._let_in(self.roomy)

    def _let_in(self, roomy: anyio.Event) -> None:
        roomy.set()
        self.roomy, self.relief = None, -1
        self.notify(MailboxRelieved(self.name, self.queued, self.bytes))

    def forget(self, sized: Sequence[tuple[T, int]]) -> None:
        """Account for items that were taken out of the queue for good, given with their sizes."""
        self.queued -= len(sized)
        for item, size in sized:
            self.bytes -= size
            self.crashes.pop(id(item), None)
        self.relieve()
