"""The settle-once delivery by which a broker hands a message over."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Final, Generic, Protocol

from typing_extensions import TypeVar

from callboard_brokers._message import BatchMessage, Keeping, Message
from callboard_brokers._settlement import Settlement

R_co = TypeVar("R_co", covariant=True, default=Any)

_ACK: Final = Settlement.ACK
_NACK: Final = Settlement.NACK
"""Looked up once: a member of an enumeration costs more than the settlement of most messages."""


class Ledger(Protocol):
    """Where a subscription's settlements are written down; it flushes them by itself.

    Both methods are synchronous, cheap, and never raise: what cannot be sent is kept and sent
    again, or left to the broker's redelivery.
    """

    def settle(self, delivery: Delivery, settlement: Settlement, delay: float | None, /) -> None:
        """Take the first settlement of *delivery*; drop and count it if its epoch has passed."""
        ...

    def settled_twice(self, delivery: Delivery, /) -> None:
        """Count a settlement of *delivery* that came after the first."""
        ...


class Delivery(Generic[R_co]):
    """A message to be settled exactly once.

    *epoch* is the generation of the connection or assignment that it came by: a settlement that
    arrives in a later one is stale. *deliveries* is the broker's count, 1 the first time, and one
    more for each time that the reader has kept it to try it again; None where the broker does not
    count, before it is kept. *token* is the adapter's own: how to settle. `lane` is the reader's
    own: what it has found out of the order that this one is in, in a tuple; unset before. So is
    `failed_at`: when it has failed first, by the clock of the loop.
    """

    lane: tuple[Hashable]
    failed_at: float

    __slots__ = (
        "_ledger",
        "deliveries",
        "epoch",
        "failed_at",
        "lane",
        "message",
        "settlement",
        "token",
    )

    def __init__(
        self,
        message: Message[R_co],
        ledger: Ledger,
        epoch: int = 0,
        deliveries: int | None = None,
        token: object = None,
    ) -> None:
        self.message = message
        self.epoch = epoch
        self.deliveries = deliveries
        self.token = token
        self.settlement: Settlement | None = None
        self._ledger = ledger
        message.delivery = self

    @property
    def settled(self) -> bool:
        """Whether a settlement has been accepted."""
        return self.settlement is not None

    def settle(self, settlement: Settlement, delay: float | None = None) -> bool:
        """Write *settlement* into the ledger, unless there is one; return whether it was first.

        *delay*, for NACK, is how long to wait before the next delivery; None is the usual time, on
        every broker: 0.1 s at least, and longer each time. Returns at once and never raises:
        sending it is the subscription's business.

        The ledger does not hear of a NACK of which the reader says that he tries again himself.
        """
        if self.settlement is not None:
            self._ledger.settled_twice(self)
            return False
        self.settlement = settlement
        # A message and its delivery hold each other. Parted here, they are freed as soon as
        # nobody needs them; else their bodies would wait for the collector of cycles.
        self.message.delivery = _ACKED if settlement is _ACK else _SETTLED[settlement]
        if settlement is not _NACK or not self._is_kept(delay):
            self._ledger.settle(self, settlement, delay)
        return True

    def reopen(self) -> None:
        """Let it be settled again, whose NACK was kept from the ledger; for the reader."""
        self.settlement = None
        self.message.delivery = self

    def call(self, settlement: Settlement) -> None:
        """Have the message say *settlement*, for which something else was settled at the broker.

        So an acknowledged message is called rejected, whose dead letter is elsewhere.
        """
        if self.settlement is not None:
            self.message.delivery = _SETTLED[settlement]

    def ack(self) -> bool:
        """Settle as handled."""
        return self.settle(Settlement.ACK)

    def nack(self, delay: float | None = None) -> bool:
        """Settle as failed; see `settle` for *delay*."""
        return self.settle(Settlement.NACK, delay)

    def reject(self) -> bool:
        """Settle as hopeless."""
        return self.settle(Settlement.REJECT)

    def release(self) -> bool:
        """Give it back unhandled."""
        return self.settle(Settlement.RELEASE)

    def _is_kept(self, delay: float | None) -> bool:
        reader = self.message.binding
        return isinstance(reader, Keeping) and reader.keep(self, delay)


class BatchDelivery(Delivery[tuple[object, ...]]):
    """Deliveries that are handled, and hence settled, as one.

    Its `message` stands for all of them. Parts that were settled one by one keep their own
    settlement.
    """

    __slots__ = ("parts",)
    message: BatchMessage

    def __init__(self, parts: Sequence[Delivery]) -> None:
        if not parts:
            raise ValueError("a batch of no deliveries cannot be settled: give at least one")
        message = BatchMessage([part.message for part in parts])
        super().__init__(message, _Parts(parts), parts[0].epoch, parts[0].deliveries)
        self.parts = parts


class _Parts:
    """The ledger of a batch: its parts, each with a ledger of its own."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Sequence[Delivery]) -> None:
        self._parts = parts

    def settle(self, _batch: Delivery, settlement: Settlement, delay: float | None) -> None:
        for part in self._parts:
            if part.settlement is None:
                part.settle(settlement, delay)

    def settled_twice(self, _batch: Delivery) -> None:
        self._parts[0].settle(Settlement.RELEASE)  # is settled, so this only counts


class _Settled:
    """Stands in for the delivery in a message that has been settled."""

    __slots__ = ("deliveries", "settlement")
    settled = True

    def __init__(self, settlement: Settlement | None) -> None:
        self.settlement = settlement
        self.deliveries: int | None = None

    def settle(self, settlement: Settlement, delay: float | None = None) -> bool:
        del settlement, delay
        return False


_SETTLED: Final = {settlement: _Settled(settlement) for settlement in Settlement}
_ACKED: Final = _SETTLED[_ACK]
"""A member of an enumeration is a slow key, and nearly all are acknowledged."""
