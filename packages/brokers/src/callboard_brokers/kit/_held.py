"""The ledger: who is in flight, in which epoch, and what to do with a settlement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, TypeAlias, TypeVar

from callboard_brokers._delivery import Delivery
from callboard_brokers._message import Message
from callboard_brokers._settlement import Settlement
from callboard_brokers.events import SettledLate, SettledTwice
from callboard_brokers.kit._backoff import REDELIVER
from callboard_brokers.kit._journal import Journal
from callboard_brokers.kit._signal import Signal

R = TypeVar("R")
Write: TypeAlias = Callable[[Delivery, Settlement, float | None], None]
"""Notes what the broker is to be told: `Each.write`, `Prefix.write`, or an adapter's own."""
Again: TypeAlias = Callable[[Delivery, float], None]
"""Delivers the message of a settled delivery again, from here, after so many seconds."""
_NACK: Final = Settlement.NACK
_AGAIN: Final = (_NACK, Settlement.RELEASE)


@dataclass(eq=False)
class Held(Generic[R]):
    """What was taken from the broker and is not settled: a `Ledger`.

    The first settlement of each delivery goes to *write*. Where the broker cannot deliver again,
    or not after a delay, *again* gets the nacks and the releases instead: it makes another
    message of the record, and delivers it with the same token. A nack without a delay gets
    that of *backoff*, which is given how often the message was nacked before, as far as that is
    known; it may return None: never again, and then the nack is written whoever else gets them.

    A settlement of an epoch that has ended does nothing. It is told, since the message is
    handled twice; a release is only counted, as `settle.recalled`: nothing was done.
    """

    write: Write
    journal: Journal
    again: Again | None = None
    backoff: Callable[[int], float | None] = REDELIVER.whole
    epoch: int = field(default=1, init=False)
    _held: dict[Delivery, bool] = field(default_factory=dict[Delivery, bool], init=False)
    _nacks: dict[object, int] = field(default_factory=dict[object, int], init=False)
    _idle: Signal = field(default_factory=Signal, init=False)

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Delivery[R]]:
        """Iterate over what is held, oldest first; of this moment, whatever happens meanwhile."""
        return iter([*self._held])

    def deliver(
        self, message: Message[R], token: object = None, deliveries: int | None = None
    ) -> Delivery[R]:
        """Hold *message*; see `Delivery` for the rest."""
        delivery = Delivery(message, self, self.epoch, deliveries, token)
        self._held[delivery] = True
        return delivery

    def settle(self, delivery: Delivery, settlement: Settlement, delay: float | None, /) -> None:
        """Take *delivery* off what is held, and see to its settlement."""
        if not self._held.pop(delivery, False):
            self._drop(delivery, settlement)
            return
        if settlement is _NACK and delay is None:
            delay = self.backoff(self._failures(delivery))
        after = 0.0 if settlement is Settlement.RELEASE else delay
        if self.again is not None and settlement in _AGAIN and after is not None:
            self.again(delivery, after)
        else:
            if self._nacks:
                self._nacks.pop(delivery.token, None)
            self.write(delivery, settlement, delay)
        if not self._held:
            self._idle.set()

    def settled_twice(self, delivery: Delivery, /) -> None:
        """Tell it."""
        self.journal.tell(SettledTwice(delivery.message.address))

    def count_failure(self, delivery: Delivery, delay: float | None, /) -> float | None:
        """Count a failure of *delivery*, which its reader keeps; see `Counting`."""
        usual = self.backoff(self._failures(delivery)) if delivery in self._held else None
        if usual is None:
            return None
        if delivery.deliveries is not None:
            delivery.deliveries += 1
        return usual if delay is None else delay

    def withdraw(self, deliveries: Iterable[Delivery[R]]) -> None:
        """Hold *deliveries* no more, which nobody has received: they come again by themselves."""
        for delivery in deliveries:
            self._held.pop(delivery, None)
        if not self._held:
            self._idle.set()

    def end_epoch(self) -> list[Delivery[R]]:
        """Let go of everything, and return it, oldest first; its settlements are stale now."""
        unsettled = [*self._held]
        self._held.clear()
        self._nacks.clear()
        self.epoch += 1
        self._idle.set()
        return unsettled

    async def idle(self) -> None:
        """Wait until nothing is held."""
        while self._held:
            await self._idle.wait()

    def _failures(self, delivery: Delivery) -> int:
        """Return how often it was nacked before, as far as is known."""
        if delivery.deliveries is not None:
            return delivery.deliveries - 1
        if self.again is None:
            return 0  # its token is another one the next time
        nacks = self._nacks[delivery.token] = self._nacks.get(delivery.token, -1) + 1
        return nacks

    def _drop(self, delivery: Delivery, settlement: Settlement) -> None:
        if settlement is Settlement.RELEASE:
            self.journal.counts["settle.recalled"] += 1
        else:
            self.journal.tell(SettledLate(delivery.message.address))


class Leases:
    """Chooses whose lease to extend: not for ever, since a handler that hangs would keep it so.

    It is asked in equal intervals, and chooses each delivery *most* times: then the broker may
    give the message to somebody else.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._chosen: dict[Delivery, int] = {}

    def due(self, held: Iterable[Delivery]) -> list[Delivery]:
        """Return whose of *held* to extend now."""
        self._chosen = {each: self._chosen.get(each, 0) + 1 for each in held}
        return [each for each, times in self._chosen.items() if times <= self._most]

    def renew(self, delivery: Delivery) -> None:
        """Count anew for *delivery*: whoever handles it says that it goes on."""
        self._chosen.pop(delivery, None)
