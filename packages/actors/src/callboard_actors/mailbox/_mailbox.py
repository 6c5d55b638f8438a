"""The bounded queue in front of actors: the only place where messages wait, hence backpressure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import repeat
from math import inf
from typing import Generic, TypeVar

import anyio

from callboard_actors._errors import MailboxClosed, SpecError
from callboard_actors.events import Notify, ignore
from callboard_actors.mailbox._gauge import Crashes, Gauge
from callboard_actors.mailbox._lanes import Entry, Lanes
from callboard_actors.mailbox._line import Line, rouse
from callboard_actors.mailbox._reader import Reader

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MailboxStats:
    """A mailbox at one moment.

    Attributes:
        queued: Items that no reader has taken; without the system lane.
        held: Items that readers have taken and are not done with, the deferred ones included.
        bytes: Of the queued and the deferred items, by the mailbox's `size`.
        oldest_age: Seconds since the oldest queued item was put; 0 if there is none.
        dropped: Items that readers have given up so far.
        capacity: How many items may be queued.
        closed: Whether nothing can be put any more.
        parked: Lanes and items without a lane that wait for their time.
        halted: Those of them that never come by themselves: their delay has no end.
    """

    queued: int
    held: int
    bytes: int
    oldest_age: float
    dropped: int
    capacity: int
    closed: bool
    parked: int
    halted: int


class Mailbox(Generic[T]):
    """Items wait here for readers, and outlive the readers' crashes.

    Without `lane` and `shards` it is a plain queue for any number of readers. With `lane`, items
    of equal key are handled one at a time and in order, whichever reader takes them, and keys
    take turns; items whose key is None run freely. With `shards`, `lane` names the shard by
    number, and each reader reads one shard. None is not an item.

    A plain queue and a shard have no lanes, and keep the order of arrival; `kin` says there which
    items have to wait while one is parked.

    Args:
        capacity: How many items may be queued, or deferred; what readers hold does not count.
        max_bytes: How many bytes may be queued, by `size`. One item may exceed it, and what comes
            by `put_many`, whose sender asks for `free_bytes`.
        size: The bytes of an item; must not change while the item is queued. None: nothing is
            weighed.
        lane: The key of an item.
        kin: In a plain queue or a shard, what an item has in common with those that wait while it
            is parked; None for an item without such. Asked only while something is parked.
            None: all wait.
        shards: How many readers with a part of their own there are.
        notify: Told when the mailbox is full, has room again, or an item is given up.
        name: Its name in reports and errors.

    Raises:
        SpecError: The options contradict each other.
    """

    def __init__(  # noqa: PLR0913 - all but the first are options by name
        self,
        capacity: int = 256,
        *,
        max_bytes: int | None = 16 * 2**20,
        size: Callable[[T], int] | None = None,
        lane: Callable[[T], Hashable | None] | None = None,
        kin: Callable[[T], Hashable | None] | None = None,
        shards: int = 1,
        notify: Notify | None = None,
        name: str = "mailbox",
    ) -> None:
        if capacity < 1 or shards < 1 or (max_bytes is not None and max_bytes < 1):
            given = f"{capacity=}, {shards=}, {max_bytes=}"
            raise SpecError(f"mailbox {name!r} has {given}; give at least 1 of each")
        if shards > 1 and lane is None:
            message = f"mailbox {name!r} has {shards} shards but no lane= that chooses among them"
            raise SpecError(message)
        if kin is not None and lane is not None and shards == 1:
            message = f"mailbox {name!r} has lanes, which say who waits for whom; leave out kin="
            raise SpecError(message)
        self._gauge = Gauge(
            capacity, inf if max_bytes is None else max_bytes, size, notify or ignore, name
        )
        self._lane = lane
        self._lanes = Lanes[T]() if lane is not None and shards == 1 else None
        self._lines = (
            []
            if self._lanes is not None
            else [Line(kin, weighed=size is not None) for _ in range(shards)]
        )
        self._line = self._lines[0] if lane is None else None
        self._readers: list[Reader[T]] = []

    def __len__(self) -> int:
        return self._gauge.queued - self._gauge.deferred

    @property
    def free(self) -> int:
        """How many items there is room for now."""
        return self._gauge.free

    @property
    def free_bytes(self) -> float:
        """How many bytes there is room for now; one item may exceed it."""
        return max(self._gauge.max_bytes - self._gauge.bytes, 0)

    async def room(self) -> int:
        """Wait until there is room; return for how many items, at least one.

        Once the mailbox is full, that is when it is half empty.

        Raises:
            MailboxClosed: The mailbox is closed, perhaps while waiting.
        """
        gauge = self._gauge
        self._require_open()
        while gauge.roomy is not None or not gauge.free:
            await gauge.wait_for_room()
            self._require_open()
        return gauge.free

    def put_many(self, items: Sequence[T], sizes: Sequence[int] | None = None) -> None:
        """Leave *items* at once, without waiting, even beyond the bounds.

        A sender asks for `room` and `free_bytes` first, and brings no more than that. He may know
        the *sizes*, which are those that the mailbox's `size` would give; None: it is asked.

        Raises:
            MailboxClosed: None of the items was left.
        """
        self._require_open()
        if not items:
            return
        # All keys and sizes before the first item: if one raises, nothing was left.
        keys = [*map(self._lane, items)] if self._lane is not None else ()
        if self._gauge.size is None:
            sizes = ()
        elif sizes is None:
            sizes = [*map(self._gauge.size, items)]
        now = self._gauge.now()
        if self._line is not None:
            self._line.extend(items, sizes, now)
        elif self._lanes is not None:
            self._lanes.extend(items, keys, sizes or repeat(0), now)
        else:
            self._distribute(items, keys, sizes, now)
        self._gauge.queued += len(items)
        self._gauge.bytes += sum(sizes)

    def condemn(self, item: T, reason: str) -> None:
        """Count *item*, which is queued, as one that has crashed its actor twice, for *reason*."""
        self._gauge.crashes[id(item)] = Crashes(2, reason)

    def put_nowait(self, item: T) -> bool:
        """Leave *item* if there is room; return whether there was.

        Raises:
            MailboxClosed: The mailbox is closed.
        """
        gauge, line = self._gauge, self._line
        if gauge.closed:
            self._require_open()
        if gauge.queued >= gauge.capacity or gauge.bytes >= gauge.max_bytes:
            return False
        if line is None or gauge.size is not None:
            self.put_many((item,))
        else:
            line.append(item, gauge.now())
            gauge.queued += 1
        return True

    async def put(self, item: T) -> None:
        """Leave *item*, waiting for room.

        If cancelled, *item* was not left. Nobody overtakes those who already wait.

        Raises:
            MailboxClosed: The mailbox is closed, perhaps while waiting.
        """
        while not self.offer(item):
            await self.room()

    def offer(self, item: T) -> bool:
        """Leave *item* if there is room and nobody waits for it; return whether it was left.

        Raises:
            MailboxClosed: The mailbox is closed.
        """
        return self._gauge.roomy is None and self.put_nowait(item)

    def put_system(self, item: T) -> None:
        """Leave *item* in the system lane, which has no bound and is always read first.

        Raises:
            MailboxClosed: The mailbox is closed.
        """
        self._require_open()
        self._gauge.system.append(item)
        for queue in self._queues:
            rouse(queue.sleepers, 1)

    def done(self, item: T) -> None:
        """Say that *item*, which was deferred, is handled."""
        gauge = self._gauge
        gauge.forget([(item, 0 if gauge.size is None else gauge.size(item))])
        self._no_longer_deferred(1)
        # Readers who sleep have found nothing to take, and won't look again for the sake of room.
        if gauge.roomy is not None and any(queue.sleepers for queue in self._queues):
            gauge.feed()

    def put_back(self, items: Sequence[T]) -> None:
        """Return *items*, which were deferred, to before all others of their lane, or kin.

        They are in their order, and of one lane, or kin of each other. They do not pass what a
        reader of that lane holds.
        """
        gauge = self._gauge
        sizes = [0 if gauge.size is None else gauge.size(item) for item in items]
        key = None if self._lane is None else self._lane(items[0])
        if self._lanes is not None:
            self._lanes.put_first(items, key, sizes, gauge.now(), self._held())
        else:
            shards: dict[Hashable, Line[T]] = dict(enumerate(self._lines))
            (self._line or shards[key]).put_first(items, sizes)
        self._no_longer_deferred(len(items))

    def reader(self, shard: int = 0) -> Reader[T]:
        """Return a new reader, of this *shard* if there are several."""
        reader = Reader(self._gauge, self._queues[shard])
        self._readers.append(reader)
        return reader

    def drain(self) -> list[T]:
        """Take out everything that is queued; return it, each lane in order."""
        return self.purge(lambda _: True)

    def purge(self, stale: Callable[[T], bool]) -> list[T]:
        """Take out the queued items that are *stale*; return them, each lane in order.

        What readers hold stays, and so does the system lane.
        """
        if self._lanes is not None:
            out = self._lanes.take_out(stale, self._held())
        else:
            out = [pair for line in self._lines for pair in line.take_out(stale)]
        self._gauge.forget(out)
        self._rouse_all()  # what was parked may be gone, or the last of a closed mailbox
        return [item for item, _ in out]

    def take_parked(self) -> list[T]:
        """Take out what is parked, and what waits behind it; return it, each lane in order."""
        out = [pair for queue in self._queues for pair in queue.take_parked()]
        self._gauge.forget(out)
        self._rouse_all()  # it may have been the last of a closed mailbox
        return [item for item, _ in out]

    @property
    def ready(self) -> bool:
        """Whether there is anything to take now."""
        return any(queue.ready for queue in self._queues)

    def hasten(self, part: float) -> None:
        """Let go on what is parked and due first, until it has no more than this *part* of the room.

        What waits behind it counts; what is parked without an end does not, and stays.
        """
        gauge, queues = self._gauge, self._queues
        most = int(part * gauge.capacity)
        if gauge.queued - sum(len(queue.ready) for queue in queues) <= most:
            return  # nearly always
        for queue in queues:
            queue.hasten(most // len(queues))

    @property
    def closed(self) -> bool:
        """Whether nothing can be put any more."""
        return self._gauge.closed

    def close(self) -> None:
        """Let nothing more in. Readers go on until all is handled, then they are told."""
        self._gauge.closed = True
        self._gauge.relieve()
        self._rouse_all()

    def reopen(self) -> None:
        """Let more in again, for new readers of what is there."""
        self._gauge.closed = False

    def stats(self) -> MailboxStats:
        """Return the figures of this moment."""
        gauge, lanes, lines = self._gauge, self._lanes, self._lines
        oldest = (
            [line.oldest() for line in lines] if lanes is None else [lanes.oldest(self._held())]
        )
        ages = [at for at in oldest if at is not None]
        return MailboxStats(
            queued=len(self),
            held=sum(reader.current is not None for reader in self._readers) + gauge.deferred,
            bytes=gauge.bytes,
            oldest_age=anyio.current_time() - min(ages) if ages else 0.0,
            dropped=gauge.dropped,
            capacity=gauge.capacity,
            closed=gauge.closed,
            parked=sum(len(queue.parked) for queue in self._queues),
            halted=sum(due == inf for queue in self._queues for due, *_ in queue.parked),
        )

    @property
    def _queues(self) -> Sequence[Lanes[T] | Line[T]]:
        return self._lines if self._lanes is None else (self._lanes,)

    def _held(self) -> list[Entry[T]]:
        return [reader.entry for reader in self._readers if reader.entry is not None]

    def _no_longer_deferred(self, count: int) -> None:
        self._gauge.deferred -= count
        if self._gauge.closed and not self._gauge.deferred:
            self._rouse_all()  # for those who have nothing else to wait for, it was the last

    def _rouse_all(self) -> None:
        for queue in self._queues:
            rouse(queue.sleepers, len(queue.sleepers))

    def _distribute(
        self, items: Sequence[T], shards: Sequence[Hashable], sizes: Sequence[int], at: float
    ) -> None:
        lines: dict[Hashable, Line[T]] = dict(enumerate(self._lines))
        if unknown := set(shards) - lines.keys():
            message = (
                f"lane= of mailbox {self._gauge.name!r} chose shard {unknown.pop()!r}; "
                f"give a number below {len(lines)}"
            )
            raise SpecError(message)
        for index, shard in enumerate(shards):
            lines[shard].extend(items[index : index + 1], sizes[index : index + 1], at)

    def _require_open(self) -> None:
        if self._gauge.closed:
            message = f"mailbox {self._gauge.name!r} is closed; its actor has stopped"
            raise MailboxClosed(message)
