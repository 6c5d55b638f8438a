"""Which messages wait for each other: the choice of a lane, and what a nack does to one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, TypeAlias
from zlib import crc32

from callboard._errors import DeclarationError
from callboard.declare._options import SubscriberOptions
from callboard.handle._parts import parts_of
from callboard.handle._unconfirmed import Handled, Sent, Unconfirmed
from callboard.instruments import Outcome
from callboard_actors import Mailbox, Reader
from callboard_brokers import UNDECODED, BatchDelivery, Binding, Delivery, Message, Settles
from callboard_brokers.kit import REDELIVER

Lane: TypeAlias = Callable[[Delivery], Hashable | None]
Partition: TypeAlias = Callable[[Message], Hashable]
Report: TypeAlias = Callable[[Delivery, Exception], None]
"""Told of a message for which the user's function has failed."""
Count: TypeAlias = Callable[[Delivery, float | None], float | None]
"""Counts a failure; returns how long to wait before the next try, None: give it to the broker."""


def lane_of(options: SubscriberOptions, partition: Partition | None, report: Report) -> Lane | None:
    """Return the choice by *options*, None for a message of no lane; None: there are no lanes.

    Raises:
        DeclarationError: An order by *partition* is needed, and the broker has none.
    """
    ordered_by = options.ordered_by
    if options.batch and ordered_by == "key" and options.max_workers > 1:
        ordered_by = "partition"
    if ordered_by == "none":
        return None
    if callable(ordered_by):
        return _asking(ordered_by, report)
    if ordered_by == "partition" and partition is not None:
        return lambda delivery: partition(parts_of(delivery)[0].message)
    if ordered_by == "key" or options.max_workers == 1:
        return _key if options.key_header is None else _key_in(options.key_header)
    raise DeclarationError(
        f"max_workers={options.max_workers} of a subscriber can keep no order of "
        + ("batches" if options.batch else "partitions")
        + ", since its broker has no partitions: give ordered_by='none', or one worker"
    )


def shard_of(lane: Lane | None, shards: int) -> Callable[[Delivery], int]:
    """Return the choice of one of *shards*, always the same for a lane; without one, by turns."""
    turns = cycle(range(shards))

    def shard(delivery: Delivery) -> int:
        key = lane(delivery) if lane is not None else None
        if key is None:
            return next(turns)
        return crc32(key if isinstance(key, bytes) else repr(key).encode()) % shards

    return shard


@dataclass(eq=False, slots=True)
class LaneKeeper:
    """Keeps what is nacked in its lane, so that no later message of that passes it.

    It is the `Binding` of the messages of one worker. A message of no lane, and one that its
    handler nacks when it has returned, are the broker's: others pass them. What is kept stays
    unsettled, hence is delivered again by the broker should this process die; where nobody is going
    to try it again here, it is released, and with it what waits behind it.
    """

    binding: Binding
    lane: Lane | None
    mailbox: Mailbox[Delivery]
    reader: Reader[Delivery]
    count: Count
    unconfirmed: Unconfirmed
    relieve: Callable[[], None] | None = None
    """Called when something waits for another try; None: nobody minds."""
    kept: list[Delivery] = field(default_factory=list[Delivery])
    """What was nacked of the delivery that is in hand."""
    delay: float = 0.0
    goes_back: bool = False
    lets_pass: bool = False
    recalled: Delivery | None = None

    def decode(self, message: Message, as_: Any = UNDECODED, /) -> object:
        """Return the value of a body."""
        return self.binding.decode(message, as_)

    async def reject(self, message: Message, /) -> None:
        """Bring to the dead letters what a handler rejects by hand."""
        await self.binding.reject(message)

    @property
    def crashes(self) -> int:
        """How often the delivery in hand has crashed its actor."""
        before = self.reader.crashes.get(id(self.reader.current))
        return 0 if before is None else before.count

    def keep(self, delivery: Settles, delay: float | None, /) -> bool:
        """Keep *delivery*, if it is in hand and has a lane."""
        current, lane = self.reader.current, self.lane
        if current is None or lane is None or self.lets_pass:
            return False
        mine = next((part for part in parts_of(current) if part is delivery), None)
        if mine is None or lane(mine) is None:
            return False
        wait = self.count(mine, delay)
        if wait is None:
            return False
        self.kept.append(mine)
        self.delay = max(self.delay, wait)
        return True

    def stay(self, delivery: Delivery, seconds: float) -> None:
        """Keep what is left of *delivery*, whatever its lane; nobody counts it as a failure."""
        self.kept += [part for part in parts_of(delivery) if not part.settled]
        self.delay = max(self.delay, seconds)

    def defer(self, delivery: Delivery, outcome: Outcome, sent: Sequence[Sent]) -> bool:
        """Have *delivery* settled when *sent* is confirmed, if it is all of what is in hand.

        What comes again holds its lane until it is confirmed: else it might fail once more, and
        what comes after it be handled with each try.
        """
        current = self.reader.current
        if current is None or self.kept or not self.unconfirmed.is_open:
            return False
        if delivery is not current and len(parts_of(delivery)) != len(parts_of(current)):
            return False
        if _comes_again(delivery) and not self.unconfirmed.has(current):
            return False
        handled = Handled(current, outcome, is_recalled=current is self.recalled)
        self.unconfirmed.add(self.reader, handled, sent)
        return True

    async def in_turn(self) -> bool:
        """Wait for what goes before the delivery in hand; return False if that goes back with it."""
        current = self.reader.current
        self.goes_back = current is not None and not await self.unconfirmed.in_turn(current)
        return not self.goes_back

    def end(self) -> None:
        """Let what was kept wait for its time, now that nobody is busy with it, or has it behind."""
        if self.kept or self.goes_back:
            self._park()
        if self.unconfirmed.stuck:
            self.reader.done()
            self.unconfirmed.go_on()

    def _park(self) -> None:
        delay, current = self.delay, self.reader.current
        self.forget()
        if current is not None and current is self.recalled:
            current.release()
            return
        self.reader.park(delay)
        if self.relieve is not None:
            self.relieve()
        if self.mailbox.closed:
            self.unconfirmed.release(self.mailbox.take_parked())

    def forget(self) -> None:
        """Leave what was kept to whoever takes it next: its handling was cut off."""
        for delivery in self.kept:
            delivery.reopen()
        self.kept, self.delay, self.goes_back = [], 0.0, False

    def recall(self) -> None:
        """Keep what is in hand no longer: the broker wants it back."""
        self.recalled = self.reader.current


def _comes_again(delivery: Delivery) -> bool:
    if isinstance(delivery, BatchDelivery):
        return any(map(_comes_again, delivery.parts))
    return delivery.deliveries is not None and delivery.deliveries > 1


def usual_delay(delivery: Delivery, delay: float | None) -> float:
    """Count for a broker that does not."""
    delivery.deliveries = tries = (delivery.deliveries or 1) + 1
    return REDELIVER.whole(tries - 2) if delay is None else delay


def _asking(order: Callable[[Message], Hashable], report: Report) -> Lane:
    """Ask *order*, once of each message; of a batch, the first tells.

    If it fails, that one message is in no lane: one must not stop the intake.
    """

    def lane(delivery: Delivery) -> Hashable | None:
        first = parts_of(delivery)[0]
        if not hasattr(first, "lane"):
            first.lane = (asked(first),)
        return first.lane[0]

    def asked(delivery: Delivery) -> Hashable | None:
        try:
            key = order(delivery.message)
            hash(key)
        except Exception as error:  # noqa: BLE001 - whatever the user's function raises
            report(delivery, error)
            return None
        return key

    return lane


def _key(delivery: Delivery) -> Hashable | None:
    return delivery.message.key


def _key_in(header: str) -> Lane:
    def key(delivery: Delivery) -> Hashable | None:
        message = delivery.message
        return message.headers.get(header) if message.key is None else message.key

    return key
