"""What all ways of reading share: what waits, what is in hand, what the server is to be told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Any, Final

from anyio import current_time, move_on_after, sleep

from callboard_brokers._delivery import Delivery
from callboard_brokers._errors import BrokerError
from callboard_brokers._port import Capacity
from callboard_brokers._settlement import Settlement
from callboard_brokers.events import SettlementsFailed
from callboard_brokers.kit import Each, Flush, Held, Inflow, brief, time_left
from callboard_brokers.redis._delayed import due_now
from callboard_brokers.redis._link import Link
from callboard_brokers.redis._message import RedisRecord, view
from callboard_brokers.redis._reader import Reader
from callboard_brokers.redis._records import RedisSource

LEAVE: Final = 8.0
EVERY: Final = 1.0
"""Seconds between two looks at what others have left."""
_PAUSE: Final = 0.05


class Way:
    """A way of reading: what a kind of source takes; of what is not said here, nothing."""

    def __init__(self, of: RedisSubscription) -> None:
        self.of, self.source, self.link = of, of.source, of.link
        self.key = of.source.address

    async def begin(self) -> None:
        """Do what each new connection takes."""

    async def look(self, wanted: int) -> None:
        """Look for what was left by others, *wanted* messages at most."""

    async def read(self, wanted: int, seconds: float) -> None:
        """Wait for as many messages, and so many seconds at most."""

    def pushed(self, said: Sequence[Any]) -> None:
        """Take all that the server has said unasked."""

    async def settle(self, ids: Sequence[bytes]) -> None:
        """Tell the server that these are done with."""

    async def count(self, at: bytes, times: int) -> None:
        """Tell the server how often that one was tried."""

    async def stay(self) -> None:
        """Keep what is in hand ours."""

    async def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Let others have these, at once."""

    async def depart(self) -> None:
        """Do what is left to do once everything is settled or given back."""


class RedisSubscription:
    """A source that is being read, in one *way*."""

    def __init__(
        self, source: RedisSource, capacity: Capacity, link: Link, way: Callable[..., Way]
    ) -> None:
        self.source, self.link = source, link
        self._most, self._bytes = capacity.messages, capacity.bytes
        accounted = source.accounted
        is_channel = source.kind == "channel"
        room = (source.pending_msgs_limit, inf) if is_channel else (self._most, self._bytes)
        self.inflow = Inflow[RedisRecord](source.address, *room)
        self._flush = Flush(self._send, self.failed)
        self._each = Each(self._flush.soon)
        self.held = Held[RedisRecord](
            self._each.write if accounted else _nobody_asks,
            link.journal,
            again=self._again if accounted else None,
        )
        self.ids: set[bytes] = set()
        """What is in hand, until the server has been told."""
        self._counts: dict[bytes, int] = {}
        self._view = view(source, link.options.message_format)
        self.look_at = 0.0
        self._way = way(self)
        self.begin, self.pushed = self._way.begin, self._way.pushed
        self.reader = Reader(link, source, self)

    async def receive(
        self, limit: int, max_bytes: float = inf, /
    ) -> Sequence[Delivery[RedisRecord]]:
        """Wait for a delivery; return at most *limit* and *max_bytes*, in order.

        Raises:
            ConnectionClosed: The subscription has been left.
        """
        return await self.inflow.receive(min(limit, self._most), min(max_bytes, self._bytes))

    def on_recall(self, give_back: Callable[[], None], /) -> None:
        """Have *give_back* release what nobody has begun; see `Revocable`."""
        self.inflow.recall = give_back

    def count_failure(self, delivery: Delivery, delay: float | None, /) -> float | None:
        """Count a failure of *delivery*, which its reader keeps; see `Counting`."""
        after = self.held.count_failure(delivery, delay)
        if after is not None and delivery.deliveries is not None:
            self._count(delivery.token, delivery.deliveries)
        return after

    async def run_stay(self) -> None:
        """Keep what is held ours, until cancelled."""
        while True:
            await sleep(self.source.idle / 3)
            if self.link.is_up:
                await self.told(self._way.stay())

    async def run_flush(self) -> None:
        """Tell the server what is settled, until cancelled."""
        await self._flush.run()

    async def stop_intake(self) -> None:
        """Take nothing more, and give back what nobody has received."""
        self.close()
        if not self.reader.stopped:
            await self.reader.stop(time_left(2.0))
            drained = self.inflow.drain()
            self.held.withdraw(drained)
            await self._give_back(drained)

    async def leave(self) -> None:
        """Tell what is settled, give back the rest, and end it; not to be interrupted."""
        with move_on_after(time_left(LEAVE), shield=True):
            await self.stop_intake()
            told = await self._flush.leave(time_left(LEAVE) - 2.0)
            unsettled = self.held.end_epoch()
            await self._give_back(unsettled if self.source.accounted else ())
            if told and self.link.is_up:
                await self.told(self._way.depart())
        self.held.end_epoch()

    def close(self) -> None:
        """Deliver nothing more."""
        self.inflow.close()

    async def turn(self) -> None:
        """Read, or look around if that is due."""
        if len(self._each) > 2 * self._most:
            await sleep(_PAUSE)  # the server takes no settlements
            return
        wanted, now = await self.inflow.room(), current_time()
        if now < self.look_at:
            await self._way.read(wanted, self.look_at - now)
            return
        soon = await due_now(self.link, self.source.kind, self.source.address)
        self.look_at = now + min(EVERY, self.source.idle / 3, soon)
        await self._way.look(wanted)

    def put(self, records: Iterable[RedisRecord], counts: dict[bytes, int] | None = None) -> None:
        """Take *records*; each was delivered as often as *counts* says, or for the first time."""
        show, hold, ids = self._view, self.held.deliver, self.ids
        counted, accounted = self.source.counted, self.source.accounted
        deliveries: list[Delivery[RedisRecord]] = []
        for each in records:
            at = each.id
            times = 1 if counts is None or at is None else counts.get(at, 0) + 1
            deliveries.append(hold(show(each), at, times if counted else None))
            if accounted and at is not None:
                ids.add(at)
        self.inflow.put(deliveries)

    async def told(self, telling: Any) -> None:
        """Do what is no matter of life and death; if it fails, say so."""
        try:
            await telling
        except BrokerError as error:
            self.failed(error)

    def failed(self, error: Exception) -> None:
        """Say that the server does not know of settlements."""
        source = self.source
        self.link.journal.tell(SettlementsFailed(source.address, source.group, brief(error)))

    def start_over(self) -> None:
        """Let go of everything: others have it, since we have stood still for too long."""
        self.held.end_epoch()
        self.inflow.end_epoch()
        self._each.forget()
        self.ids.clear()

    def _again(self, delivery: Delivery, delay: float) -> None:
        """Deliver the message again, from here; for the server it is still in hand."""
        times = delivery.deliveries
        if times is not None and delivery.settlement is Settlement.NACK:
            times += 1
            self._count(delivery.token, times)
        message = self._view(delivery.message.raw_message)
        self.inflow.later(self.held.deliver(message, delivery.token, times), delay)

    def _count(self, token: Any, times: int) -> None:
        self._counts[token] = times
        self._flush.soon()

    async def _send(self) -> None:
        """Tell the server what is settled, and how often what is not was tried."""
        with self._each.sending() as entries:
            if ids := ids_of(each for each, _, _ in entries):
                await self._way.settle(ids)
                self.ids.difference_update(ids)
        counts, self._counts = self._counts, {}
        for at, times in counts.items():
            if at in self.ids:
                await self._way.count(at, times)

    async def _give_back(self, deliveries: Sequence[Delivery]) -> None:
        if deliveries and self.link.is_up:
            await self.told(self._way.give_back(deliveries))
            self.ids.difference_update(ids_of(deliveries))


def ids_of(deliveries: Iterable[Delivery]) -> list[bytes]:
    """Return by what the server knows *deliveries*."""
    return [each.token for each in deliveries if isinstance(each.token, bytes)]


def _nobody_asks(_delivery: Delivery, _settlement: Settlement, _delay: float | None) -> None:
    """Take a settlement: the server does not want to know."""
