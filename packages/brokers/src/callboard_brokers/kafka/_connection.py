"""A connection to Kafka: publishing, reading, asking."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial

from anyio import move_on_after
from anyio.abc import TaskGroup

from callboard_brokers._errors import (
    BatchFailed,
    BrokerError,
    ConnectionClosed,
    ConnectionLost,
    Unroutable,
)
from callboard_brokers._message import Message
from callboard_brokers._port import ARRIVED, Arrived, Capacity
from callboard_brokers.events import PublicationFailed
from callboard_brokers.kafka._client import Consumer, Producer, make_consumer, make_producer
from callboard_brokers.kafka._kept import KafkaKept, revisited
from callboard_brokers.kafka._member import Member
from callboard_brokers.kafka._mending import heard_at, stop
from callboard_brokers.kafka._message import RecordMetadata
from callboard_brokers.kafka._outgoing import Sent, confirmed, is_alone, send, send_all
from callboard_brokers.kafka._parcel import Outgoing, contents, outgoing
from callboard_brokers.kafka._records import KafkaOptions, KafkaSource, KafkaTarget, Topic, topic_of
from callboard_brokers.kafka._servers import Servers
from callboard_brokers.kafka._subscription import KafkaSubscription
from callboard_brokers.kafka._window import Window
from callboard_brokers.kit import Journal, Replies, background, brief, quiet, time_left

JOIN = 10.0
"""Seconds to wait for the first assignment; it may take longer, behind members that are busy."""

PING, CLOSE = 5.0, 5.0

REPLIES = 1000
"""How many replies may wait, those to other processes among them."""


class KafkaConnection:
    """Publishes through one producer; each subscription has a consumer of its own.

    While Kafka is away, publishing waits: the producer tries again by itself, and cannot duplicate
    what it sends again.
    """

    def __init__(self, servers: Servers, producer: Producer, tasks: TaskGroup) -> None:
        self._servers = servers
        self._producer = producer
        # It was taken once: its topic is there, or was deleted since.
        self._again = partial(send, servers, producer, alone=True, create=False)
        self._open = True
        self._subscriptions: set[KafkaSubscription] = set()
        self._replies = Replies(servers.options.reply_topic, self._read_replies, tasks)

    @property
    def lost_at(self) -> float | None:
        """Since when no server can be reached, by `anyio.current_time`; None: one can."""
        return self._servers.reach.lost_at

    def heard(self) -> float:
        """Return when a server has answered last, by `time.monotonic`."""
        clients = [self._producer, *(each.consumer for each in self._subscriptions)]
        return max(map(heard_at, clients))

    @asynccontextmanager
    async def subscribe(
        self, source: KafkaSource, capacity: Capacity, /
    ) -> AsyncGenerator[KafkaSubscription]:
        """Read *source*; as much as *capacity* may wait until it is received.

        Raises:
            ConnectionClosed: The connection has been left.
            DestinationError: A topic is missing and may not be created.
        """
        self._check_open()
        servers = self._servers
        window = Window(source, capacity, servers.journal)
        make = partial(make_consumer, servers.addresses, servers.options, source)
        member = Member(source, window, servers, make)
        subscription = KafkaSubscription(source, window, member, servers.options.max_request_size)
        self._subscriptions.add(subscription)
        try:
            async with background() as tasks:
                tasks.start_soon(subscription.run, self._begin, tasks.cancel_scope)
                tasks.start_soon(member.run)
                with move_on_after(JOIN):
                    await subscription.started.wait()
                yield subscription
        finally:
            self._subscriptions.discard(subscription)
            await subscription.leave()
        if subscription.failure is not None:
            raise subscription.failure

    async def prepare(
        self, sources: Sequence[KafkaSource], targets: Sequence[KafkaTarget], /
    ) -> None:
        """Have the topics of *sources* and *targets*, as far as they may be created.

        Raises:
            ConnectionClosed: The connection has been left.
            DestinationError: One has an impossible name.
        """
        self._check_open()
        names = [name for each in sources for name in _topics_of(each)]
        names += [each.topic for each in targets if each.create]
        # What says more of a topic than its name comes last, and is kept.
        said = {each.name: each for each in map(topic_of, sorted(names, key=_says))}
        topics = [said[name] for name in sorted(said)]
        with suppress(Unroutable):  # for now: who reads or publishes there tries again
            await self._have(topics)

    def revisit(self, address: str, /) -> AbstractAsyncContextManager[KafkaKept]:
        """Look through what the topic *address* keeps; removed is what a group has passed.

        Raises:
            ConnectionClosed: The connection has been left.
        """
        self._check_open()
        return revisited(self._servers, self._producer, address)

    async def publish(self, message: Message, target: KafkaTarget, /) -> RecordMetadata | None:
        """Return where *message* is once Kafka has it; wait while it is away.

        None for a target with `no_confirm`.

        Raises:
            ConnectionClosed: The connection has been left.
            DestinationError: The topic is missing and may not be created, or has no such partition.
            PublishFailed: Kafka did not take it.
        """
        sent = await self.send(message, target)
        return await sent.wait() if isinstance(sent, Sent) else None

    async def publish_batch(self, messages: Sequence[Message], target: KafkaTarget, /) -> None:
        """Return when Kafka has all of *messages*; those of a partition keep their order.

        Raises:
            BatchFailed: It did not take some of them; it has the others.
            DestinationError: The topic is missing and may not be created, or has no such partition.
        """
        self._check_open()
        if not messages:
            return

        def record(number: int) -> Outgoing:
            return outgoing(messages[number], target)

        servers, made = self._servers, contents(messages, target)
        sent = await send_all(servers, self._producer, made, record, create=target.create)
        failures = await confirmed(sent, record, servers.picky)
        if failures:
            first = next(iter(failures.values()))
            raise BatchFailed(
                f"{len(failures)} of {len(messages)} not published: {first}", failures
            )

    async def send(self, message: Message, target: KafkaTarget, /) -> Sent | Arrived:
        """Hand *message* over to be sent in the background; `flush` waits for all of them.

        For a target with `no_confirm` that is all; a failure is told.

        Raises:
            ConnectionClosed: The connection has been left.
            DestinationError: The topic is missing and may not be created, or has no such partition.
            PublishFailed: The client does not take it.
        """
        self._check_open()
        record, servers = outgoing(message, target), self._servers
        alone = is_alone(servers, record)
        future = await send(servers, self._producer, record, alone=alone, create=target.create)
        sent = Sent(record, future, servers.picky, self._again, alone=alone)
        if not target.no_confirm:
            return sent
        sent.then(partial(self._look_at, target.topic))
        return ARRIVED

    async def reach(self, target: KafkaTarget, /) -> None:
        """Return if *target* can be published to.

        Raises:
            ConnectionLost: No server can be asked.
            DestinationError: The topic is missing and may not be created, or has no such partition.
        """
        self._check_open()
        partitions = () if target.partition is None else (target.partition,)
        await self._servers.find(self._producer, target.topic, partitions, create=target.create)

    async def flush(self) -> None:
        """Return when everything that was sent has arrived, or failed."""
        self._check_open()
        await self._producer.flush()

    async def request(self, message: Message, target: KafkaTarget, timeout: float, /) -> Message:  # noqa: ASYNC109 - the port's
        """Publish *message* with the reply topic as its `reply_to`, and return the reply.

        Raises:
            ConnectionClosed: The connection has been left.
            RequestTimeout: No reply within *timeout* seconds.
        """
        self._check_open()
        return await self._replies.request(
            message, target.topic, lambda request: self.publish(request, target), timeout
        )

    async def ping(self) -> None:
        """Return once a server has answered.

        Raises:
            ConnectionLost: None has, within five seconds.
            ConnectionClosed: The connection has been left.
        """
        self._check_open()
        with move_on_after(PING):
            if await self._producer.client.force_metadata_update():
                return
        raise ConnectionLost(f"no Kafka answers at {', '.join(self._servers.addresses)}")

    def close(self) -> None:
        """End what reads through it; called once, by the adapter."""
        self._open = False
        for subscription in self._subscriptions:
            subscription.close()

    def _check_open(self) -> None:
        if not self._open:
            raise ConnectionClosed("this connection to Kafka was left; connect again")

    async def _begin(self, source: KafkaSource, consumer: Consumer) -> None:
        await self._have([*map(topic_of, _topics_of(source))])
        await self._servers.start(consumer)

    async def _have(self, topics: Sequence[Topic]) -> None:
        await self._servers.reach.patiently(partial(self._servers.ensure, self._producer, topics))

    def _read_replies(self) -> AbstractAsyncContextManager[KafkaSubscription]:
        return self.subscribe(KafkaSource(topics=(self._replies.address,)), Capacity(REPLIES))

    def _look_at(self, topic: str, failure: BrokerError | None) -> None:
        """Tell a failure that nobody waits for."""
        if failure is not None:
            error = brief(failure.__cause__ or failure)
            self._servers.journal.tell(PublicationFailed(topic, error))


def _topics_of(source: KafkaSource) -> Sequence[str]:
    """Return the topics that *source* names."""
    return () if source.pattern else source.addresses


def _says(name: str) -> bool:
    return isinstance(name, Topic)


@asynccontextmanager
async def connected(
    addresses: Sequence[str], options: KafkaOptions, journal: Journal
) -> AsyncGenerator[KafkaConnection]:
    """Open a connection to the servers at *addresses*."""
    servers = Servers(addresses, options, journal)
    producer = make_producer(addresses, options)
    # By the root of its names: its very base has one logger, and each module one of its own.
    with quiet("aiokafka"):
        try:
            await servers.start(producer)
            declare = partial(servers.ensure, producer, options.topics, declared=True)
            await servers.reach.patiently(declare)
            async with background() as tasks:
                connection = KafkaConnection(servers, producer, tasks)
                tasks.start_soon(servers.watch, producer, connection.heard)
                try:
                    yield connection
                finally:
                    connection.close()
        finally:
            servers.pulse.close()
            await stop(producer, time_left(CLOSE))
