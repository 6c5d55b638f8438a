"""The queue of a group, which its readers share.

Three places hold what waits: a queue in the order of publishing; a heap of what was given back,
which goes before it, oldest first; a heap of what is not due yet. Nothing runs in the background:
a reader that waits, waits until the next is due. A record stays in its place until a reader pops
it in one synchronous step, so a reader that is cancelled loses nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sized
from heapq import heapify, heappop, heappush
from math import inf

from anyio import CancelScope, Event, current_time

from callboard_brokers.memory._records import MemoryRecord
from callboard_brokers.memory._routing import Readership


class Group:
    """A bounded queue: once it holds *capacity* records, it is full until it is half empty.

    `full` binds publishers only: what is given back is always taken. *expire* gives up what nobody has
    taken in time, in whichever group, and says when it is to be called again.
    """

    __slots__ = (
        "_capacity",
        "_delayed",
        "_expire",
        "_published",
        "_ready",
        "_returned",
        "_room",
        "_sleepers",
        "full",
        "readers",
        "readership",
    )

    def __init__(
        self, readership: Readership, capacity: int, expire: Callable[[], float] = lambda: inf
    ) -> None:
        self.readership = readership
        self._expire = expire
        self.full = False
        self.readers: set[Sized] = set()  # each as long as it has unsettled deliveries
        self._capacity = capacity
        self._published = 0
        self._ready: deque[MemoryRecord] = deque()
        self._returned: list[tuple[int, MemoryRecord]] = []
        self._delayed: list[tuple[float, int, MemoryRecord]] = []
        self._sleepers: deque[Event] = deque()
        self._room = Event()

    @property
    def waiting(self) -> int:
        """How many records could be taken now."""
        return len(self._ready) + len(self._returned)

    @property
    def delayed(self) -> int:
        """How many records are not due yet."""
        return len(self._delayed)

    @property
    def unsettled(self) -> int:
        """How many records its readers hold."""
        return sum(map(len, self.readers))

    def count(self, address: str) -> int:
        """Return how many records for *address* could be taken now."""
        returned = sum(record.address == address for _, record in self._returned)
        return returned + sum(record.address == address for record in self._ready)

    def put(self, record: MemoryRecord, delay: float | None) -> None:
        """Append what was published, to be taken once *delay* has passed."""
        record.sequence = self._published = self._published + 1
        if delay is not None and delay > 0:
            self.put_back(record, delay)
        else:
            self._ready.append(record)
            if self._sleepers:
                self._wake()
        if len(self._ready) + len(self._returned) + len(self._delayed) >= self._capacity:
            self.full = True

    def put_back(self, record: MemoryRecord, delay: float = 0.0) -> None:
        """Take *record* again: before what was published later, once *delay* has passed."""
        if delay > 0:
            heappush(self._delayed, (current_time() + delay, record.sequence, record))
            self.wake_all()  # each of them waits until the next is due
        else:
            heappush(self._returned, (record.sequence, record))
            self._wake()

    def take(self, limit: int, max_bytes: float = inf) -> list[MemoryRecord]:
        """Pop at most *limit* records, and no more once they come to *max_bytes*, oldest first."""
        self._expire()
        if self._delayed:
            self._collect_due()
        returned, ready, taken = self._returned, self._ready, list[MemoryRecord]()
        while (returned or ready) and len(taken) < limit and max_bytes > 0:
            record = heappop(returned)[1] if returned else ready.popleft()
            taken.append(record)
            max_bytes -= len(record.body)
        if self.full and self.waiting + len(self._delayed) <= self._capacity // 2:
            self.full = False
            self.let_in()
        return taken

    def drop(self, record: MemoryRecord) -> bool:
        """Take *record* out; return whether it was still here, for anybody to take."""
        before = self.waiting
        self._ready = deque(each for each in self._ready if each is not record)
        self._returned = [entry for entry in self._returned if entry[1] is not record]
        heapify(self._returned)
        return self.waiting < before

    async def wait(self) -> None:
        """Wait until there may be something to take."""
        awake = Event()
        self._sleepers.append(awake)
        try:
            due = self._delayed[0][0] if self._delayed else inf
            with CancelScope(deadline=min(due, self._expire())):
                await awake.wait()
        except BaseException:
            if awake.is_set():
                self._wake()  # the one who was woken is cancelled: another one goes instead
            raise
        finally:
            if not awake.is_set():
                self._sleepers.remove(awake)

    def wake_all(self) -> None:
        """Wake all readers, so that they look around."""
        while self._sleepers:
            self._wake()

    async def room(self) -> None:
        """Wait until there may be room; look again, since others waited too."""
        await self._room.wait()

    def let_in(self) -> None:
        """Wake all publishers, so that they look around."""
        self._room.set()
        self._room = Event()

    def _collect_due(self) -> None:
        now = current_time()
        while self._delayed and self._delayed[0][0] <= now:
            _, sequence, record = heappop(self._delayed)
            heappush(self._returned, (sequence, record))

    def _wake(self) -> None:
        if self._sleepers:
            self._sleepers.popleft().set()
