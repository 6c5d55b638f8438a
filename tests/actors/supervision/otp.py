"""What OTP says that a supervisor does: a model without tasks, in which time is a number.

Between two steps of a script everything comes to rest, and every child that is up has been up for
long. So a step is followed by one chain of restarts at most.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from callboard_actors import AutoShutdown, Restart, Strategy

from .parts import STEADY

__all__ = ["REST", "Act", "Declared", "Model", "Place"]

REST = 1000.0
"""Seconds between two steps."""

Act: TypeAlias = Literal["crash", "finish", "stop itself", "escalate", "be stopped"]


@dataclass(frozen=True)
class Place:
    """A child of the supervisor."""

    id: str
    restart: Restart
    significant: bool


@dataclass(frozen=True)
class Declared:
    """A supervisor."""

    places: tuple[Place, ...]
    strategy: Strategy
    auto_shutdown: AutoShutdown
    intensity: int
    period: float


class _Over(Exception):
    """The supervisor ends."""


@dataclass
class Model:
    """A supervisor that has started."""

    declared: Declared
    log: list[str] = field(default_factory=list)
    end: Literal["", "gave up", "shut down"] = ""
    failing_starts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.places = [*self.declared.places]
        self.up = [place.id for place in self.places]
        self.log.extend(f"+{place.id}" for place in self.places)
        self.times: list[float] = []
        self.streaks = Counter[str]()
        self.rested_at = self.now = 0.0

    def rest(self) -> None:
        """Let time pass until the next step; restarts that are still to come come in it."""
        self.rested_at += REST
        self.now = self.rested_at

    def act(self, name: str, act: Act) -> None:
        """Let the child *name*, if it is up, end like this."""
        place = next((place for place in self.places if place.id == name), None)
        if place is None or name not in self.up or self.end:
            return
        try:
            if act == "be stopped":
                self._terminate([place])
                self.places.remove(place)
                return
            self._fall(place)
            self._judge(place, act)
        except _Over:
            self.stop()

    def stop(self) -> None:
        """Stop all in reverse."""
        self._terminate(self.places)

    def _judge(self, place: Place, act: Act) -> None:
        if act == "escalate":
            self._finish("gave up")
        again = place.restart == "permanent" or (place.restart == "transient" and act == "crash")
        if act == "stop itself" or not again:
            self._retire(place)
        else:
            self._restart(place)

    def _retire(self, place: Place) -> None:
        if place.restart == "temporary":
            self.places.remove(place)
        left = any(other.significant and other.id in self.up for other in self.places)
        mode = self.declared.auto_shutdown
        if place.significant and (mode == "any_significant" or not left):
            self._finish("shut down")

    def _restart(self, place: Place) -> None:
        failed: Place | None = place
        while failed is not None:
            self.times = [at for at in self.times if at >= self.now - self.declared.period]
            self.times.append(self.now)
            if len(self.times) > self.declared.intensity:
                self._finish("gave up")
            self.now += STEADY.delay(self.streaks[failed.id], float)
            self.streaks[failed.id] += 1
            group = self._group(failed)
            self._terminate(group)
            self.places = [p for p in self.places if p not in group or p.restart != "temporary"]
            failed = self._start([p for p in group if p.restart != "temporary"])

    def _start(self, group: list[Place]) -> Place | None:
        for place in group:
            if self.failing_starts[place.id]:
                self.failing_starts[place.id] -= 1
                return place
            self.up.append(place.id)
            self.log.append(f"+{place.id}")
        return None

    def _group(self, place: Place) -> list[Place]:
        match self.declared.strategy:
            case "one_for_all":
                return [*self.places]
            case "rest_for_one":
                return self.places[self.places.index(place) :]
            case _:
                return [place]

    def _terminate(self, group: list[Place]) -> None:
        for place in reversed(group):
            if place.id in self.up:
                self._fall(place)
                self.log.append(f"-{place.id}")

    def _fall(self, place: Place) -> None:
        self.up.remove(place.id)
        self.streaks[place.id] = 0

    def _finish(self, end: Literal["gave up", "shut down"]) -> None:
        self.end = end
        raise _Over
