"""A connection to RabbitMQ: one to read by and one to publish by, with what goes over both."""

from __future__ import annotations

from asyncio import FIRST_COMPLETED, wait
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from math import ceil
from typing import NamedTuple

from anyio import fail_after, move_on_after, sleep
from anyio.abc import TaskGroup

from callboard_brokers._delivery import Delivery
from callboard_brokers._errors import (
    BrokerError,
    ConnectionClosed,
    ConnectionLost,
    PublishFailed,
    TopologyError,
    Unroutable,
)
from callboard_brokers._message import Message
from callboard_brokers._port import Arrived, Capacity
from callboard_brokers.kit import (
    RECONNECT,
    Held,
    Inflow,
    Journal,
    Reach,
    Replies,
    Template,
    background,
    quiet,
    time_left,
)
from callboard_brokers.rabbit._client import Address, Wire, address_of, dialled, locate
from callboard_brokers.rabbit._kept import RabbitKept, revisited
from callboard_brokers.rabbit._message import (
    COUNTED,
    RabbitMessage,
    Record,
    alike,
    metadata_of,
    outgoing,
)
from callboard_brokers.rabbit._publishing import Publishing, Sent
from callboard_brokers.rabbit._queues import ExchangeType, RabbitExchange, RabbitQueue
from callboard_brokers.rabbit._records import RabbitOptions, RabbitSource, RabbitTarget, wait_of
from callboard_brokers.rabbit._subscription import LEAVE, RabbitSubscription, nobody
from callboard_brokers.rabbit._topology import Step, have, looking_for, steps_of
from callboard_brokers.rabbit._waits import delayed, put_off

JOIN, PING = 10.0, 5.0
REPLY_TO = "amq.rabbitmq.reply-to"
REPLIES = 1000


class Link(NamedTuple):
    """What is open at a time: a memory alarm stops whoever publishes, so that is another one."""

    reading: Wire
    writing: Wire


class RabbitConnection:
    """Publishes, reads and asks; while RabbitMQ is away, publishing waits for a while."""

    def __init__(
        self, urls: Sequence[Address], options: RabbitOptions, journal: Journal, tasks: TaskGroup
    ) -> None:
        self._urls = deque(urls)
        self._options = options
        self._journal = journal
        address = ", ".join(map(address_of, urls))
        self._reach: Reach[Link] = Reach(address, journal)
        confirms = options.default_channel.publisher_confirms
        self._publishing = Publishing(address, options.unconfirmed, journal, confirms=confirms)
        self._prepared: dict[str, Step] = {}
        self._open = True
        self._subscriptions: set[RabbitSubscription] = set()
        self._replies = Replies(REPLY_TO, self._read_replies, tasks)

    @property
    def lost_at(self) -> float | None:
        """Since when the server cannot be reached, by `anyio.current_time`; None: it can."""
        return self._reach.lost_at

    @asynccontextmanager
    async def subscribe(
        self, source: RabbitSource, capacity: Capacity, /
    ) -> AsyncGenerator[RabbitSubscription]:
        """Read *source*; as much as *capacity* may wait until it is received.

        Raises:
            ConnectionClosed: The connection has been left.
            TopologyError: The queue is not as it was to be, or may not be made and is missing.
        """
        self._check_open()
        put_off = partial(self._put_off, source)
        limit = (source.channel or self._options.default_channel).prefetch_count or 65535
        ahead = Capacity(min(limit, capacity.messages, 65535), capacity.bytes)
        subscription = RabbitSubscription(source, ahead, self._journal, put_off)
        self._subscriptions.add(subscription)
        steps = steps_of([source], [])

        async def prepare(wire: Wire) -> None:
            await have(wire, steps)

        async def up() -> Wire:
            return (await self._reach.up()).reading

        try:
            async with background() as tasks:
                tasks.start_soon(subscription.run, up, prepare, tasks)
                with move_on_after(JOIN):
                    await subscription.started.wait()
                try:
                    yield subscription
                finally:
                    subscription.patience = time_left(LEAVE)  # cancelled, it would see no deadline
        finally:
            self._subscriptions.discard(subscription)
            subscription.close()
        if subscription.failure is not None:
            raise subscription.failure

    async def prepare(
        self, sources: Sequence[RabbitSource], targets: Sequence[RabbitTarget], /
    ) -> None:
        """Have the queues and exchanges of these, and their bindings.

        Raises:
            ConnectionClosed: The connection has been left.
            TopologyError: Something is there and different, or missing and not to be made.
        """
        self._check_open()
        steps = steps_of(sources, targets)
        await self._have(steps)
        self._prepared |= {step[0]: step for step in steps}

    @asynccontextmanager
    async def revisit(self, address: str, /) -> AsyncGenerator[RabbitKept]:
        """Look through what the queue *address* keeps; who reads it misses that meanwhile.

        Raises:
            ConnectionClosed: The connection has been left.
            Unroutable: There is no such queue.
        """
        self._check_open()
        async with revisited((await self._reach.up()).reading, address) as kept:
            yield kept

    async def publish(self, message: Message, target: RabbitTarget, /) -> None:
        """Return once RabbitMQ has *message*, in all the queues that it was routed to.

        Raises:
            ConnectionClosed: The connection has been left.
            ConnectionLost: It went away; the message may have arrived.
            PublishFailed: RabbitMQ did not take it, or not within the target's time-out.
            Unroutable: No queue gets it, or the exchange is missing.
        """
        try:
            with fail_after(target.timeout):
                await (await self.send(message, target)).wait()
        except TimeoutError as error:
            raise PublishFailed(
                f"RabbitMQ has not confirmed a message for {target.address!r} within"
                f" {target.timeout} s; it may have it"
            ) from error

    async def send(self, message: Message, target: RabbitTarget, /) -> Sent | Arrived:
        """Hand *message* over to be confirmed in the background, if anything is.

        Raises:
            ConnectionClosed: The connection has been left.
            ConnectionLost: RabbitMQ is away, and was not back in time.
            Unpublishable: It holds what AMQP can't carry.
            Unroutable: The exchange is missing.
        """
        self._check_open()
        if (target.delay is not None or target.at is not None) and (wait := wait_of(target)):
            return await self._later(message, target, wait)
        record = outgoing(message, target, self._options.app_id)
        if record.exchange not in self._publishing.known:
            await self.reach(target)  # to publish to one that is missing ends the channel of all
        return await self._publishing.send(record)

    async def reach(self, target: RabbitTarget, /) -> None:
        """Return if *target* can be published to.

        Raises:
            ConnectionLost: The server cannot be asked.
            Unroutable: The exchange is missing, or the queue where there is none.
        """
        self._check_open()
        try:
            await self._have(looking_for(target))
        except TopologyError as error:
            missing = f"exchange {target.through!r}" if target.through else f"queue {target.key!r}"
            raise Unroutable(f"there is no {missing}; declare it") from error
        self._publishing.known.add(target.through)

    async def flush(self) -> None:
        """Return when everything that was sent is confirmed, or has failed."""
        self._check_open()
        await self._publishing.flush()

    async def request(self, message: Message, target: RabbitTarget, timeout: float, /) -> Message:  # noqa: ASYNC109 - the port's
        """Publish *message* with a direct reply-to, and return the reply.

        Raises:
            ConnectionClosed: The connection has been left.
            RequestTimeout: No reply within *timeout* seconds.
            Unroutable: Nobody reads there.
        """
        self._check_open()
        return await self._replies.request(
            message, target.address, lambda request: self.publish(request, target), timeout
        )

    async def ping(self) -> None:
        """Return once the server has answered.

        Raises:
            ConnectionLost: It has not, within five seconds.
            ConnectionClosed: The connection has been left.
        """
        self._check_open()
        with move_on_after(PING):
            wire = (await self._reach.up()).reading
            channel = await wire.channel()
            await wire.ask(channel.close(), "closing a channel")
            return
        raise ConnectionLost(f"no RabbitMQ answers at {self._reach.address}")

    async def hold(self) -> None:
        """Keep it open until cancelled; what ends it is told to whoever uses it."""
        try:
            await self._reach.hold(self._dial)
        except BrokerError:
            return  # `Reach` keeps it

    async def ready(self) -> None:
        """Return when it is there; raise if it is not to be had."""
        await self._reach.up()

    def close(self) -> None:
        """End what goes over it; called once, by the adapter."""
        self._open = False
        self._publishing.close()
        for subscription in self._subscriptions:
            subscription.close()

    def _check_open(self) -> None:
        if not self._open:
            raise ConnectionClosed("this connection to RabbitMQ was left; connect again")

    @asynccontextmanager
    async def _dial(self) -> AsyncGenerator[Link]:
        url, options = self._urls[0], self._options
        self._urls.rotate(-1)  # the next attempt is at another one
        async with (
            dialled(url, options, "reads") as reading,
            dialled(url, options, "publishes") as writing,
            background() as tasks,
        ):
            try:
                await have(reading, self._prepared.values())
            except TopologyError as error:
                raise ConnectionLost(f"cannot prepare again: {error}") from error
            tasks.start_soon(self._publishing.run, writing)
            tasks.start_soon(self._watch, reading, writing)
            yield Link(reading, writing)

    async def _watch(self, *wires: Wire) -> None:
        gone, _ = await wait({each.frames.gone for each in wires}, return_when=FIRST_COMPLETED)
        self._reach.lose(ConnectionLost(gone.pop().result()))

    async def _have(self, steps: Sequence[Step]) -> None:
        """Have *steps* done, however often the connection goes meanwhile."""
        failures = 0
        while True:
            wire = (await self._reach.up()).reading
            try:
                await have(wire, steps)
            except ConnectionLost:
                await sleep(RECONNECT.jittered(failures))
                failures += 1
            else:
                return

    @asynccontextmanager
    async def _read_replies(self) -> AsyncGenerator[Inflow[Record]]:
        """Consume answers on the channel by which is asked: the server ties one to the other."""
        inflow = Inflow[Record](REPLY_TO, REPLIES)
        held = Held[Record](lambda _delivery, _settlement, _delay: None, self._journal)
        load = partial(metadata_of, binding=Template(REPLY_TO))

        def replied(record: Record) -> None:
            message = RabbitMessage.received(record, record.body, REPLY_TO, None, load)
            inflow.put([held.deliver(message)])

        wire, channel = await self._publishing.opened()
        self._publishing.replied, self._publishing.ended = replied, inflow.fail
        consuming = channel.basic_consume(REPLY_TO, nobody, no_ack=True)
        await wire.ask(consuming, "reading answers")
        yield inflow

    async def _later(
        self, message: Message, target: RabbitTarget, seconds: float
    ) -> Sent | Arrived:
        """Have *message* wait on the server, in a queue from which it goes to where it is to go.

        It ends there unless it is used for a minute longer than a message waits.
        """
        if target.mandatory:  # what leads nowhere when it is due is gone, without a word
            await self.reach(target)
        milliseconds = rounded(ceil(seconds * 1000))
        exchange = target.exchange
        if isinstance(exchange, RabbitExchange) and exchange.type == ExchangeType.X_DELAYED_MESSAGE:
            told = message.metadata.but(headers={**message.headers, "x-delay": milliseconds})
            message = Message(message.body, metadata=told)
            return await self._publishing.send(outgoing(message, target, self._options.app_id))
        name = delayed(target.through, milliseconds)
        waiting = RabbitQueue(
            name,
            dead_letter_exchange=target.through,
            message_ttl=milliseconds / 1000,
            expires=milliseconds / 1000 + 60,
        )
        away = RabbitExchange(name, ExchangeType.FANOUT, auto_delete=True)
        await self._have(steps_of([RabbitSource(waiting, away)], []))
        there = replace(target, queue="", exchange=away, routing_key=target.key)
        return await self._publishing.send(outgoing(message, there, self._options.app_id))

    async def _put_off(
        self, source: RabbitSource, delivery: Delivery[Record], delay: float
    ) -> None:
        """Have the message of *delivery* wait on the server, and come back with its routing key."""
        queue, given = source.reads, delivery.message.metadata.but(path={})
        back = RabbitExchange(f"{queue.name}.back", ExchangeType.FANOUT)
        name, seconds = put_off(queue.name, delay)
        waiting = RabbitQueue(
            name, dead_letter_exchange=back.name, message_ttl=seconds, expires=2 * seconds
        )
        away = RabbitExchange(name, ExchangeType.FANOUT, auto_delete=True)
        there = RabbitSource(replace(queue, declare=False), back)
        await self._have(steps_of([there, RabbitSource(waiting, away)], []))
        # What waits is a copy, of which a server knows nothing; a classic queue never does.
        given = given.but(headers={**given.headers, COUNTED: delivery.deliveries or 1})
        record = delivery.message.raw_message
        target = alike(record, RabbitTarget(exchange=away, routing_key=record.routing_key))
        await self.publish(Message(record.body, metadata=given), target)


def rounded(milliseconds: int) -> int:
    """Return *milliseconds* rounded up to three digits: each delay has a queue of its own."""
    step: int = 10 ** max(0, len(str(milliseconds)) - 3)
    return -(-milliseconds // step) * step


@asynccontextmanager
async def connected(
    urls: Sequence[str], options: RabbitOptions, journal: Journal
) -> AsyncGenerator[RabbitConnection]:
    """Open a connection to one of the servers at *urls*."""
    located = [locate(url, options) for url in urls]
    with quiet("aiormq"):
        async with background() as tasks:
            opened = RabbitConnection(located, options, journal, tasks)
            tasks.start_soon(opened.hold)
            try:
                await opened.ready()
                yield opened
            finally:
                opened.close()
