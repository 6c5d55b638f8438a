"""A plain queue under a mailbox. Pure; the clock is handed in.

A line has no lanes until something in it is parked; only then is it asked who waits for whom.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import compress, islice, repeat
from math import inf
from typing import Final, Generic, TypeVar

import anyio

from callboard_actors._parker import Spent, Wake

T = TypeVar("T")

_BULK = 0.01
"""Items that are put within so many seconds share a time, as if they were put together."""

_ALIKE: Final = object()
"""What all items have in common where nobody says more."""
_ALONE: Final = object()
"""Tells the place of an item for which nobody waits from the keys of users."""


@dataclass(eq=False, slots=True)
class Aside(Generic[T]):
    """What was taken out of a line until it is due: an item, and those that have to wait for it."""

    key: Hashable | None
    at: float
    pairs: list[tuple[T, int]]


@dataclass(eq=False, slots=True)
class Line(Generic[T]):
    """Items in the order in which they came.

    What is parked stands aside until it is due, and with it those that have to wait for it: all
    of them, or those for which *kin* gives the same; for whom it gives None, nobody waits. Then
    they are the first again. A line in which nothing is parked never asks.

    Attributes:
        ready: What can be taken.
        sizes: Those of `ready`; empty if nothing is weighed.
        parked: A heap of what stands aside: (due, number, what).
        due: When the first of it is due; None if there is none.
    """

    kin: Callable[[T], Hashable | None] | None = None
    weighed: bool = False
    ready: deque[T] = field(default_factory=deque[T])
    sizes: deque[int] = field(default_factory=deque[int])
    parked: list[tuple[float, int, Aside[T]]] = field(
        default_factory=list[tuple[float, int, Aside[T]]]
    )
    due: float | None = None
    sleepers: deque[Wake] = field(default_factory=deque[Wake])
    watch: anyio.CancelScope | None = None
    _aside: dict[Hashable, Aside[T]] = field(default_factory=dict[Hashable, Aside[T]])
    _parkings: int = 0
    # How many items had been put before each bulk, and when it came: one clock for all of them.
    _stamps: deque[tuple[int, float]] = field(default_factory=deque[tuple[int, float]])
    _total: int = 0
    _stamp_from: float = -inf

    def extend(self, items: Collection[T], sizes: Collection[int], at: float) -> None:
        """Append *items*; *sizes* are empty if nothing is weighed."""
        if self._aside:
            items, sizes = self._pass_by(items, sizes)
        if at >= self._stamp_from:
            self._stamp(at)
        self.ready.extend(items)
        self.sizes.extend(sizes)
        self._total += len(items)
        if self.sleepers:
            rouse(self.sleepers, len(items))

    def append(self, item: T, at: float) -> None:
        """Append *item*, where nothing is weighed."""
        if self._aside:
            self.extend((item,), (), at)
            return
        if at >= self._stamp_from:
            self._stamp(at)
        self.ready.append(item)
        self._total += 1
        if self.sleepers:
            rouse(self.sleepers, 1)

    def put_back(self, item: T, size: int, due: float | None = None) -> None:
        """Return *item*, which was taken: to be taken next, or not before *due*."""
        self.ready.appendleft(item)
        if self.weighed:
            self.sizes.appendleft(size)
        if due is not None:
            self._park(due)

    def put_first(self, items: Sequence[T], sizes: Sequence[int]) -> None:
        """Return *items*, which are kin, to before all others; if such are aside, they join them."""
        aside = self._aside.get(self._kin_of(items[0])) if self._aside else None
        if aside is not None:
            aside.pairs[:0] = zip(items, sizes, strict=True)
            return
        for item, size in zip(reversed(items), reversed(sizes), strict=True):
            self.put_back(item, size)
        rouse(self.sleepers, len(items))

    def unpark(self, now: float) -> None:
        """Let go on what is due; who is due first comes first."""
        ripe: list[Aside[T]] = []
        while self.parked and self.parked[0][0] <= now:
            ripe.append(heappop(self.parked)[2])
        for aside in reversed(ripe):
            self._return(aside)
        self.due = self.parked[0][0] if self.parked else None
        if ripe:
            rouse(self.sleepers, len(self.ready) - 1)  # the first is for the caller

    def hasten(self, most: int) -> None:
        """Let go on what is due first, until no more than *most* items wait for it.

        What is never due does not count.
        """
        waiting = sum(len(aside.pairs) for due, _, aside in self.parked if due < inf)
        while waiting > most and self.parked[0][0] < inf:
            aside = heappop(self.parked)[2]
            waiting -= len(aside.pairs)
            self._return(aside)
        self.due = self.parked[0][0] if self.parked else None
        rouse(self.sleepers, len(self.ready))

    def take_parked(self) -> list[tuple[T, int]]:
        """Remove what stands aside; return it by age, and the sizes."""
        asides = sorted((aside for *_, aside in sorted(self.parked)), key=lambda aside: aside.at)
        self.parked.clear()
        self._aside.clear()
        self.due = None
        return [pair for aside in asides for pair in aside.pairs]

    def take_out(self, chosen: Callable[[T], bool]) -> list[tuple[T, int]]:
        """Remove the chosen items; return them in order, and their sizes."""
        waiting = sorted(self.parked)
        flags = [[chosen(item) for item, _ in aside.pairs] for *_, aside in waiting]
        picked = self._pick([chosen(item) for item in self.ready])
        out: list[tuple[T, int]] = []
        self.parked = []
        for (due, number, aside), gone in zip(waiting, flags, strict=True):
            out += compress(aside.pairs, gone)
            aside.pairs = [
                pair for pair, is_gone in zip(aside.pairs, gone, strict=True) if not is_gone
            ]
            if gone[0]:
                self._return(aside)  # it was that one for which the others waited
            else:
                heappush(self.parked, (due, number, aside))
        self.due = self.parked[0][0] if self.parked else None
        return out + picked

    def oldest(self) -> float | None:
        """Return when the first item was put, at most 10 ms too early."""
        times = [aside.at for aside in self._aside.values()]
        if self.ready:
            self._forget_stamps()
            times.append(self._stamps[0][1])
        return min(times, default=None)

    def _park(self, due: float) -> None:
        """Set the first item aside, and those that have to wait for it."""
        first, at = self.ready[0], self.oldest() or 0.0
        key = self._kin_of(first)
        waits = (
            key is not None and self._kin_of(item) == key for item in islice(self.ready, 1, None)
        )
        pairs = self._pick([True, *waits])
        self._parkings += 1  # breaks ties
        if key is None:
            key = self._parkings, _ALONE  # nobody else's
        before = self._aside.get(key)
        if before is not None:  # another reader had one of the same
            self.parked = [each for each in self.parked if each[2] is not before]
            heapify(self.parked)
            pairs, at = pairs + before.pairs, min(at, before.at)
        aside = self._aside[key] = Aside(key, at, pairs)
        heappush(self.parked, (due, self._parkings, aside))
        self.due = self.parked[0][0]

    def _pass_by(
        self, items: Iterable[T], sizes: Collection[int]
    ) -> tuple[Collection[T], Collection[int]]:
        """Leave those of *items* with what is parked that have to wait for it; return the others."""
        others: list[tuple[T, int]] = []
        for item, size in zip(items, sizes or repeat(0), strict=False):
            aside = self._aside.get(self._kin_of(item))
            (others if aside is None else aside.pairs).append((item, size))
        return [item for item, _ in others], [size for _, size in others] if self.weighed else ()

    def _kin_of(self, item: T) -> Hashable | None:
        return _ALIKE if self.kin is None else self.kin(item)

    def _return(self, aside: Aside[T]) -> None:
        """Put what stood aside at the head."""
        del self._aside[aside.key]
        oldest = min(aside.at, self.oldest() or inf)
        for item, size in reversed(aside.pairs):
            self.put_back(item, size)
        self._age(oldest)

    def _pick(self, picks: Sequence[bool]) -> list[tuple[T, int]]:
        """Remove those of `ready` that are picked; return them, and their sizes."""
        oldest = self.oldest() if self.ready else None
        sized = [*zip(self.ready, self.sizes or repeat(0), strict=False)]
        self.ready.clear()
        self.sizes.clear()
        for (item, size), picked in zip(sized, picks, strict=True):
            if not picked:
                self.ready.append(item)
                self.sizes.extend([size] * self.weighed)
        self._age(oldest)
        return [*compress(sized, picks)]

    def _age(self, oldest: float | None) -> None:
        """Let all that is ready age like the oldest: who came with which bulk is not known now."""
        self._total = len(self.ready)
        # Nothing is ready, perhaps: a reader may still return what it holds.
        known = [time for _, time in self._stamps][-1:] if oldest is None else [oldest]
        self._stamps, self._stamp_from = deque((0, time) for time in known), -inf

    def _stamp(self, at: float) -> None:
        if self.ready:
            self._forget_stamps()
        else:
            self._stamps.clear()
        self._stamps.append((self._total, at))
        self._stamp_from = at + _BULK

    def _forget_stamps(self) -> None:
        taken = self._total - len(self.ready)
        while len(self._stamps) > 1 and self._stamps[1][0] <= taken:
            self._stamps.popleft()


def rouse(sleepers: deque[Wake], count: int) -> None:
    """Let up to *count* readers that wait look again."""
    while count > 0 and sleepers:
        try:
            sleepers.popleft()()
        except Spent:  # that one is cancelled in this very moment: another one goes instead
            continue
        count -= 1
