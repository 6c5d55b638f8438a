"""Queues under a mailbox: a plain line, and lanes by key. Pure; the clock is handed in.

Lanes keep the items of one key in order and one at a time, while other keys go on. A lane has no
object of its own: its first entry *is* the lane, the others hang on it (an intrusive list). So a
key costs one dictionary entry, an item one small object, and every step is O(1):

    _heads   {"a": A1, "b": B1}        A1 → A2 → A3        the tail is kept in the head
    ready    [B1, K, …]                                    A1 is with a reader, hence not here

An entry whose key is None is in no lane. When a reader is done with A1, A2 becomes the head and
goes to the back of `ready`: round robin over the keys.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from typing import Generic, TypeVar

import anyio

__all__ = ["Entry", "Lanes", "Line"]

T = TypeVar("T")


class Entry(Generic[T]):
    """An item in a lane, or its head."""

    __slots__ = ("at", "item", "key", "next", "size", "tail")

    def __init__(self, item: T, key: Hashable | None, size: int, at: float) -> None:
        self.item = item
        self.key = key
        self.size = size
        self.at = at
        self.next: Entry[T] | None = None
        self.tail: Entry[T] | None = None


class Lanes(Generic[T]):
    """Items of equal key one at a time, in order; keys in turn."""

    __slots__ = ("_heads", "parked", "ready")

    def __init__(self) -> None:
        self.ready: deque[Entry[T]] = deque()
        self.parked: deque[anyio.Event] = deque()
        self._heads: dict[Hashable, Entry[T]] = {}

    def extend(
        self, items: Collection[T], keys: Iterable[Hashable | None], sizes: Iterable[int], at: float
    ) -> None:
        """Append *items*, each to the lane of its key."""
        heads, ready = self._heads, self.ready
        for item, key, size in zip(items, keys, sizes, strict=False):
            entry = Entry(item, key, size, at)
            if key is None:
                ready.append(entry)
                continue
            head = heads.setdefault(key, entry)
            if head is entry:
                ready.append(entry)
            else:
                (head.tail or head).next = entry
                head.tail = entry
        if self.parked:
            self.wake(len(items))

    def finish(self, entry: Entry[T]) -> None:
        """Let the lane of *entry*, which was taken, go on."""
        key, follower = entry.key, entry.next
        if key is None:
            return
        if follower is None:
            del self._heads[key]
            return
        if entry.tail is not follower:
            follower.tail = entry.tail
        self._heads[key] = follower
        self.ready.append(follower)

    def take_out(self, chosen: Callable[[T], bool]) -> list[T]:
        """Remove the chosen ones of the items that nobody has taken; return them by age.

        Within a lane, age is order.
        """
        waiting = {id(entry) for entry in self.ready}
        taken = [head for head in self._heads.values() if id(head) not in waiting]
        queued = [e for head in self.ready for e in _chain(head)]
        queued += [e for head in taken for e in _chain(head.next)]
        out = [entry for entry in queued if chosen(entry.item)]
        gone = {id(entry) for entry in out}
        self.ready.clear()
        self._heads = {head.key: head for head in taken}
        for head in taken:
            head.next = head.tail = None
        for entry in queued:
            if id(entry) not in gone:
                self.extend((entry.item,), (entry.key,), (entry.size,), entry.at)
        return [entry.item for entry in sorted(out, key=lambda entry: entry.at)]

    def oldest(self) -> float | None:
        """Return when the oldest entry that nobody has taken was put."""
        waiting = {id(entry) for entry in self.ready}
        followers = (h.next for h in self._heads.values() if id(h) not in waiting)
        return min((e.at for e in (*self.ready, *followers) if e is not None), default=None)

    def wake(self, count: int) -> None:
        """Let up to *count* parked readers look again."""
        for _ in range(min(count, len(self.parked))):
            self.parked.popleft().set()


class Line(Generic[T]):
    """Items in the order in which they came."""

    __slots__ = ("_stamps", "_total", "items", "parked")

    def __init__(self) -> None:
        self.items: deque[T] = deque()
        self.parked: deque[anyio.Event] = deque()
        # How many items had been put after each bulk, and when: one clock for all of them.
        self._stamps: deque[tuple[int, float]] = deque()
        self._total = 0

    def extend(self, items: Collection[T], at: float) -> None:
        """Append *items*."""
        taken = self._total - len(self.items)
        while self._stamps and self._stamps[0][0] <= taken:
            self._stamps.popleft()
        self.items.extend(items)
        self._total += len(items)
        self._stamps.append((self._total, at))
        if self.parked:
            self.wake(len(items))

    def take_out(self, chosen: Callable[[T], bool]) -> list[T]:
        """Remove the chosen items; return them in order."""
        oldest = self.oldest()
        kept: list[T] = []
        out: list[T] = []
        for item in self.items:
            (out if chosen(item) else kept).append(item)
        self.items.clear()
        self.items.extend(kept)
        # Which bulk each of the others came with is not known; they all age like the oldest.
        self._stamps = deque([(self._total, oldest)] if oldest is not None else [])
        return out

    def oldest(self) -> float | None:
        """Return when the first item was put."""
        taken = self._total - len(self.items)
        return next((at for put, at in self._stamps if put > taken), None)

    def wake(self, count: int) -> None:
        """Let up to *count* parked readers look again."""
        for _ in range(min(count, len(self.parked))):
            self.parked.popleft().set()


def _chain(entry: Entry[T] | None) -> Iterator[Entry[T]]:
    while entry is not None:
        yield entry
        entry = entry.next
