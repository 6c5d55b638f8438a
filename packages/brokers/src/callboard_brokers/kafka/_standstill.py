"""Whether the event loop stands still for so long that a member is let go, and what for.

That is another's to handle then, whose loop stands still in turn, and so on through the group. What
has cost two memberships here is therefore to be given up. Asked by the thread that beats for the
member; afterwards nobody knows any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import TypeAlias

from callboard_brokers._delivery import Delivery
from callboard_brokers.kafka._message import KafkaMessage

Spot: TypeAlias = tuple[str, int, int]
"""A topic, a partition and an offset."""


class Standstill:
    """Keeps the time for one member, and what it stood still for."""

    def __init__(self, patience: float) -> None:
        self.turned = monotonic()
        """When the loop has come to it last that the member lives."""
        self.who: Callable[[], Sequence[Delivery]] = tuple
        """Says what keeps the loop."""
        self._once = frozenset[Spot]()
        self._twice = frozenset[Spot]()
        self._patience = patience
        self._asked = 0.0

    def lasts(self) -> bool:
        """Whether it has taken too long; each time that is so, ask once what for."""
        turned = self.turned
        if monotonic() - turned <= self._patience:
            return False
        if turned != self._asked:
            self._asked = turned
            spots = {spot for each in self.who() if (spot := _spot(each)) is not None}
            self._twice |= spots & self._once
            self._once |= spots
        return True

    def blamed(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """Return those of *deliveries* for which the loop has stood still twice."""
        if not self._twice:
            return ()
        return [delivery for delivery in deliveries if _spot(delivery) in self._twice]


def _spot(delivery: Delivery) -> Spot | None:
    message = delivery.message
    if not isinstance(message, KafkaMessage):
        return None
    record = message.raw_message
    return record.topic, record.partition, record.offset
