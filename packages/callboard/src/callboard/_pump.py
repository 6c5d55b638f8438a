"""The intake of a subscription: takes from the broker what the mailbox has room for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio

from callboard_actors import Child, Mailbox, MailboxClosed
from callboard_brokers import Delivery, Subscription

__all__ = ["Meter", "pump", "size"]


class Meter:
    """Counts what was taken from the broker, a bulk at a time."""

    __slots__ = ("taken",)

    def __init__(self) -> None:
        self.taken = 0


async def pump(
    subscription: Subscription, mailbox: Mailbox[Delivery[Any]], child: Child, meter: Meter
) -> None:
    """Fill *mailbox* from *subscription* until asked to stop.

    It asks for as many deliveries as there are free slots, hence never holds one that has no
    place: a full mailbox leaves the rest with the broker, and that is all the backpressure.
    """
    child.ready()
    taken: Sequence[Delivery[Any]] = ()
    with anyio.CancelScope() as intake:
        child.on_stop(intake.cancel)
        try:
            while True:
                free = await mailbox.room()
                taken = await subscription.receive(free)
                mailbox.put_many(taken)
                meter.taken += len(taken)
                taken = ()
        except MailboxClosed:
            # The workers have given up, and drain. Whoever replaces them replaces the pump as well.
            for delivery in taken:
                delivery.release()
            await anyio.sleep_forever()


def size(delivery: Delivery[Any]) -> int:
    """Return the bytes by which a delivery counts against the bound of its mailbox."""
    return len(delivery.message.body)
