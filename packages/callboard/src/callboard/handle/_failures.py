"""When a message has failed first: what is remembered of a failure, for as long as it stays here."""

from __future__ import annotations

from math import inf

import anyio

from callboard.handle._parts import is_batch
from callboard_brokers import Delivery, Message


def note_failure(delivery: Delivery) -> None:
    """Remember that *delivery* has failed now, unless it has before."""
    if not hasattr(delivery, "failed_at"):
        delivery.failed_at = anyio.current_time()


def failed_first(message: Message) -> float:
    """Return when *message* has failed first, by the clock of the loop; infinite, if it has not.

    Of a batch, that is when the last of its messages has.
    """
    parts = message.parts if is_batch(message) else (message,)
    return max(getattr(each.delivery, "failed_at", inf) for each in parts)
