"""Numbers that are counted for messages, by their labels."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from threading import Lock
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
FRESH: Final = 500
"""How many values may be fresh in a histogram, about."""


class Histogram:
    """How often values were how large.

    Values are sorted into it by the hundred: that costs a third of doing so one by one.

    Attributes:
        fresh: Values that are not sorted in yet; to be added to, and looked after by `settle`.
    """

    __slots__ = ("_counts", "_folding", "_total", "bounds", "fresh")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.fresh: list[float] = []
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0
        self._folding = Lock()

    def settle(self) -> None:
        """Sort in what is fresh, while others add more: a scrape has a thread of its own."""
        with self._folding:
            values = sorted(self.fresh[: len(self.fresh)])
            below = 0
            for place, bound in enumerate(self.bounds):
                reached = bisect_right(values, bound, below)
                self._counts[place] += reached - below
                below = reached
            self._counts[-1] += len(values) - below
            self._total += sum(values)
            del self.fresh[: len(values)]

    def read(self) -> tuple[list[tuple[str, float]], float]:
        """Return how many values were at most as large as each bound, and the sum of all."""
        self.settle()
        sums, below = list[tuple[str, float]](), 0
        for bound, count in zip([*map(str, self.bounds), "+Inf"], self._counts, strict=True):
            below += count
            sums.append((bound, below))
        return sums, self._total


class Tally:
    """What is counted for one set of labels.

    Attributes:
        went_well: How many ended as nearly all do, which are no part of `statuses`.
        gone: How many have ended without any status: they were cancelled.
    """

    __slots__ = ("count", "exceptions", "gone", "seconds", "sizes", "statuses", "went_well")

    def __init__(self, sizes: Sequence[float]) -> None:
        self.count = 0
        self.went_well = 0
        self.gone = 0
        self.sizes = Histogram(sizes)
        self.seconds = Histogram(SECONDS)
        self.statuses = Counter[str]()
        self.exceptions = Counter[str]()

    @property
    def in_process(self) -> int:
        """How many have begun and not ended."""
        return max(0, self.count - self.went_well - self.gone - self.statuses.total())

    def settle(self) -> None:
        """Sort in what is fresh in the histograms."""
        self.sizes.settle()
        self.seconds.settle()

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
