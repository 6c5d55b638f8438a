"""How long to wait before trying again: doubled every time, up to a limit."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Backoff:
    """Grows from *shortest* to *longest* seconds.

    A number of failures counts those in a row before the one that is waited after: 0 at first.
    """

    shortest: float
    longest: float = 30.0

    def whole(self, failures: int) -> float:
        """Return the seconds to wait where nobody else waits for the same."""
        # Beyond 2^32 times the shortest nothing grows any more, and a float would overflow.
        return min(self.longest, self.shortest * 2.0 ** min(failures, 32))

    def jittered(self, failures: int) -> float:
        """Draw the seconds to wait, evenly from zero on: who failed together returns apart."""
        return random.uniform(0, self.whole(failures))  # noqa: S311 - jitter is no secret


RECONNECT: Final = Backoff(0.5, 2.0)
"""Between two attempts to reach a broker: whoever waits for it goes on soon after it is back."""

REDELIVER: Final = Backoff(0.1)
"""Before a message comes again that was nacked without a delay."""
