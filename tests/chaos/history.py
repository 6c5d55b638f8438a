"""What happened in a trial, and which promises it shows to be broken: a pure checker.

Everything is handled at least once, the records of a key in their order and one at a time; a
position is committed once everything below it is handled, and never goes back.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from operator import attrgetter
from typing import Final, NamedTuple

__all__ = ["Commit", "History", "Run", "Verdict", "check"]

TICK: Final = 0.001
"""Seconds: the server's clock has milliseconds, rounded down."""

SHOWN: Final = 5


class Run(NamedTuple):
    """One time that a record was handled to its end; times are seconds since the epoch."""

    id: str
    key: str
    seq: int
    attempt: int
    pid: int
    partition: int
    offset: int
    began: float
    ended: float


class Commit(NamedTuple):
    """A position, as the server wrote it down; commits stand in the server's order."""

    partition: int
    offset: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What was published, handled, committed and dead-lettered, by the ids of records."""

    acknowledged: AbstractSet[str]
    """What the server said to have, poison included."""
    unsure: AbstractSet[str] = frozenset()
    """What may have arrived or not: publishing it failed."""
    poison: AbstractSet[str] = frozenset()
    """What no handler can do; it has to be dead-lettered, once."""
    runs: Sequence[Run] = ()
    commits: Sequence[Commit] = ()
    dead_letters: Sequence[str] = ()
    ordered: bool = True
    """Whether the records of a key are handled in order, whichever process gets them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is wrong with a history; duplicates alone may be in order, up to a bound."""

    lost: Sequence[str] = ()
    unexpected: Sequence[str] = ()
    duplicates: int = 0
    disorder: Sequence[str] = ()
    """Where the first run of a record came after that of a later one of its key."""
    overlaps: Sequence[str] = ()
    """Where one process handled two records of a key at once."""
    rewinds: Sequence[str] = ()
    premature: Sequence[str] = ()
    """Where a commit came before the end of something below it."""
    strays: Sequence[str] = ()
    """Poison that is not in the dead letters exactly once, and what else is there."""
    histogram: Counter[int] = field(default_factory=Counter[int])
    """How many records were handled how often."""
    stall: float = 0.0
    """The longest time, in seconds, in which nothing of some partition was finished."""

    def complaints(self, bound: int) -> list[str]:
        """Say which promises are broken, where *bound* duplicates are allowed."""
        told: list[str] = []
        for name in (
            "lost", "unexpected", "disorder", "overlaps", "rewinds", "premature", "strays",
        ):  # fmt: skip
            cases: Sequence[str] = getattr(self, name)
            if cases:
                told.append(f"{name}: {len(cases)}, such as {', '.join(cases[:SHOWN])}")
        if self.duplicates > bound:
            told.append(f"duplicates: {self.duplicates}, where {bound} are allowed")
        return told


def check(history: History) -> Verdict:
    """Compare what should have happened in *history* with what did."""
    runs = sorted(history.runs, key=attrgetter("ended"))
    times = Counter(run.id for run in runs)
    handled = times.keys()
    return Verdict(
        lost=sorted(history.acknowledged - history.poison - handled),
        unexpected=sorted(
            handled - (history.acknowledged | history.unsure) | handled & history.poison
        ),
        duplicates=len(runs) - len(times),
        stall=_stall(runs),
        disorder=_disorder(runs) if history.ordered else (),
        overlaps=_overlaps(runs),
        rewinds=_rewinds(history.commits),
        premature=_premature(runs, history.commits),
        strays=_strays(history),
        histogram=Counter(times.values()),
    )


def _disorder(runs: Iterable[Run]) -> list[str]:
    """Follow the first runs of each key."""
    newest: dict[str, Run] = {}
    seen: set[str] = set()
    wrong: list[str] = []
    for run in runs:
        if run.id in seen:
            continue
        seen.add(run.id)
        before = newest.get(run.key)
        if before is not None and before.seq > run.seq:
            wrong.append(
                f"key {run.key}: {run.seq} by {run.pid} after {before.seq} by {before.pid}"
            )
        else:
            newest[run.key] = run
    return wrong


def _overlaps(runs: Iterable[Run]) -> list[str]:
    lanes: defaultdict[tuple[int, str], list[Run]] = defaultdict(list)
    for run in runs:
        lanes[run.pid, run.key].append(run)
    return [
        f"key {later.key}: {earlier.seq} and {later.seq} at once in {later.pid}"
        for lane in lanes.values()
        for earlier, later in pairwise(sorted(lane, key=attrgetter("began")))
        if later.began < earlier.ended
    ]


def _stall(runs: Sequence[Run]) -> float:
    before: dict[int, float] = {}
    stall = 0.0
    for run in runs:
        stall = max(stall, run.ended - before.get(run.partition, run.ended))
        before[run.partition] = run.ended
    return stall


def _rewinds(commits: Iterable[Commit]) -> list[str]:
    newest: dict[int, int] = {}
    wrong: list[str] = []
    for commit in commits:
        before = newest.get(commit.partition, commit.offset)
        if commit.offset < before:
            wrong.append(f"partition {commit.partition}: {commit.offset} after {before}")
        newest[commit.partition] = commit.offset
    return wrong


def _premature(runs: Iterable[Run], commits: Iterable[Commit]) -> list[str]:
    first: defaultdict[int, dict[int, float]] = defaultdict(dict)
    for run in runs:
        first[run.partition].setdefault(run.offset, run.ended)
    # By partition: the offsets, and when the last of everything up to each was done for once.
    offsets = {partition: sorted(ended) for partition, ended in first.items()}
    done = {
        partition: list(accumulate((first[partition][offset] for offset in ordered), max))
        for partition, ordered in offsets.items()
    }
    wrong: list[str] = []
    for partition, offset, at in commits:
        below = bisect_left(offsets.get(partition, []), offset)
        if below and done[partition][below - 1] > at + TICK:
            late = done[partition][below - 1] - at
            wrong.append(f"partition {partition}: {offset}, {late:.3f} s before that was true")
    return wrong


def _strays(history: History) -> list[str]:
    times = Counter(history.dead_letters)
    expected = history.poison & history.acknowledged
    return sorted(
        f"{name} dead-lettered {times[name]} times"
        for name in expected | times.keys()
        if times[name] != 1 or name not in history.poison
    )
