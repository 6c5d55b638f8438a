"""The intake of a subscription: takes from the broker what the mailbox has room for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio

from callboard.handle._batch import Batcher
from callboard_actors import Child, Mailbox, MailboxClosed
from callboard_brokers import Delivery, Subscription

__all__ = ["Meter", "pump", "pump_batches", "size"]


class Meter:
    """Counts what was taken from the broker, a bulk at a time."""

    __slots__ = ("taken",)

    def __init__(self) -> None:
        self.taken = 0


async def pump(
    subscription: Subscription, mailbox: Mailbox[Delivery[Any]], child: Child, meter: Meter
) -> None:
    """Fill *mailbox* from *subscription* until asked to stop.

    It asks for as many deliveries as there are free slots and bytes, hence holds none that has no
    place: a full mailbox leaves the rest with the broker, and that is all the backpressure.
    """
    child.ready()
    taken: Sequence[Delivery[Any]] = ()
    with anyio.CancelScope() as intake:
        child.on_stop(intake.cancel)
        try:
            while True:
                free = await mailbox.room()
                taken = await subscription.receive(free, mailbox.free_bytes)
                mailbox.put_many(taken)
                meter.taken += len(taken)
                taken = ()
        except MailboxClosed:
            # The workers have given up, and drain. Whoever replaces them replaces the pump as well.
            for delivery in taken:
                delivery.release()
            await anyio.sleep_forever()


async def pump_batches(
    subscription: Subscription,
    mailbox: Mailbox[Delivery[Any]],
    child: Child,
    meter: Meter,
    batcher: Batcher,
) -> None:
    """Fill *mailbox* with batches, until asked to stop; see `pump`."""
    child.ready()
    with anyio.CancelScope() as intake:
        child.on_stop(intake.cancel)
        try:
            while True:
                await mailbox.room()
                await _collect(subscription, mailbox, batcher, meter)
                while batcher.ready:
                    await mailbox.room()
                    if batcher.ready:  # they may have been recalled meanwhile
                        mailbox.put_nowait(batcher.take())
        except MailboxClosed:
            _release(batcher)
            await anyio.sleep_forever()
    _release(batcher)


async def _collect(
    subscription: Subscription, mailbox: Mailbox[Delivery[Any]], batcher: Batcher, meter: Meter
) -> None:
    """Take until a batch is full, or the mailbox would be, or the first has waited long enough."""
    with anyio.CancelScope() as waiting:
        while not batcher.ready and (spare := mailbox.free_bytes - batcher.bytes) > 0:
            taken = await subscription.receive(batcher.missing, spare)
            meter.taken += len(taken)
            batcher.add(taken)
            waiting.deadline = min(waiting.deadline, anyio.current_time() + batcher.patience)
            if not batcher.patience:
                break
    batcher.flush()


def _release(batcher: Batcher) -> None:
    for batch in batcher.drain():
        batch.release()


def size(delivery: Delivery[Any]) -> int:
    """Return the bytes by which a delivery counts against the bound of its mailbox."""
    return len(delivery.message.body)
