"""Restart decisions: whether, when, and how often. Pure; the clock and the dice are handed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from callboard_actors._errors import SpecError
from callboard_actors.supervision._decisions import Rule, check_rules
from callboard_actors.supervision._exits import ExitReason

Restart: TypeAlias = Literal["permanent", "transient", "temporary"]
OnGiveUp: TypeAlias = Literal["wait", "stop"]


def restarts(kind: Restart, reason: ExitReason) -> bool:
    """Whether a child of this *kind* is restarted after an exit for *reason*."""
    return kind == "permanent" or (kind == "transient" and reason.abnormal)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a restart: not at all at first, then ever longer.

    Attributes:
        first: The wait before the first restart in a row; it has no jitter.
        min: The wait before the second restart in a row.
        max: The longest wait.
        factor: How much longer each wait is than the one before it.
        jitter: `full` draws each wait evenly from zero to its length, so that many children that
            failed together do not return together; `none` waits the whole length.
        reset_after: A child that was up for so long begins anew, with a restart at once.
    """

    min: float = 0.2
    max: float = 30.0
    factor: float = 2.0
    jitter: Literal["full", "none"] = "full"
    reset_after: float = 60.0
    first: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        if self.first < 0 or not 0 <= self.min <= self.max or self.factor < 1:
            message = f"{self} cannot grow: give first >= 0, 0 <= min <= max and factor >= 1"
            raise SpecError(message)

    def delay(self, n: int, random: Callable[[], float]) -> float:
        """Return the wait before the restart that follows *n* restarts in a row.

        *random* returns a number from 0 to 1.
        """
        if n == 0:
            return self.first
        try:
            longest = min(self.max, self.min * self.factor ** (n - 1))
        except OverflowError:
            longest = self.max
        return longest * random() if self.jitter == "full" else longest


def check_limit(owner: str, intensity: float, period: float) -> None:
    """Refuse a limit of restarts that makes no sense.

    Raises:
        SpecError: *intensity* is negative, or *period* not positive.
    """
    if intensity < 0 or period <= 0:
        message = f"{owner} has {intensity=} and {period=}; give >= 0 and > 0"
        raise SpecError(message)


class Intensity:
    """Counts the restarts of the last *period* seconds, of which there may be *limit*."""

    __slots__ = ("_limit", "_period", "_times")

    def __init__(self, limit: float, period: float) -> None:
        self._limit = limit
        self._period = period
        self._times: deque[float] = deque()

    def allows(self, now: float) -> bool:
        """Count a restart at *now*; return whether it is still within the limit."""
        times = self._times
        while times and times[0] < now - self._period:
            times.popleft()
        times.append(now)
        return len(times) <= self._limit


@dataclass(frozen=True, slots=True)
class Supervision:
    """What is to happen when an actor crashes again and again.

    Attributes:
        intensity: How many restarts there may be within the period; one more, and the supervisor
            gives up.
        period: In seconds.
        backoff: The wait before each restart.
        decide: What is to be done about which exceptions, by type or predicate: the first rule
            that fits holds. Without one, see `decision`.
        on_give_up: What a part of an application does that can be done without for a while:
            `wait` and be tried again, or `stop` the whole application.

    Raises:
        SpecError: The limit makes no sense, a rule is none, or *on_give_up* is unknown.
    """

    intensity: int = 5
    period: float = 30.0
    backoff: Backoff = field(default_factory=Backoff)
    decide: Sequence[Rule] = ()
    on_give_up: OnGiveUp = field(default="wait", kw_only=True)

    def __post_init__(self) -> None:
        check_limit("Supervision", self.intensity, self.period)
        check_rules(self.decide)
        if self.on_give_up not in get_args(OnGiveUp):
            known = ", ".join(get_args(OnGiveUp))
            raise SpecError(f"Supervision has on_give_up={self.on_give_up!r}; choose of {known}")
