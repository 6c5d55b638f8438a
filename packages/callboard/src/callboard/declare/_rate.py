"""How fast messages are handled at most: a pure reckoning."""

from __future__ import annotations

from dataclasses import dataclass

from callboard._errors import DeclarationError


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Begin to handle so many messages within so many seconds, and no more.

    It holds for all workers of a subscriber in one process, and a message that is tried again
    counts again. What has to wait fills the mailbox, and then stays with the broker. A stop waits
    for none of it: what has not begun goes back.

    Attributes:
        limit: How many messages; as many may begin at once after a rest.
        per: Within how many seconds.
    """

    limit: float
    per: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.limit < 1 or self.per <= 0:
            raise DeclarationError(
                f"limit={self.limit!r} of a Rate must be at least 1, per={self.per!r} above 0"
            )

    def after(self, spent: float, now: float, count: int) -> tuple[float, float]:
        """Return what is spent when *count* more begin, and when they may.

        What is *spent* is a point in time: when all that has begun is made up for.
        """
        step = self.per / self.limit
        spent = max(spent, now) + step * count
        return spent, spent - self.per
