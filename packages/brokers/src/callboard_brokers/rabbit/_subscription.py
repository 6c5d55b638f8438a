"""A queue that is being read: on a channel of its own, which is opened again when it ends.

The server sends ahead as many messages as may be unsettled, and takes back what is unsettled when
the channel ends. So each channel is an epoch.
"""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from math import inf
from typing import Any, Final, TypeAlias
from uuid import uuid4

from anyio import Event, current_time, move_on_after, sleep
from anyio.abc import TaskGroup

from callboard_brokers._delivery import Delivery
from callboard_brokers._errors import BrokerError, ConnectionLost, TopologyError
from callboard_brokers._port import Capacity
from callboard_brokers._settlement import Settlement
from callboard_brokers.events import FetchFailed
from callboard_brokers.kit import RECONNECT, Held, Inflow, Journal, Signal, brief
from callboard_brokers.rabbit._client import ClientChannel, Wire
from callboard_brokers.rabbit._frames import (
    CANCEL,
    CLOSE,
    DELIVER,
    Sink,
    consume_little,
    give_back,
    reason_of,
    texts,
)
from callboard_brokers.rabbit._message import (
    COUNTED,
    RabbitMessage,
    Record,
    deliveries_of,
    metadata_of,
)
from callboard_brokers.rabbit._records import RabbitSource
from callboard_brokers.rabbit._window import Entry, Window

LEAVE: Final = 5.0
"""Seconds that there are at most to end in good order."""
SHORT: Final = 60.0
"""A nack for so many seconds is held back here; for longer, it goes to a queue that waits."""
PutOff: TypeAlias = Callable[[Delivery[Record], float], Awaitable[None]]


class RabbitSubscription:
    """Reads a queue. Deliveries whose `epoch` is not the subscription's are stale."""

    def __init__(
        self, source: RabbitSource, capacity: Capacity, journal: Journal, put_off: PutOff
    ) -> None:
        self.started = Event()
        self.failure: BrokerError | None = None
        self._put_off = put_off
        self._tasks: TaskGroup | None = None
        self._source = source
        self._journal = journal
        self._most = self._prefetch = capacity.messages
        self._bytes = capacity.bytes
        self._mean = 0.0
        self._limit = source.reads.delivery_limit
        self._counts = source.reads.queue_type == "quorum"
        again = None if self._counts else self._again
        self._held = Held[Record](self._write, journal, again)
        self._address, self._streams = source.address, source.is_stream
        self._inflow = Inflow[Record](source.address, capacity.messages)
        self._load = partial(metadata_of, binding=source.binding)
        self._retries = False
        self._fresh: list[Delivery[Record]] = []
        self._routes: dict[bytes, tuple[str, str]] = {}
        self._window: Window | None = None
        self.at: tuple[Wire, ClientChannel, str] | None = None
        self._offset: Any = None
        self._began = datetime.now(UTC)
        self._stopped = False
        self.patience = LEAVE
        """Seconds that there are to leave; whoever ends it knows."""
        self._ended = ""
        self._changed = Signal()

    @property
    def epoch(self) -> int:
        """Grows with every channel."""
        return self._held.epoch

    async def receive(self, limit: int, max_bytes: float = inf, /) -> Sequence[Delivery[Record]]:
        """Wait for a delivery; return at most *limit* and *max_bytes*, in order.

        Raises:
            ConnectionClosed: The subscription has been left.
        """
        if self._is_starved():
            self._changed.set()
        return await self._inflow.receive(limit, max_bytes)

    def on_recall(self, give_back: Callable[[], None], /) -> None:
        """Have *give_back* release what nobody has begun, when the channel has ended."""
        self._inflow.recall = give_back

    def count_failure(self, delivery: Delivery, delay: float | None, /) -> float | None:
        """Count a failure; see `Counting`. What is beyond the queue's limit is not to be kept."""
        return None if self._is_beyond(delivery) else self._held.count_failure(delivery, delay)

    async def lag(self) -> int:
        """Return how many messages wait in the queue, or are unsettled here."""
        if self.at is None:
            raise ConnectionLost(f"nobody can tell the lag of {self._address!r}")
        wire, channel, _ = self.at
        return await self._ready(wire, channel) + len(self._held)

    async def stop_intake(self) -> None:
        """Take nothing more, and give back what nobody has received; settle on."""
        self._stopped = True
        if self.at is not None:
            wire, channel, tag = self.at
            try:
                await wire.ask(channel.basic_cancel(tag), "cancelling a consumer")
            except BrokerError as error:
                self._tell(error)  # then the server takes everything back
        self._hand_over()
        for delivery in self._inflow.drain():
            delivery.release()
        self._inflow.close()

    async def run(
        self,
        up: Callable[[], Awaitable[Wire]],
        prepare: Callable[[Wire], Awaitable[None]],
        tasks: TaskGroup,
    ) -> None:
        """Read until cancelled; if that cannot go on, keep the reason and cancel *tasks*."""
        self._tasks, failures = tasks, 0
        try:
            while not self._stopped:
                wire = await up()
                since = current_time()
                try:
                    await prepare(wire)
                    await self._read(wire)
                except (ConnectionLost, TopologyError) as error:
                    if isinstance(error, TopologyError) and not self.started.is_set():
                        raise
                    self._tell(error)
                held = current_time() - since
                failures = 0 if held > RECONNECT.whole(failures) else failures + 1
                await sleep(RECONNECT.jittered(failures - 1) if failures else 0)
        except BrokerError as error:
            self.failure = error
            self._inflow.fail(error)
            tasks.cancel_scope.cancel()

    def close(self) -> None:
        """Deliver nothing more, and end what waits in `receive`."""
        self._stopped = True
        self._inflow.close()

    async def _read(self, wire: Wire) -> None:
        """Consume on a new channel until it ends; told and given back is what is in hand then."""
        retried = self._source.reads.delayed_retry_type in {"all", "failed"}
        self._retries = retried and wire.delays_retries
        channel = await wire.channel()
        window = self._window = Window(channel.number, wire.write)
        self._ended = ""
        wire.frames.sinks[channel.number] = Sink(
            {CANCEL: self._cancelled, CLOSE: self._closed}, {DELIVER: self._delivered}
        )
        wire.frames.gone.add_done_callback(self._gone)
        try:
            await self._consume(wire, channel)
            self.started.set()
            while not self._ended:
                if self._is_due(window):
                    await self._consume(wire, channel)
                else:
                    await self._changed.wait()
            self._tell(ConnectionLost(self._ended))
        finally:
            wire.frames.gone.remove_done_callback(self._gone)
            await self._leave(wire, channel)

    async def _consume(self, wire: Wire, channel: ClientChannel) -> None:
        """Have as many sent ahead as fit; a consumer that has others is replaced."""
        doing = f"reading {self._address!r}"
        if self.at is not None and self._window is not None:
            with self._window.held_back():
                await wire.ask(channel.basic_cancel(self.at[2]), doing)
        self._prefetch, tag = self._fit(), f"callboard.{uuid4().hex}"
        if self._window is not None:
            self._window.begin(self._prefetch)
        await wire.ask(channel.basic_qos(prefetch_count=self._prefetch), doing)
        self.at = wire, channel, tag
        arguments = dict(self._source.consume_args)
        if self._streams and self._offset is not None:
            arguments["x-stream-offset"] = self._offset
        consuming = channel.basic_consume(
            self._address, nobody, arguments=arguments, consumer_tag=tag
        )
        await wire.ask(consuming, doing)
        if self._streams and self._offset is None:
            # Where "next" was, should the channel end before anything has come.
            asked = arguments.get("x-stream-offset", "next")
            self._offset = self._began if asked == "next" else asked

    async def _leave(self, wire: Wire, channel: ClientChannel) -> None:
        """Tell what is settled, give back the rest, and end the epoch."""
        window, self.at = self._window, None
        lost = wire.frames.gone.done() or channel.is_closed
        if window is not None:
            if self._streams and window.position is not None:
                self._offset = window.position
            self._hand_over()
            if not lost:
                window.leave(give_rest_back=not self._streams)
        with move_on_after(self.patience, shield=True):
            if not lost:
                try:
                    if self._stopped and self._counts and await self._may_look(wire, channel):
                        await self._taken(wire, channel)
                    await wire.ask(channel.close(), "closing a channel")
                except BrokerError as error:
                    self._tell(error)
        self._window = None
        wire.frames.sinks.pop(channel.number, None)
        self._held.end_epoch()
        self._inflow.end_epoch()

    async def _may_look(self, wire: Wire, channel: ClientChannel) -> bool:
        """Whether `_taken` costs nobody anything: from 4.0 to 4.2, only if nothing waits."""
        free = wire.version < (4, 0) or wire.gives_back_uncounted
        return free or not await self._ready(wire, channel)

    async def _ready(self, wire: Wire, channel: ClientChannel) -> int:
        """Return how many messages of the queue nobody has."""
        asked = channel.queue_declare(self._address, passive=True)
        return (await wire.ask(asked, f"asking what {self._address!r} has")).message_count or 0

    async def _taken(self, wire: Wire, channel: ClientChannel) -> None:
        """Wait until a quorum queue has taken what it was told.

        With 32 commands under way, as while a disk is slow, the server puts acknowledgements off, and
        forgets those of a channel that is closed meanwhile. To begin and end a consumer comes behind
        them, in order. One without credit gets nothing. From 4.0 on there is none such; what another
        one gets can be given back without being counted from 4.3 on.
        """
        number, tag, got = channel.number, f"callboard.{uuid4().hex}", list[bytes]()

        def keep(arguments: bytes, _properties: bytes, _body: bytes) -> None:
            at = 1 + arguments[0]
            got.append(give_back(number, int.from_bytes(arguments[at : at + 8], "big")))

        wire.frames.sinks[number] = Sink({}, {DELIVER: keep})
        doing = f"leaving {self._address!r}"
        await wire.ask(channel.basic_qos(prefetch_count=1), doing)
        wire.write(consume_little(number, self._address, tag, credit=wire.version >= (4, 0)))
        await wire.ask(channel.basic_cancel(tag), doing)
        wire.write(b"".join(got))

    def _fit(self) -> int:
        """Return how many messages like the last ones to have sent ahead, if that is far off."""
        fit, now = max(1, min(self._most, int(self._bytes / max(1.0, self._mean)))), self._prefetch
        few, many = 4 * fit <= 3 * now, fit >= 2 * now
        return fit if (few or many) and not self._source.reads.single_active_consumer else now

    def _is_due(self, window: Window) -> bool:
        """Whether the consumer is to be replaced.

        What is on its way to one that is cancelled, a quorum queue takes back: it counts as a failed
        delivery, and comes behind others. So there nothing may be on its way: all that may be sent
        ahead is in hand, and stays so until the consumer is gone.
        """
        if self._counts and window.spent < self._prefetch:
            return False
        return self._fit() != self._prefetch or self._is_starved()

    def _is_starved(self) -> bool:
        """Whether few are sent ahead as they are long, and whoever reads holds as many, and asks."""
        if self._prefetch == self._most or len(self._inflow) or self._window is None:
            return False
        return self._window.spent >= self._prefetch

    def _delivered(self, arguments: bytes, properties: bytes, body: bytes) -> None:
        at = 1 + arguments[0]
        route = arguments[at + 9 :]
        exchange, key = self._routes.get(route) or self._route(route)
        tag, redelivered = int.from_bytes(arguments[at : at + 8], "big"), bool(arguments[at + 8])
        record = Record(exchange, key, properties, body, redelivered, tag, "")
        window = self._window
        if window is None:
            return
        entry = Entry(tag)
        deliveries = 1 if self._counts else None
        if (redelivered and self._counts) or COUNTED.encode() in properties:
            deliveries = deliveries_of(record)
        if self._streams:
            entry.offset = record.number("x-stream-offset")
            if entry.offset is not None:
                self._offset = entry.offset + 1
        window.add(entry)
        message = RabbitMessage.received(record, body, self._address, None, self._load)
        self._fresh.append(self._held.deliver(message, entry, deliveries))
        self._mean += (len(body) - self._mean) / (8 if self._mean else 1)
        if len(self._fresh) == 1:
            get_running_loop().call_soon(self._hand_over)

    def _hand_over(self) -> None:
        """Give what has come in one tick to whoever receives."""
        fresh, self._fresh = self._fresh, []
        if fresh:
            self._inflow.put(fresh)
            if self._fit() != self._prefetch:
                self._changed.set()

    def _route(self, octets: bytes) -> tuple[str, str]:
        if len(self._routes) >= 1000:
            self._routes.clear()
        route = self._routes[octets] = texts(octets, 0)
        return route

    def _write(self, delivery: Delivery, settlement: Settlement, delay: float | None) -> None:
        window, entry = self._window, delivery.token
        if window is None or not isinstance(entry, Entry):
            return
        if settlement is not Settlement.NACK:
            # A stream keeps everything: what is settled, however, is credit for the next.
            window.settle(entry, Settlement.ACK if self._streams else settlement)
        elif self._is_beyond(delivery):
            window.settle(entry, Settlement.REJECT)
        elif self._retries or not delay:
            window.settle(entry, settlement)
        elif delay <= SHORT:
            window.later(entry, delay)
        else:
            self._wait(delivery, entry, window, delay)

    def _again(self, delivery: Delivery, delay: float) -> None:
        """See to what comes again where nobody counts it: from here, unless that takes long."""
        window, entry, streams = self._window, delivery.token, self._streams
        if window is None or not isinstance(entry, Entry):
            return
        if delivery.settlement is Settlement.RELEASE and not streams:
            window.settle(entry, Settlement.RELEASE)
        elif delay > SHORT and not streams:
            self._wait(delivery, entry, window, delay)
        else:
            record, address = delivery.message.raw_message, delivery.message.address
            message = RabbitMessage.received(record, record.body, address, None, self._load)
            deliveries = (delivery.deliveries or 1) + 1
            self._inflow.later(self._held.deliver(message, entry, deliveries), delay)

    def _wait(self, delivery: Delivery, entry: Entry, window: Window, delay: float) -> None:
        if self._tasks is not None:
            self._tasks.start_soon(self._wait_elsewhere, delivery, entry, window, delay)

    async def _wait_elsewhere(
        self, delivery: Delivery[Record], entry: Entry, window: Window, delay: float
    ) -> None:
        """Have it wait on the server, as a copy; here it is done with once that is there."""
        try:
            await self._put_off(delivery, delay)
        except BrokerError as error:
            self._tell(error)
            window.later(entry, SHORT)
        else:
            window.settle(entry, Settlement.ACK)

    def _is_beyond(self, delivery: Delivery) -> bool:
        return self._limit is not None and (delivery.deliveries or 1) > self._limit

    def _cancelled(self, _: bytes) -> bool:
        self._end("the server has cancelled it: the queue is gone, or no ack came in time")
        return True

    def _closed(self, arguments: bytes) -> bool:
        self._end(f"the server has closed the channel: {reason_of(arguments)[1]}")
        return False

    def _gone(self, gone: Any) -> None:
        self._end(gone.result())

    def _end(self, reason: str) -> None:
        self._ended = self._ended or reason
        self._changed.set()

    def _tell(self, error: Exception) -> None:
        if not self._stopped:
            self._journal.tell(FetchFailed(self._address, None, brief(error)))


async def nobody(_: object) -> None:
    """Stand for what the client calls with a delivery, none of which it gets."""
