"""Publishing: many messages under way at once, each with what becomes of it."""

from __future__ import annotations

from asyncio import Event, get_running_loop
from collections.abc import Callable

from anyio import current_time, sleep

from callboard_brokers._errors import (
    BrokerError,
    ConnectionClosed,
    ConnectionLost,
    PublishFailed,
    Unpublishable,
    Unroutable,
)
from callboard_brokers._port import ARRIVED, Arrived
from callboard_brokers.events import ServerBlocked, ServerUnblocked
from callboard_brokers.kit import RECONNECT, Journal, Known, Signal
from callboard_brokers.rabbit._client import ClientChannel, Wire
from callboard_brokers.rabbit._frames import (
    CLOSE,
    CONFIRM,
    DELIVER,
    REFUSE,
    RETURN,
    Sink,
    content,
    publishing,
    reason_of,
    texts,
)
from callboard_brokers.rabbit._message import Outgoing, Record

PATIENCE = 15.0
"""Seconds that publishing waits for a server that is away."""
_NOT_FOUND = 404
_PLACES = 1000
_ROOM, _MANY = 2**16, 500
"""Octets, and messages, after which whoever publishes without confirms waits for the connection."""


class Sent(Known[None]):
    """What becomes of one message that the server was given."""

    __slots__ = ("message", "returned")

    def __init__(self, message: Outgoing) -> None:
        super().__init__()
        self.message = message
        self.returned: Unroutable | None = None
        """Why it has come back, which is known before the server is done with it."""

    def settle(self, failure: BrokerError | None) -> None:
        """Take notice that it is there, or why not."""
        self.end(None, self.returned or failure)


class Publishing:
    """Publishes on one channel, which is opened again when the server has closed it.

    At most *limit* messages are not confirmed; more wait in line. Where nothing *confirms* them, as
    many are handed over as the connection takes.
    """

    def __init__(
        self, address: str, limit: int, journal: Journal, *, confirms: bool = True
    ) -> None:
        self.replied: Callable[[Record], None] = lambda _: None
        """Takes what is delivered on this channel: answers, once there is a consumer."""
        self.ended: Callable[[BrokerError], None] = lambda _: None
        """Told when there will be no more."""
        self.known: set[str] = {""}
        """Exchanges that are there, as far as we know."""
        self._address = address
        self._limit = limit
        self._confirms = confirms
        self._journal = journal
        self._open_to: tuple[Wire, ClientChannel] | None = None
        self._left = False
        self._pending: dict[int, Sent] = {}
        self._tag = 0
        self._beginnings = dict[tuple[str, str, bool], bytes]()
        """How messages for a place begin on this channel."""
        self._out = list[bytes]()
        self._unconfirmed = 0
        """Octets of what nobody confirms, since the last time that the connection was waited for."""
        self._changed = Signal()

    async def run(self, wire: Wire) -> None:
        """Have a channel open on *wire*, until cancelled."""
        wire.frames.heed = lambda: self._heed(wire.frames.blocked)
        failures = 0
        while True:
            since = current_time()
            try:
                await self._hold(wire)
            except ConnectionLost:
                return
            failures = 0 if current_time() - since > RECONNECT.whole(failures) else failures + 1
            await sleep(RECONNECT.jittered(failures) if failures else 0)

    async def send(self, message: Outgoing) -> Sent | Arrived:
        """Hand *message* over; wait while there is no room, or the server is blocked or away.

        Raises:
            ConnectionLost: It was away for too long.
            ConnectionClosed: The connection has been left.
        """
        while (
            self._open_to is None
            or self._open_to[0].frames.blocked
            or len(self._pending) >= self._limit
        ):
            wire, _ = await self.opened()
            if wire.frames.blocked or len(self._pending) >= self._limit:
                await self._changed.wait()
        wire, channel = self._open_to
        exchange, key, properties, body, mandatory = message
        number = channel.number
        begin = self._beginnings.get((exchange, key, mandatory)) or self._begin(number, message)
        if not self._out:
            get_running_loop().call_soon(self._write)
        self._out += begin, content(number, properties, body, wire.frame_max)
        if self._confirms:
            self._tag += 1
            sent = self._pending[self._tag] = Sent(message)
            return sent
        self._unconfirmed += len(body)
        if self._unconfirmed > _ROOM or len(self._out) > _MANY:
            self._unconfirmed = 0
            self._write()
            await wire.room()
        return ARRIVED

    async def opened(self) -> tuple[Wire, ClientChannel]:
        """Wait for the channel, and return it with its connection.

        Raises:
            ConnectionLost: It was away for too long.
            ConnectionClosed: The connection has been left.
        """
        until = current_time() + PATIENCE
        while self._open_to is None:
            if self._left:
                raise ConnectionClosed("this connection to RabbitMQ was left; connect again")
            if not await self._changed.wait(until - current_time()):
                raise ConnectionLost(f"no RabbitMQ at {self._address} for {PATIENCE} s")
        return self._open_to

    async def flush(self) -> None:
        """Return when everything is confirmed, or has failed."""
        while self._pending:
            await self._changed.wait()
        if not self._confirms:
            wire, channel = await self.opened()
            self._write()
            # It is answered after them.
            await wire.ask(channel.basic_qos(), "seeing that everything has arrived")

    def close(self) -> None:
        """Take nothing more."""
        self._left = True
        self._write()
        self._open_to = None
        self._changed.set()

    def _begin(self, number: int, message: Outgoing) -> bytes:
        exchange, key, _, _, mandatory = message
        if len(self._beginnings) >= _PLACES:
            self._beginnings.clear()
        # Without confirms nobody waits for what comes back.
        begin = publishing(number, exchange, key, mandatory=mandatory and self._confirms)
        self._beginnings[exchange, key, mandatory] = begin
        return begin

    def _write(self) -> None:
        """Send what was published in one tick as one: each by itself costs both sides as much again."""
        out, self._out = self._out, []
        if self._open_to is not None:  # else it has failed by now
            self._open_to[0].write(b"".join(out))

    def _heed(self, reason: str | None) -> None:
        address = self._address
        self._journal.tell(
            ServerUnblocked(address) if reason is None else ServerBlocked(address, reason)
        )
        self._changed.set()

    async def _hold(self, wire: Wire) -> None:
        """Publish on a new channel until the server closes it.

        Raises:
            ConnectionLost: The connection has gone.
        """
        channel = await wire.channel(confirm=self._confirms)
        closed, reason = Event(), (0, "the connection was lost")

        def close(arguments: bytes) -> bool:
            nonlocal reason
            reason = reason_of(arguments)
            self._open_to = None
            closed.set()
            return False

        wire.frames.sinks[channel.number] = Sink(
            {CONFIRM: self._confirmed, REFUSE: self._refused, CLOSE: close},
            {RETURN: self._returned, DELIVER: self._delivered},
        )
        self._beginnings.clear()
        self._tag, self._open_to = 0, (wire, channel)
        self._changed.set()
        try:
            await closed.wait()
        finally:
            self._open_to = None
            wire.frames.sinks.pop(channel.number, None)
            self._fail(*reason)

    def _fail(self, code: int, reason: str) -> None:
        """Fail what is under way: nobody says whether it has arrived, or which one is to blame."""
        pending, self._pending = [*self._pending.values()], {}
        self.ended(ConnectionLost(f"no answer can come any more: {reason}"))
        self.known = {""}
        for sent in pending:
            told = f"publishing to {sent.message.routing_key!r}: {reason}"
            exchange = sent.message.exchange
            if code == 0:
                sent.settle(ConnectionLost(f"{told}; it may have arrived"))
            elif code == _NOT_FOUND and f"exchange '{exchange}'" in reason:
                sent.settle(Unroutable(told))
            else:
                sent.settle((Unpublishable if len(pending) == 1 else PublishFailed)(told))
        self._changed.set()

    def _confirmed(self, arguments: bytes) -> bool:
        self._settle(arguments, None)
        return True

    def _refused(self, arguments: bytes) -> bool:
        why = "RabbitMQ did not take it: its queue is full, or is not ready yet"
        self._settle(arguments, PublishFailed(why))
        return True

    def _settle(self, arguments: bytes, failure: BrokerError | None) -> None:
        tag, pending = int.from_bytes(arguments[:8], "big"), self._pending
        if not arguments[8] & 1:
            sent = pending.pop(tag, None)
            if sent is not None:
                sent.settle(failure)
        else:
            while pending and (first := next(iter(pending))) <= tag:
                pending.pop(first).settle(failure)
        self._changed.set()

    def _returned(self, arguments: bytes, properties: bytes, body: bytes) -> None:
        """Note which one was returned; its confirm follows.

        Returns come in the order of publishing, but not next to their confirms. What was published
        alike is routed alike, so the oldest of those is meant.
        """
        _, reason = reason_of(arguments)
        exchange, key = texts(arguments, 3 + len(reason.encode()))
        alike = [
            sent
            for sent in self._pending.values()
            if sent.message[:2] == (exchange, key) and sent.message.mandatory and not sent.returned
        ]
        same = [each for each in alike if each.message[2:4] == (properties, body)]
        for sent in (same or alike)[:1]:
            sent.returned = Unroutable(
                f"nobody gets what is published to {key or exchange!r}: {reason}; declare a queue"
                " and its binding, or say mandatory=False"
            )

    def _delivered(self, arguments: bytes, properties: bytes, body: bytes) -> None:
        exchange, key = texts(arguments, 10 + arguments[0])
        self.replied(Record(exchange, key, properties, body))
