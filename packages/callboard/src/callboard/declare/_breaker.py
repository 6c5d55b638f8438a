"""When a subscriber stops taking messages, since what its handler depends on is away."""

from __future__ import annotations

from dataclasses import dataclass

from callboard._errors import BatchError, DeclarationError, DependencyDown, IgnoredException
from callboard.declare._policy import is_invalid
from callboard.declare._retry import Kinds, check_kinds, kinds_of


@dataclass(frozen=True, kw_only=True)
class Breaker:
    """Take no messages while what they need is away, and lose none by it.

    It opens when of the last calls, at least *calls* of them, the part *ratio* has failed, or at
    once when a handler raises `DependencyDown`. Open, nothing is taken and nothing begun. After
    *pause* seconds one message is tried, then as many as there are *probes*; if all of them go
    well it closes, and with the first that fails it is open again.

    What fails by that stays where it is, and its key behind it: it has used none of its tries,
    and does not go to the dead letters. What would be given up before it opens waits, too, until
    anything else has succeeded since, for that alone shows whose fault it is.

    It holds for all workers of a subscriber in one process. A stop gives back what waits.

    Attributes:
        ratio: The part of calls that has to fail, above 0 and up to 1.
        calls: Of how many calls at least; five times as many are looked at.
        within: Seconds after which a call does not count any more.
        pause: Seconds that it is open, each time.
        probes: How many calls have to go well until it closes.
        on: The exceptions that count as failures. Say those of your dependency, as
            `ConnectionError`: else a message that fails by itself, with nothing but its own key to
            be handled, keeps the breaker open.
        never: Those among them that do not. What is not valid never counts, nor what a handler
            decides by raising `RejectMessage` and the like.
    """

    ratio: float = 0.5
    calls: int = 20
    within: float = 30.0
    pause: float = 5.0
    probes: int = 5
    on: Kinds = Exception
    never: Kinds = ()

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if not 0 < self.ratio <= 1:
            raise DeclarationError(f"ratio={self.ratio!r} of a Breaker must be above 0, at most 1")
        for name in ("calls", "probes"):
            value: object = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise DeclarationError(
                    f"{name}={value!r} of a Breaker must be a whole number, at least 1"
                )
        for name in ("within", "pause"):
            if getattr(self, name) <= 0:
                raise DeclarationError(
                    f"{name}={getattr(self, name)!r} of a Breaker must be seconds, above 0"
                )
        check_kinds("a Breaker", on=self.on, never=self.never)

    def blames(self, error: Exception) -> bool:
        """Whether *error* may mean that a dependency is away; of a batch, that of each message."""
        if isinstance(error, DependencyDown):
            return True
        if isinstance(error, BatchError) and error.failures:
            return all(map(self.blames, error.failures.values()))
        if isinstance(error, IgnoredException) or is_invalid(error):
            return False
        return isinstance(error, kinds_of(self.on)) and not isinstance(error, kinds_of(self.never))
