"""A subject that is read as it is published: at most once."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import inf
from typing import Final

from anyio import current_time
from anyio.lowlevel import checkpoint

from callboard_brokers._delivery import Delivery
from callboard_brokers._errors import BrokerError, ConnectionClosed
from callboard_brokers._port import Capacity
from callboard_brokers._settlement import Settlement
from callboard_brokers.events import MessagesDropped
from callboard_brokers.kit import Held, Signal
from callboard_brokers.nats._link import Link
from callboard_brokers.nats._message import NatsMessage, NatsRecord, reader
from callboard_brokers.nats._records import NatsSource

PING: Final = 2.0
TELL_EVERY: Final = 1.0


class CoreSubscription:
    """Reads a subject. Nobody can be asked to wait, so what is too much is dropped, and counted."""

    def __init__(self, source: NatsSource, capacity: Capacity, link: Link) -> None:
        self._source, self._capacity, self._link = source, capacity, link
        self._held = Held[NatsRecord](_nobody_asks, link.journal)
        self._load = reader(source.pattern.match)
        # Octets, not messages: of a hundred thousand that wait, the collector looks at none.
        self._waiting: deque[tuple[bytes, bytes, bytes, bytes]] = deque()
        self._arrived = Signal()
        self._ended: BrokerError | None = None
        self._bytes = self._dropped = 0
        self._told_at = -inf
        self._is_touched = False
        self._number = link.subscribe(source.pattern.wire, source.queue, self._take, self._end)

    async def receive(
        self, limit: int, max_bytes: float = inf, /
    ) -> Sequence[Delivery[NatsRecord]]:
        """Wait for a delivery; return at most *limit* and *max_bytes*, in order.

        Raises:
            ConnectionClosed: The subscription has been left.
            AccessRefused: The server does not let us read the subject.
        """
        if limit < 1:
            raise ValueError(f"cannot receive {limit} deliveries: ask for at least one")
        await checkpoint()
        self._tell()
        while self._ended is None and not self._waiting:
            await self._arrived.wait()
        if self._ended is not None:
            raise self._ended.with_traceback(None)
        return self._taken(
            min(limit, self._capacity.messages), min(max_bytes, self._capacity.bytes)
        )

    async def start(self) -> None:
        """Return when the server knows of it."""
        await self._link.settled(PING)

    async def stop_intake(self) -> None:
        """Take nothing more. What nobody has received is dropped: there is nobody to give it to."""
        self.close()
        self._link.unsubscribe(self._number)
        await self._link.settled(PING)
        self._link.forget(self._number)
        self._dropped += len(self._waiting)
        self._waiting.clear()
        self._tell(at_once=True)

    async def leave(self) -> None:
        """End it."""
        if self._number in self._link.client.sinks:
            await self.stop_intake()
        self._held.end_epoch()

    def close(self) -> None:
        """Deliver nothing more."""
        self._end(ConnectionClosed(f"the subscription of {self._source.address!r} has been left"))

    def _end(self, error: BrokerError) -> None:
        self._ended = self._ended or error
        self._arrived.set()

    def _take(self, subject: bytes, reply: bytes, header: bytes, body: bytes) -> None:
        source = self._source
        if (
            len(self._waiting) >= source.pending_msgs_limit
            or self._bytes > source.pending_bytes_limit
        ):
            if not self._is_touched:
                self._is_touched = True
                self._link.client.touched.append(self._tell)
            self._dropped += 1
            return
        self._bytes += len(subject) + len(reply) + len(header) + len(body)
        self._waiting.append((subject, reply, header, body))
        self._arrived.set()

    def _taken(self, limit: int, max_bytes: float) -> list[Delivery[NatsRecord]]:
        taken: list[Delivery[NatsRecord]] = []
        waiting, hold, load = self._waiting, self._held.deliver, self._load
        spare = max_bytes
        while waiting and len(taken) < limit and spare > 0:
            octets = waiting.popleft()
            body = octets[3]
            spare -= len(body)
            self._bytes -= sum(map(len, octets))
            record = NatsRecord(*octets)
            message = NatsMessage.received(record, body, record.address, None, load)
            taken.append(hold(message))
        return taken

    def _tell(self, *, at_once: bool = False) -> None:
        """Tell of all that was dropped since the last time, as one, once a second at most."""
        self._is_touched = False
        if not self._dropped:
            return
        now = current_time()
        if at_once or now - self._told_at >= TELL_EVERY:
            self._link.journal.counts["dropped"] += self._dropped
            self._link.journal.tell(MessagesDropped(self._source.address, self._dropped))
            self._dropped, self._told_at = 0, now


def _nobody_asks(_delivery: Delivery, _settlement: Settlement, _delay: float | None) -> None:
    """Take a settlement: the server does not want to know."""
