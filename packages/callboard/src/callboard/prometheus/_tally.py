"""Numbers that are counted for messages, by their labels."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from callboard._errors import IgnoredException
from callboard.watch._say import say

Labels: TypeAlias = tuple[str, ...]

SIZES: Final = tuple(float(2**power) for power in range(4, 25, 2))
"""The upper bounds of sizes in bytes."""
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""The upper bounds of durations."""
MOST: Final = 1000
"""How many values a label has at most; whatever comes later is counted as `OTHER`."""
OTHER: Final = "(other)"


class Histogram:
    """How often values were how large."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Return how many values were at most as large as each bound."""
        sums, below = list[tuple[str, float]](), 0
        for bound, count in zip([*map(str, self.bounds), "+Inf"], [*self.counts], strict=True):
            below += count
            sums.append((bound, below))
        return sums


class Tally:
    """What is counted for one set of labels."""

    __slots__ = ("count", "exceptions", "in_process", "seconds", "sizes", "statuses")

    def __init__(self, sizes: Sequence[float]) -> None:
        self.count = 0
        self.in_process = 0
        self.sizes = Histogram(sizes)
        self.seconds = Histogram(SECONDS)
        self.statuses = Counter[str]()
        self.exceptions = Counter[str]()

    def failed(self, status: str, error: Exception, number: int) -> None:
        self.statuses[status] += number
        if not isinstance(error, IgnoredException):
            self.exceptions[type(error).__name__] += number


class Tallies:
    """Counts by their labels, of which there are so many at most."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._all: dict[Labels, Tally] = {}

    def of(self, labels: Labels, sizes: Sequence[float] = SIZES) -> Tally:
        """Return the counts for *labels*."""
        found = self._all.get(labels)
        if found is not None:
            return found
        if len(self._all) == MOST:
            say(
                logging.getLogger("callboard.prometheus"),
                logging.WARNING,
                "%s has more than %s sets of labels: others are counted as %s",
                self._where,
                MOST,
                OTHER,
            )
        if len(self._all) >= MOST:
            labels = (*labels[:2], *[OTHER] * (len(labels) - 2))
        return self._all.setdefault(labels, Tally(sizes))

    def __iter__(self) -> Iterator[tuple[Labels, Tally]]:
        return iter([*self._all.items()])
