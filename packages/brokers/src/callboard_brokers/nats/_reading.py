"""A stream that is read by a consumer: each message until it is settled.

The server is asked for as many messages as there is room for, by requests of our own, and everything
that is held here stays ours while it is: its time begins when it is sent to us, so what waits in a
mailbox has to be extended too. Acknowledgements go by the subject that a message came with,
whatever connection that was, so a loss makes nothing stale.

A consumer that is gone is made again, and everything of the old one is stale. One without a name is
nobody else's: it goes on where we were.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from math import inf
from typing import Final
from uuid import uuid4

from anyio import CancelScope, Event, current_time, move_on_after, sleep

from callboard_brokers._delivery import Delivery
from callboard_brokers._errors import AccessRefused, BrokerError, ConnectionLost
from callboard_brokers._port import Capacity
from callboard_brokers._settlement import Settlement
from callboard_brokers.events import FetchFailed, SettlementsFailed
from callboard_brokers.kit import (
    REDELIVER,
    Backoff,
    Each,
    Flush,
    Held,
    Inflow,
    Leases,
    Signal,
    brief,
    time_left,
)
from callboard_brokers.nats._acks import ack_of, extended, held_back, sequence_of, settled, word_of
from callboard_brokers.nats._given_up import GivenUp
from callboard_brokers.nats._link import Asked, Link
from callboard_brokers.nats._message import NatsRecord, publication
from callboard_brokers.nats._pulls import HEARTBEAT, Pulls
from callboard_brokers.nats._records import NatsSource
from callboard_brokers.nats._topology import ApiError, Topology
from callboard_brokers.nats._views import view

PING, LEAVE, CONFIRM = 2.0, 8.0, 5.0
"""Seconds to wait for the server to have sent all; to leave in good order; for it to say so."""
AGAIN: Final = Backoff(0.2, 10.0)


class StreamSubscription:
    """Reads a stream."""

    def __init__(
        self, source: NatsSource, capacity: Capacity, link: Link, topology: Topology
    ) -> None:
        self.started = Event()
        self.failure: BrokerError | None = None
        self._source, self._capacity = source, capacity
        self._link, self._topology = link, topology
        self._view = view(source)
        self._inflow = Inflow[NatsRecord](source.address, capacity.messages, capacity.bytes)
        self._flush = Flush(self._send, self._failed)
        self._each = Each(self._flush.soon)
        self._held = Held[NatsRecord](self._write, link.journal, backoff=self._pause)
        self._given_up = GivenUp(source.address, link, topology, self._held, self._view)
        self._acks = source.accounted
        self._ack_wait = 30.0
        self._max_deliver = -1
        self._consumer: str | None = None
        self._number = b""
        self._inbox: str = ""
        self._pulls = Pulls(capacity)
        self._pushed = source.kind == "push"
        self._stopped = self._leaving = False
        self._created: str | None = None
        self._born: str | None = None
        self._name = b""
        self._next_subject = b""
        self._came: list[NatsRecord] = []
        self._next: int | None = None
        self._order = 0
        self._heard = 0.0
        self._broken: str | None = "new"
        self._changed = Signal()
        link.watchers.add(self._changed.set)

    async def receive(
        self, limit: int, max_bytes: float = inf, /
    ) -> Sequence[Delivery[NatsRecord]]:
        """Wait for a delivery; return at most *limit* and *max_bytes*, in order.

        Raises:
            ConnectionClosed: The subscription has been left.
            BrokerError: It cannot go on.
        """
        bound = self._capacity
        taken = await self._inflow.receive(min(limit, bound.messages), min(max_bytes, bound.bytes))
        self._refill()
        return taken

    def on_recall(self, give_back: Callable[[], None], /) -> None:
        """Have *give_back* release what nobody has begun, when the consumer is gone."""
        self._inflow.recall = give_back

    def on_given_up(
        self, bury: Callable[[Delivery[NatsRecord], BrokerError], Awaitable[None]], /
    ) -> None:
        """Have *bury* called with what is delivered no more; see `GivingUp`."""
        self._given_up.bury = bury

    def count_failure(self, delivery: Delivery, delay: float | None, /) -> float | None:
        """Count a failure of *delivery*, which its reader keeps; see `Counting`."""
        return self._held.count_failure(delivery, delay)

    async def lag(self) -> int:
        """Return how many messages of the stream are not settled, which are for this consumer."""
        call = f"CONSUMER.INFO.{self._source.stream_name}.{self._consumer}"
        info = await self._topology.ask(call)
        return int(info["num_pending"]) + int(info["num_ack_pending"])

    async def run(self, scope: CancelScope) -> None:
        """Read until cancelled; if that cannot go on, keep the reason and cancel *scope*."""
        failures = 0
        try:
            while not self._stopped:
                await self._link.up()
                since, generation = current_time(), self._link.generation
                error = await self._once(generation)
                failures = 0 if current_time() - since > AGAIN.longest else failures
                if error is not None:
                    self._tell(error)
                    await sleep(AGAIN.jittered(failures))
                    failures += 1
        except BrokerError as error:
            self.failure = error
            scope.cancel()

    async def extend(self) -> None:
        """Keep what is held ours, until cancelled."""
        await self.started.wait()
        leases = Leases(max(1, round(3 * self._source.extend_for / self._ack_wait)))
        while True:
            await self._changed.wait(self._ack_wait / 3)  # or at once after a loss
            if self._acks and self._link.reach.lost_at is None:
                due = leases.due(self._held)
                self._link.write(extended(due))

    async def bury(self) -> None:
        """Bury what is delivered no more, until cancelled."""
        await self._given_up.run()

    async def flush(self) -> None:
        """Tell the server what is settled, until cancelled."""
        await self._flush.run()

    async def stop_intake(self) -> None:
        """Take nothing more, and give back what nobody has received."""
        self.close()
        if self._number in self._link.client.sinks:
            self._link.unsubscribe(self._number)
            # What is on its way belongs to us: whoever does not take it lets it wait for long.
            await self._link.settled(PING)
            self._link.forget(self._number)
            drained = self._inflow.drain()
            self._held.withdraw(drained)
            self._give_back(drained)

    async def leave(self) -> None:
        """Tell what is settled, give back the rest, and end it; not to be interrupted."""
        with move_on_after(time_left(LEAVE), shield=True):
            await self.stop_intake()
            self._given_up.stop()
            self._leaving = True
            await self._flush.leave(time_left(LEAVE) - PING)
            self._give_back(self._held.end_epoch())
            if self._consumer and not self._source.consumer:
                call = f"CONSUMER.DELETE.{self._source.stream_name}.{self._consumer}"
                with suppress(BrokerError):
                    await self._topology.ask(call)
            await self._link.settled(PING)
        self._held.end_epoch()
        self._link.watchers.discard(self._changed.set)

    def close(self) -> None:
        """Deliver nothing more."""
        self._stopped = True
        self._changed.set()
        self._inflow.close()

    async def _once(self, generation: int) -> BrokerError | None:
        """Read until something breaks; return what that is, unless it is the link.

        Raises:
            BrokerError: It cannot be read: at first for any reason but silence.
        """
        try:
            await self._open()
        except AccessRefused:
            raise
        except (ConnectionLost, ApiError) as error:
            return error if self._link.reach.lost_at is None else None
        except BrokerError as error:
            if not self.started.is_set():
                raise
            return error
        self.started.set()
        self._refill()
        while not self._stopped and self._broken is None and self._link.is_at(generation):
            await self._changed.wait(HEARTBEAT)
            if self._pulls.open and current_time() - self._heard > 2 * HEARTBEAT:
                self._break("the server is silent")
        return ConnectionLost(self._broken) if self._broken else None

    async def _open(self) -> None:
        """Have the consumer, after a loss again; what is stale of it is given up."""
        await self._topology.have_streams()
        born = self._topology.born.get(self._source.stream_name)
        if self._born != born:
            self._born, self._next = born, None
            self._start_over()
        known = self._consumer if self._acks else None
        begin = None if self._source.consumer else self._position()
        info = await self._topology.have_consumer(self._source, known, begin)
        config = info["config"]
        if self._created not in {None, info["created"]} and self._acks:
            self._start_over()
        self._created = info["created"]
        self._consumer = name = str(info["name"])
        self._name = name.encode()
        call = f"CONSUMER.MSG.NEXT.{info['stream_name']}.{name}"
        self._next_subject = f"{self._topology.prefix}.{call}".encode()
        self._ack_wait = config.get("ack_wait", 30e9) / 1e9
        self._max_deliver = config.get("max_deliver", -1) if self._acks else -1
        self._given_up.listen(str(info["stream_name"]), name, self._max_deliver)
        self._subscribe(config.get("deliver_subject"), config.get("deliver_group", ""))
        self._pulls.forget()
        self._order, self._heard, self._broken = 0, current_time(), None

    def _start_over(self) -> None:
        """Let go of everything: it comes again, or was of a stream that is no more."""
        self._held.end_epoch()  # before: what is given back cannot be told any more
        self._inflow.end_epoch()
        self._given_up.forget()

    def _subscribe(self, pushed: str | None, queue: str) -> None:
        if self._stopped or (
            self._number in self._link.client.sinks and pushed in {None, self._inbox}
        ):
            return
        self._link.unsubscribe(self._number)
        self._link.forget(self._number)
        self._inbox = pushed or f"{self._link.options.inbox_prefix}.{uuid4().hex}"
        subject = self._inbox if pushed else f"{self._inbox}.*"
        self._number = self._link.subscribe(subject, queue, self._take, self._inflow.fail)

    def _position(self) -> int | None:
        """Return from where on a consumer that is made again has to read; None: as the first did."""
        held = [sequence_of(delivery) for delivery in self._held] if self._acks else []
        return min(held, default=self._next)

    def _refill(self) -> None:
        """Ask for as many messages as there is room for, if they are not asked for already."""
        if self._stopped or self._broken is not None or self._pushed:
            return
        unsent = max(len(self._each), len(self._given_up))
        if self._link.reach.lost_at is not None or unsent > 2 * self._capacity.messages:
            return
        wanted, empty = self._inflow.wanted, not len(self._inflow)
        fetch = self._pulls.ask(wanted, len(self._came), empty=empty)
        if fetch is not None:
            number, words = fetch
            reply = b"%b.%d" % (self._inbox.encode(), number)
            self._link.write(publication(self._next_subject, reply, b"", words))

    def _take(self, subject: bytes, reply: bytes, header: bytes, body: bytes) -> None:
        record = NatsRecord(subject, reply, header, body)
        if not reply.startswith(b"$JS.ACK."):  # a publisher may write what looks like a status
            if header[8:9] == b" ":
                self._status(record)
            return  # else somebody else's: it is of no stream
        if not self._came:
            self._link.client.touched.append(self._store)
        self._came.append(record)

    def _store(self) -> None:
        """Hold what has come at once."""
        came, self._came = self._came, []
        deliveries: list[Delivery[NatsRecord]] = []
        for record in came:
            words = record.reply.split(b".")
            at = 4 if len(words) == 9 else 6
            try:
                times, sequence, number = map(int, words[at : at + 3])
            except ValueError:
                continue  # somebody else's, which only looks like one
            if not self._acks and not self._follows(words[at - 1], number):
                continue
            if times > 1 and self._is_held(sequence, record.reply):
                continue
            self._next = sequence + 1
            if self._acks:
                record.confirm = self._confirm
            message = self._view(record)
            if message is not None:
                deliveries.append(self._held.deliver(message, None, times))
            elif self._acks:  # it waits in the stream until it is due
                is_queue = self._source.stream_name in self._topology.queues
                self._link.write(held_back(record, is_queue=is_queue))
        self._pulls.came(len(came))
        self._heard = current_time()
        self._inflow.put(deliveries)
        self._refill()

    def _follows(self, consumer: bytes, number: int) -> bool:
        """Whether a message is the next one of this consumer; if one is missing, begin again."""
        if consumer != self._name or self._broken is not None:
            return False
        self._order += 1
        if number != self._order:
            self._break(f"message {self._order} of the consumer is missing")
            return False
        return True

    def _is_held(self, sequence: int, reply: bytes) -> bool:
        """Whether a message that comes again is still here: after a cut that was too long."""
        for delivery in self._held:
            if sequence_of(delivery) == sequence:
                delivery.message.raw_message.reply = reply
                return True
        return False

    def _status(self, record: NatsRecord) -> None:
        """Take what the server says in place of a message."""
        self._heard, status, why = current_time(), record.status, record.why.lower()
        if status == 100:
            stalled = dict(record.pairs()).get("Nats-Consumer-Stalled")
            if answer := record.reply or stalled:
                self._link.write(b"PUB %b 0\r\n\r\n" % answer)
            return
        self._pulls.end(record.subject.rpartition(b".")[2], alone="maxbytes" in why)
        if status in {404, 408} or "maxbytes" in why or "completed" in why:
            self._refill()
        else:
            self._break(f"{status} {record.why}")

    def _break(self, why: str) -> None:
        self._broken = self._broken or why
        self._changed.set()

    async def _send(self) -> None:
        """Tell the server what is settled, as one; on leaving wait until it has taken the last."""
        await self._link.up()
        with self._each.sending() as entries:
            if not entries or not self._acks:
                return
            last = entries[-1] if self._leaving and entries[-1][0].token is None else None
            written = entries[:-1] if last else entries
            self._link.write(b"".join(settled(*entry) for entry in written))
            await self._link.client.room()
            if last is not None:
                asked = Asked(self._source.address, PING, lambda _: None)
                self._link.ask(ack_of(last[0]).decode(), b"", word_of(last[1], last[2]), asked)
                await asked.wait()
        self._refill()

    def _write(self, delivery: Delivery, settlement: Settlement, delay: float | None) -> None:
        if settlement is not Settlement.NACK or not self._given_up.takes(delivery):
            self._each.write(delivery, settlement, delay)

    async def _confirm(self, record: NatsRecord) -> None:
        """Have the server take, and say, that *record* is handled."""
        asked = Asked(self._source.address, CONFIRM, lambda _: None)
        self._link.ask(record.reply.decode(), b"", b"+ACK", asked)
        await asked.wait()

    def _give_back(self, deliveries: Sequence[Delivery[NatsRecord]]) -> None:
        if self._acks and self._link.reach.lost_at is None:
            released = [settled(each, Settlement.RELEASE, None) for each in deliveries]
            self._link.write(b"".join(released))

    def _pause(self, failures: int) -> float | None:
        """Return how long to wait after so many failures; None after the last."""
        return None if 0 < self._max_deliver <= failures + 1 else REDELIVER.whole(failures)

    def _tell(self, error: BrokerError) -> None:
        self._link.journal.tell(FetchFailed(self._source.address, self._consumer, brief(error)))

    def _failed(self, error: Exception) -> None:
        told = SettlementsFailed(self._source.address, self._consumer, brief(error))
        self._link.journal.tell(told)
