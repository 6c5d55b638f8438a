"""A batch, and what it is made of; a single delivery is a batch of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

from callboard_brokers import BatchDelivery, BatchMessage, Delivery, Message


def size_of(delivery: Delivery) -> int:
    """Return the bytes by which a delivery, or a batch, counts against a bound."""
    return sum(len(part.message.body) for part in parts_of(delivery))


def is_settled(delivery: Delivery) -> bool:
    """Whether there is nothing left to do about any part of *delivery*."""
    return all(part.settled for part in parts_of(delivery))


def is_batch(message: Message) -> TypeGuard[BatchMessage[Any]]:
    """Whether *message* stands for several; `isinstance` would forget of which kind."""
    return isinstance(message, BatchMessage)


def parts_of(delivery: Delivery) -> Sequence[Delivery]:
    """Return the deliveries that *delivery* is made of."""
    return delivery.parts if isinstance(delivery, BatchDelivery) else [delivery]
