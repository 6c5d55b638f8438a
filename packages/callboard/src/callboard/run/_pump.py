"""The intake of a subscription: takes from the broker what the mailbox has room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import anyio

from callboard.handle._batch import Batcher
from callboard.handle._circuit import Circuit
from callboard.handle._parts import parts_of
from callboard_actors import Child, Mailbox, MailboxClosed
from callboard_brokers import Blaming, Delivery, Subscription

_BLOCKED: Final = "it blocked the event loop until the broker gave its messages to somebody else"


class Meter:
    """Counts what was taken from the broker, a bulk at a time."""

    __slots__ = ("taken",)

    def __init__(self) -> None:
        self.taken = 0


class Intake(NamedTuple):
    """Where messages are taken from, and where they go.

    Attributes:
        circuit: What it waits for before it takes any; None: for nothing but room.
        relieve: Makes room that is taken by what waits for another try; None: nothing does.
    """

    subscription: Subscription
    mailbox: Mailbox[Delivery]
    meter: Meter
    circuit: Circuit | None = None
    relieve: Callable[[], None] | None = None

    async def room(self) -> int:
        """Wait until messages may be taken; return how many.

        Raises:
            MailboxClosed: None will be.
        """
        if self.circuit is not None:
            await self.circuit.intake()
        if self.relieve is not None:
            self.relieve()
        return await self.mailbox.room()


async def pump(intake: Intake, child: Child) -> None:
    """Fill the mailbox from the subscription until asked to stop.

    It asks for as many deliveries as there are free slots and bytes, hence holds none that has no
    place: a full mailbox leaves the rest with the broker, and that is all the backpressure.
    """
    child.ready()
    subscription, mailbox, meter, *_ = intake
    blamed = _blamed_by(subscription)
    taken: Sequence[Delivery] = ()
    with anyio.CancelScope() as scope:
        child.on_stop(scope.cancel)
        try:
            while True:
                free = await intake.room()
                taken = await subscription.receive(free, mailbox.free_bytes)
                mailbox.put_many(taken, [len(each.message.body) for each in taken])  # by `size`
                # Now that they are there: no worker takes one before this task waits again.
                for each in blamed(taken):
                    mailbox.condemn(each, _BLOCKED)
                meter.taken += len(taken)
                taken = ()
        except MailboxClosed:
            # The workers have given up, and drain. Whoever replaces them replaces the pump as well.
            for delivery in taken:
                delivery.release()
            await anyio.sleep_forever()


async def pump_batches(intake: Intake, child: Child, batcher: Batcher) -> None:
    """Fill the mailbox with batches, until asked to stop; see `pump`."""
    child.ready()
    mailbox, blamed = intake.mailbox, _blamed_by(intake.subscription)
    with anyio.CancelScope() as scope:
        child.on_stop(scope.cancel)
        try:
            while True:
                await intake.room()
                await _collect(intake, batcher)
                while batcher.ready:
                    await mailbox.room()
                    if batcher.ready:  # they may have been recalled meanwhile
                        batch = batcher.take()
                        mailbox.put_nowait(batch)
                        if blamed(parts_of(batch)):
                            mailbox.condemn(batch, _BLOCKED)
        except MailboxClosed:
            _release(batcher)
            await anyio.sleep_forever()
    _release(batcher)


async def _collect(intake: Intake, batcher: Batcher) -> None:
    """Take until a batch is full, or the mailbox would be, or the first has waited long enough."""
    subscription, mailbox, meter, *_ = intake
    with anyio.CancelScope() as waiting:
        while not batcher.ready and (spare := mailbox.free_bytes - batcher.bytes) > 0:
            taken = await subscription.receive(batcher.missing, spare)
            meter.taken += len(taken)
            batcher.add(taken)
            waiting.deadline = min(waiting.deadline, anyio.current_time() + batcher.patience)
            if not batcher.patience:
                break
    batcher.flush()


def _blamed_by(
    subscription: Subscription,
) -> Callable[[Sequence[Delivery]], Sequence[Delivery]]:
    """Return what picks those that *subscription* does not want handled again; nearly always none."""
    return subscription.blamed if isinstance(subscription, Blaming) else _nobody


def _nobody(_deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
    return ()


def _release(batcher: Batcher) -> None:
    for batch in batcher.drain():
        batch.release()


def size(delivery: Delivery) -> int:
    """Return the bytes by which a delivery counts against the bound of its mailbox."""
    return len(delivery.message.body)
