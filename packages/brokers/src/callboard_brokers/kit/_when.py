"""When a message is due that is published for later: after a delay, or at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import isfinite

from callboard_brokers._errors import DestinationError


def seconds_until(
    address: str, delay: float | timedelta | None, at: datetime | None
) -> float | None:
    """Return after how many seconds a message for *address* is due; None: at once.

    What was due before is due now: 0.

    Raises:
        DestinationError: Both are said, or one of them is no time.
    """
    if delay is None and at is None:
        return None
    if delay is not None and at is not None:
        raise DestinationError(
            f"cannot publish to {address!r} with delay={delay!r} and at={at!r}: give one of them"
        )
    if at is not None:
        if at.tzinfo is None:
            raise DestinationError(
                f"cannot publish to {address!r} at={at!r}, which says no time zone: give it one, as"
                " by datetime.now(UTC)"
            )
        return max(0.0, (at - datetime.now(UTC)).total_seconds())
    whole = delay / timedelta(seconds=1) if isinstance(delay, timedelta) else delay
    if not isinstance(whole, int | float) or not isfinite(whole) or whole < 0:
        raise DestinationError(
            f"cannot publish to {address!r} with delay={delay!r}: give seconds, from 0 on, or a"
            " timedelta"
        )
    return float(whole)
