"""A trial: a place that is written to, a service that reads it, and faults meanwhile; then a verdict."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import inf
from typing import Final
from uuid import UUID

from anyio import Event, create_task_group, sleep
from anyio.abc import Process

from callboard_brokers import BrokerError

from .fleet import Fleet, fleet_of, until
from .history import Commit, History, Verdict, check
from .kind import Kind, Letter, Onlooker, Settings

__all__ = ["Author", "Plan", "Row", "Trial", "of_all", "of_none", "of_one", "trial_of"]

LANES: Final = 32
STALLED: Final = 30.0
"""Seconds without any progress, after which what is missing counts as lost."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a trial is like, whatever its faults."""

    name: str
    seed: int
    records: int
    rate: float
    """Records published a second."""
    keys: int = 100
    workers: int = 3
    """Processes at the start."""
    poison: float = 0.0
    """The part of the records that no handler can do."""
    slowness: float = 1.0
    """How many times as long as promised anything may take."""


class Author:
    """Publishes letters, those of a key one after another, and keeps a journal of the answers."""

    def __init__(self, plan: Plan, kind: Kind, settings: Settings) -> None:
        chance = random.Random(f"{plan.seed} letters")
        self.letters = [_letter(plan, seq, chance) for seq in range(plan.records)]
        self.acknowledged: set[str] = set()
        self.unsure: set[str] = set()
        self.done = Event()
        self._kind = kind
        self._settings = settings
        self._broker = kind.broker(settings.servers, settings)
        self._rate = plan.rate
        self._enough = False

    def stop(self) -> None:
        """Publish no more, whatever is left: what there was to see has been seen."""
        self._enough = True

    async def write(self) -> None:
        """Publish all of them, at a steady rate, unless told to stop."""
        lanes: list[list[Letter]] = [[] for _ in range(LANES)]
        for letter in self.letters:
            lanes[int(letter.key) % LANES].append(letter)
        async with self._broker:
            begin = time.monotonic()
            async with create_task_group() as tasks:
                for lane in lanes:
                    tasks.start_soon(self._write, lane, begin)
        self.done.set()

    async def _write(self, lane: Sequence[Letter], begin: float) -> None:
        for letter in lane:
            ahead = begin + letter.seq / self._rate - time.monotonic()
            if ahead > 0:
                await sleep(ahead)
            if self._enough:
                return
            try:
                await self._kind.publish(self._broker, letter, self._settings)
            except BrokerError:
                self.unsure.add(letter.id)
            else:
                self.acknowledged.add(letter.id)


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of a trial."""

    name: str
    seed: int
    records: int
    faults: int
    duplicates: int
    bound: int
    seconds: float
    resumed: float
    verdict: Verdict
    events: str

    def __str__(self) -> str:
        wrong = self.verdict
        return (
            f"{self.name:<12} seed {self.seed:<10} {self.records:>7} records {self.faults:>3} faults"
            f" {len(wrong.lost):>3} lost {self.duplicates:>5} duplicates of {self.bound:<6}"
            f" {len(wrong.disorder) + len(wrong.overlaps):>3} out of order {self.seconds:>6.1f} s"
            f" {wrong.stall:>5.1f} s stalled {self.resumed:>5.1f} s to go on"
            f"  {self.events}"
        )


@dataclass(kw_only=True)
class Trial:
    """One trial, while it runs and afterwards."""

    kind: Kind
    plan: Plan
    settings: Settings
    fleet: Fleet
    author: Author
    random: random.Random
    faults: int = 0
    commits: Sequence[Commit] = ()
    dead_letters: Sequence[str] = ()
    lag: int = 0
    stall: float = 0.0
    """The longest time in which nothing of some partition was handled; known in the end."""
    resumed: float = 0.0
    """The longest time from the end of a fault until the service went on, of those waited for."""
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    @property
    def in_flight(self) -> int:
        """How many records a process may have taken that count as unhandled if it dies."""
        return self.kind.in_flight(self.settings)

    async def joining(self, process: Process) -> None:
        """Wait until *process* has asked for its share, which it may have to wait for."""

        def asked() -> bool:
            self.fleet.look()
            return bool(self.fleet.of(process, "partitions.revoked"))

        await until(asked, f"the worker {process.pid} to join")

    async def outage(self, seconds: float) -> float:
        """Take away for so long what handlers need; return after how many seconds they are spared.

        That is when the breakers of all processes are open.
        """
        began, away = time.time(), self.settings.away
        away.touch()
        await sleep(seconds)
        away.unlink()
        self.faults += 1
        self.fleet.look()
        opened = [each for each in self.fleet.told if each.name == "breaker.opened"]
        first = {each.pid: each.at for each in reversed(opened) if each.at > began}
        if len(first) < len(self.fleet.members):
            return inf
        last: float = max(first.values())
        return last - began

    async def pause(self, seconds: float) -> None:
        """Let the service work for about so long."""
        await sleep(seconds * self.random.uniform(0.5, 1.5))

    def anyone(self) -> Process:
        """Choose a victim."""
        return self.random.choice(self.fleet.members)

    async def resumes(self, since: float, *, within: float) -> None:
        """Wait until of each partition something is handled that has begun after *since*.

        Or until nothing is left.
        """
        known = len(self.fleet.runs)

        def resumed() -> bool:
            self.fleet.look()
            finished = self.author.done.is_set() and self.author.acknowledged <= self.fleet.handled
            moving = {run.partition for run in self.fleet.runs[known:] if run.began > since}
            return finished or len(moving) == self.kind.partitions

        await until(resumed, "the service to go on", within * self.plan.slowness)
        self.resumed = max(self.resumed, time.time() - since)

    async def finish(self, onlooker: Onlooker) -> None:
        """Wait until everything is handled and settled, or until nothing moves any more."""
        await self.author.done.wait()
        poison = {letter.id for letter in self.author.letters if letter.poison}
        wanted = self.author.acknowledged - poison
        moved, before = time.monotonic(), (0, 0)
        while time.monotonic() < moved + STALLED:
            self.fleet.look()
            self.lag = await onlooker.lag(self.settings)
            if not self.lag and wanted <= self.fleet.handled:
                break
            now = len(self.fleet.handled), self.lag
            if now != before:
                moved, before = time.monotonic(), now
            await sleep(0.1)
        await self.fleet.stop_all()
        self.lag = await onlooker.lag(self.settings)
        self.fleet.look()
        self.seconds = time.monotonic() - self.began

    def judge(self, bound: int) -> tuple[Row, str]:
        """Return the figures, and what is wrong; nothing is if that is empty."""
        verdict = check(
            History(
                acknowledged=self.author.acknowledged,
                unsure=self.author.unsure,
                poison={letter.id for letter in self.author.letters if letter.poison},
                runs=self.fleet.runs,
                commits=self.commits,
                dead_letters=self.dead_letters,
                ordered=self.kind.ordered,
            )
        )
        complaints = verdict.complaints(bound)
        self.stall = verdict.stall
        if self.lag:
            complaints.append(f"{self.lag} records are not settled")
        if self.kind.commits and not self.commits:
            complaints.append("nothing was committed")
        row = Row(
            self.plan.name, self.plan.seed, len(self.author.acknowledged), self.faults,
            verdict.duplicates, bound, self.seconds, self.resumed, verdict,
            " ".join(f"{name}={count}" for name, count in sorted(self.fleet.events.items())),
        )  # fmt: skip
        evidence = f"(CALLBOARD_SEED={self.plan.seed}; journals in {self.settings.folder})"
        return row, "\n".join([*complaints, evidence, self.fleet.errors()]) if complaints else ""


def of_one(trial: Trial) -> int:
    """Each fault may repeat what one process had in flight."""
    return trial.faults * trial.in_flight


def of_all(trial: Trial) -> int:
    """Each fault may repeat what all processes had in flight."""
    return trial.faults * trial.in_flight * trial.plan.workers


def of_none(trial: Trial) -> int:
    """Nothing may be repeated."""
    del trial
    return 0


@asynccontextmanager
async def trial_of(
    plan: Plan, kind: Kind, settings: Settings, *, direct: str
) -> AsyncGenerator[Trial]:
    """Run the service, and write to it, for as long as the faults of the body take, and to the end.

    The onlooker reaches the server at *direct*, whatever is done to the connections of the others.
    """
    async with kind.onlooker(direct) as onlooker:
        mark = await onlooker.create(settings)
    author = Author(plan, kind, settings)
    async with fleet_of(settings, plan.workers) as fleet, create_task_group() as tasks:
        tasks.start_soon(author.write)
        chance = random.Random(f"{plan.seed} faults")
        trial = Trial(
            kind=kind, plan=plan, settings=settings, fleet=fleet, author=author, random=chance
        )
        yield trial
        await author.done.wait()
        # Anew: the faults may have been the server's own.
        async with kind.onlooker(direct) as onlooker:
            await trial.finish(onlooker)
            trial.commits = await onlooker.commits(settings, mark)
            trial.dead_letters = await onlooker.dead_letters(settings)
            await onlooker.close(settings)


def _letter(plan: Plan, seq: int, chance: random.Random) -> Letter:
    return Letter(
        id=str(UUID(int=chance.getrandbits(128))),
        key=str(chance.randrange(plan.keys)),
        seq=seq,
        poison=chance.random() < plan.poison,
    )
