"""What a consumer delivers no more, since it has delivered it as often as it may.

The message stays in the stream, and the server says so once, to whoever listens at the time: to one
of the members of a consumer. What we nack for the last time is in our hands still. Either way it is
brought to whoever buries it, one after the other; who leaves before says it again, to the others.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime
from itertools import count
from typing import Final, NamedTuple, TypeAlias

from anyio import sleep

from callboard_brokers._delivery import Delivery
from callboard_brokers._errors import BrokerError, DeliveriesExhausted
from callboard_brokers.events import FetchFailed, MessageGivenUp
from callboard_brokers.kit import RECONNECT, Held, Signal, brief
from callboard_brokers.nats._acks import sequence_of
from callboard_brokers.nats._link import Link
from callboard_brokers.nats._message import NatsMessage, NatsRecord, publication
from callboard_brokers.nats._topology import ApiError, Info, Topology

Bury: TypeAlias = Callable[[Delivery[NatsRecord], BrokerError], Awaitable[None]]
_ADVISORY: Final = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES"
_MEMBERS: Final = "callboard"
_MOST: Final = 10_000
"""How many of those that the server tells of may wait; the rest are only told."""


class Notice(NamedTuple):
    """What the server says: of which message, and how often it was delivered."""

    position: int
    deliveries: int
    octets: bytes
    """What is written to say it again."""


class GivenUp:
    """Buries what one consumer delivers no more, if anybody has asked for it."""

    def __init__(
        self,
        address: str,
        link: Link,
        topology: Topology,
        held: Held[NatsRecord],
        view: Callable[[NatsRecord], NatsMessage | None],
    ) -> None:
        self.bury: Bury | None = None
        self._address = address
        self._link, self._topology = link, topology
        self._held, self._view = held, view
        self._limit = -1
        self._of = ("", "")
        self._number: bytes | None = None
        self._waiting: deque[Notice | Delivery[NatsRecord]] = deque()
        self._changed = Signal()

    def __len__(self) -> int:
        return len(self._waiting)

    def listen(self, stream: str, consumer: str, limit: int) -> None:
        """Listen to what the server says of this *consumer*, from before it delivers anything."""
        self._limit = limit
        if limit > 0 and self._of != (stream, consumer):
            self.stop()
            self._of = stream, consumer
            subject = f"{_ADVISORY}.{stream}.{consumer}"
            self._number = self._link.subscribe(subject, _MEMBERS, self._hear, self._deaf)

    def takes(self, delivery: Delivery[NatsRecord]) -> bool:
        """Take what was just nacked, if that was the last time and somebody buries it."""
        times = delivery.deliveries or 1
        if not 0 < self._limit <= times or self.bury is None:
            return False
        self._tell(sequence_of(delivery), times)
        self._put(self._held.deliver(delivery.message, delivery.token, times))
        return True

    async def run(self) -> None:
        """Have them buried, until cancelled."""
        while True:
            while not self._waiting or self.bury is None:
                await self._changed.wait()
            each = self._waiting[0]
            found = await self._find(each) if isinstance(each, Notice) else each
            if found is not None:
                times = found.deliveries or self._limit
                text = f"it was delivered {times} times, as often as its consumer may"
                await self.bury(found, DeliveriesExhausted(text))
            if self._waiting and self._waiting[0] is each:
                self._waiting.popleft()

    def forget(self) -> None:
        """Let go of all: it is of a consumer that is no more."""
        self._waiting.clear()

    def stop(self) -> None:
        """Listen no more, and leave to others what was heard and not begun."""
        if self._number is not None:
            self._link.unsubscribe(self._number)
            self._link.forget(self._number)
        notices = [each.octets for each in self._waiting if isinstance(each, Notice)]
        self._link.write(b"".join(notices))
        self._waiting.clear()

    def _hear(self, subject: bytes, _reply: bytes, _header: bytes, body: bytes) -> None:
        try:
            said = json.loads(body)
            notice = Notice(
                int(said["stream_seq"]),
                int(said["deliveries"]),
                publication(subject, b"", b"", body),
            )
        except (KeyError, TypeError, ValueError):
            return  # somebody else's
        for delivery in self._held:
            if sequence_of(delivery) == notice.position:
                delivery.token = notice.octets  # the server was late: it is still in hand
                return
        self._tell(notice.position, notice.deliveries)
        if self.bury is not None and len(self._waiting) < _MOST:
            self._put(notice)

    def _put(self, what: Notice | Delivery[NatsRecord]) -> None:
        self._waiting.append(what)
        self._changed.set()

    async def _find(self, notice: Notice) -> Delivery[NatsRecord] | None:
        """Return the message, from the stream; None: it is not there any more."""
        stream, consumer = self._of
        for failures in count():
            try:
                call = f"STREAM.MSG.GET.{stream}"
                found = (await self._topology.ask(call, {"seq": notice.position}))["message"]
                seen = self._view(_record(found, f"{stream}.{consumer}", notice))
            except (ApiError, KeyError, ValueError):
                break
            except BrokerError:
                await sleep(RECONNECT.jittered(failures))
            else:
                if seen is not None:
                    return self._held.deliver(seen, notice.octets, notice.deliveries)
                break
        return None

    def _tell(self, position: int, deliveries: int) -> None:
        group = self._of[1]
        self._link.journal.tell(MessageGivenUp(self._address, group, position, deliveries))

    def _deaf(self, error: BrokerError) -> None:
        self._link.journal.tell(FetchFailed(self._address, self._of[1], brief(error)))


def _record(found: Info, consumer: str, notice: Notice) -> NatsRecord:
    """Return what was *found* in a stream as it would have been delivered."""
    time = round(datetime.fromisoformat(found["time"]).timestamp() * 1e9)
    at = notice.position
    reply = f"$JS.ACK.{consumer}.{notice.deliveries}.{at}.{at}.{time}.0"
    header, body = (b64decode(found.get(name, "")) for name in ("hdrs", "data"))
    return NatsRecord(found["subject"].encode(), reply.encode(), header, body)
