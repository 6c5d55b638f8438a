"""Queues by key under a mailbox. Pure; the clock is handed in.

Lanes keep the items of one key in order and one at a time, while other keys go on. A lane has no
object of its own: its entries hang on each other (an intrusive list), and only its end is known by
name. So a key costs one dictionary entry, an item one small object, and every step is O(1):

    _ends    {"a": A3, "b": B1, "c": C2}      A1 → A2 → A3     A1 is with a reader
    ready    [B1, K, …]                       K has no key, and is in no lane
    parked   [(due, 7, C1), …]                C1 waits until it is due, and C2 behind it

When a reader is done with A1, A2 goes to the back of `ready`: round robin over the keys. What is
parked goes there when it is due; until then it costs a place in a heap, however long its lane is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import repeat
from math import inf
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar

import anyio

from callboard_actors._parker import Wake
from callboard_actors.mailbox._line import rouse

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class Entry(Generic[T]):
    """An item, and the one behind it in its lane."""

    item: T
    key: Hashable | None
    size: int
    at: float
    next: Entry[T] | None = None


_at: Final[Callable[[Entry[Any]], float]] = attrgetter("at")


@dataclass(eq=False, slots=True)
class Lanes(Generic[T]):
    """Items of equal key one at a time, in order; keys in turn.

    Attributes:
        ready: What can be taken.
        parked: A heap of what waits for its time: (due, number, entry).
        due: When the first of it is due; None if there is none.
        sleepers: The readers that wait.
        watch: The wait of the one reader among them that minds the time.
    """

    ready: deque[Entry[T]] = field(default_factory=deque[Entry[T]])
    parked: list[tuple[float, int, Entry[T]]] = field(
        default_factory=list[tuple[float, int, Entry[T]]]
    )
    due: float | None = None
    sleepers: deque[Wake] = field(default_factory=deque[Wake])
    watch: anyio.CancelScope | None = None
    _ends: dict[Hashable, Entry[T]] = field(default_factory=dict[Hashable, Entry[T]])
    _parkings: int = 0

    def extend(
        self, items: Collection[T], keys: Iterable[Hashable | None], sizes: Iterable[int], at: float
    ) -> None:
        """Append *items*, each to the lane of its key."""
        ends, ready = self._ends, self.ready
        for item, key, size in zip(items, keys, sizes, strict=False):
            entry = Entry(item, key, size, at)
            if key is None:
                ready.append(entry)
                continue
            end = ends.get(key)
            if end is None:
                ready.append(entry)
            else:
                end.next = entry
            ends[key] = entry
        if self.sleepers:
            rouse(self.sleepers, len(items))

    def finish(self, entry: Entry[T]) -> None:
        """Let the lane of *entry*, which was taken, go on."""
        if entry.next is not None:
            self.ready.append(entry.next)
        elif entry.key is not None:
            del self._ends[entry.key]

    def put_back(self, entry: Entry[T], due: float | None = None) -> None:
        """Return *entry*, which was taken: to be taken next, or not before *due*. O(log parked)."""
        if due is None:
            self.ready.appendleft(entry)
            return
        self._parkings += 1  # breaks ties, for entries have no order
        heappush(self.parked, (due, self._parkings, entry))
        self.due = self.parked[0][0]

    def put_first(
        self,
        items: Collection[T],
        key: Hashable | None,
        sizes: Collection[int],
        at: float,
        held: Sequence[Entry[T]],
    ) -> None:
        """Return *items* to before all others of the lane of *key* that nobody has taken. O(queued).

        If the first of these is parked, all wait for its time.
        """
        first = None if key is None else next((e for e in self._first(held) if e.key == key), None)
        moved = [(entry.item, entry.size, entry.at) for entry in _chain(first)]
        self.extend(items, repeat(key), sizes, at)
        # The lane is longer now: what is in it moves back, and so the entries keep their places.
        oldest = at if first is None else first.at
        filled = [*zip(items, sizes, repeat(oldest)), *moved]
        for entry, (item, size, since) in zip(_chain(first), filled, strict=False):
            entry.item, entry.size, entry.at = item, size, since

    def unpark(self, now: float) -> None:
        """Let the parked entries go on that are due."""
        parked = self.parked
        while parked and parked[0][0] <= now:
            self.ready.append(heappop(parked)[2])
        self.due = parked[0][0] if parked else None
        rouse(self.sleepers, len(self.ready) - 1)  # the first is for the caller

    def hasten(self, most: int) -> None:
        """Let go on what is due first, until no more than *most* items wait for it. O(queued).

        What is never due does not count.
        """
        waiting = sum(1 for due, _, entry in self.parked if due < inf for _ in _chain(entry))
        while waiting > most and self.parked[0][0] < inf:
            entry = heappop(self.parked)[2]
            waiting -= sum(1 for _ in _chain(entry))
            self.ready.append(entry)
        self.due = self.parked[0][0] if self.parked else None
        rouse(self.sleepers, len(self.ready))

    def take_parked(self) -> list[tuple[T, int]]:
        """Remove what is parked and the lanes behind it; return it by age, and the sizes."""
        out = [each for *_, entry in self.parked for each in _chain(entry)]
        for entry in out:
            self._ends.pop(entry.key, None)
        self.parked.clear()
        self.due = None
        return [(entry.item, entry.size) for entry in sorted(out, key=_at)]

    def take_out(
        self, chosen: Callable[[T], bool], held: Sequence[Entry[T]]
    ) -> list[tuple[T, int]]:
        """Remove the chosen ones of the items that nobody has taken; return them and their sizes.

        They come by age, which within a lane is order. *held* is what was taken and is not done.
        """
        queued = [entry for first in self._first(held) for entry in _chain(first)]
        gone = {id(entry): entry for entry in queued if chosen(entry.item)}
        dues = {id(entry): due for due, _, entry in self.parked}
        for entry in held:
            entry.next = None
        self._ends = {entry.key: entry for entry in held if entry.key is not None}
        self.ready.clear()
        self.parked.clear()
        self.due = None
        for entry in queued:
            if id(entry) not in gone:
                self.extend((entry.item,), (entry.key,), (entry.size,), entry.at)
                if id(entry) in dues:
                    self.put_back(self.ready.pop(), dues[id(entry)])
        return [(e.item, e.size) for e in sorted(gone.values(), key=_at)]

    def oldest(self, held: Sequence[Entry[T]]) -> float | None:
        """Return when the oldest entry that nobody has taken was put."""
        return min((entry.at for entry in self._first(held)), default=None)

    def _first(self, held: Sequence[Entry[T]]) -> Iterator[Entry[T]]:
        """Yield the first entry of each lane that nobody has taken, and what is in no lane."""
        yield from self.ready
        yield from (entry for *_, entry in sorted(self.parked))
        yield from (entry.next for entry in held if entry.next is not None)


def _chain(entry: Entry[T] | None) -> Iterator[Entry[T]]:
    while entry is not None:
        yield entry
        entry = entry.next
