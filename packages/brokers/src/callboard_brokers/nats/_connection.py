"""A connection to NATS: publishing, reading, asking."""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from itertools import count
from typing import Any, Final, TypeAlias, TypeVar
from uuid import uuid4

from anyio import move_on_after, sleep

from callboard_brokers._errors import (
    BrokerError,
    ConnectionLost,
    DestinationError,
    RequestTimeout,
    Unroutable,
)
from callboard_brokers._message import Message, asking
from callboard_brokers._port import ARRIVED, Arrived, Capacity
from callboard_brokers.events import FetchFailed
from callboard_brokers.kit import RECONNECT, Journal, Signal, background, brief, quiet, time_left
from callboard_brokers.nats._client import Entries, KeyValue, NatsClient, ObjectStore
from callboard_brokers.nats._config import NatsOptions, check_name
from callboard_brokers.nats._core import CoreSubscription
from callboard_brokers.nats._kept import NatsKept, revisited
from callboard_brokers.nats._link import Asked, Link, linked
from callboard_brokers.nats._message import (
    NatsMessage,
    NatsRecord,
    PubAck,
    check_size,
    confirmed,
    header_of,
    is_receipt,
    publication,
    reader,
    reply_of,
)
from callboard_brokers.nats._reading import StreamSubscription
from callboard_brokers.nats._records import WAITING, NatsSource, NatsTarget, due
from callboard_brokers.nats._topology import Topology, subjects_of

NatsSubscription: TypeAlias = CoreSubscription | StreamSubscription
S = TypeVar("S", CoreSubscription, StreamSubscription)
JOIN, PING, LEAVE = 10.0, 5.0, 9.0
"""Seconds to wait for a first consumer, which may take longer; for an answer; to end a reading."""


class NatsConnection:
    """Publishes and reads over one connection, which mends itself.

    While the server is away, publishing waits. What was on its way when it was lost fails, unless
    nobody confirms it: then nobody knows.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._topology = Topology(link)
        self._subscriptions: set[NatsSubscription] = set()

    @property
    def lost_at(self) -> float | None:
        """Since when no server can be reached, by `anyio.current_time`; None: one can."""
        return self._link.reach.lost_at

    @property
    def client(self) -> NatsClient:
        """The client, for buckets of keys and of objects, and whatever else it can do."""
        return self._link.client.nats

    async def key_value(self, bucket: str, *, declare: bool = True, **config: Any) -> KeyValue:
        """Return the client's *bucket* of keys and values; made by *config* if it is missing.

        Raises:
            DestinationError: There can be no such bucket, or, if it is a `TopologyError`, there is none.
        """
        check_name(bucket, "bucket")
        domain = self._link.options.domain
        return await self._link.client.key_value(bucket, domain, config if declare else None)

    async def entries(self, bucket: str, *, ttl: float) -> Entries:
        """Return the keys of *bucket*; made, if it is missing, to forget after *ttl* seconds."""
        return Entries(await self.key_value(bucket, ttl=ttl))

    async def object_storage(
        self, bucket: str, *, declare: bool = True, **config: Any
    ) -> ObjectStore:
        """Return the client's *bucket* of objects; made by *config* if it is missing.

        Raises:
            DestinationError: There can be no such bucket, or, if it is a `TopologyError`, there is none.
        """
        check_name(bucket, "bucket")
        domain = self._link.options.domain
        return await self._link.client.object_store(bucket, domain, config if declare else None)

    @property
    def max_payload(self) -> int:
        """How many octets the server takes in one message, headers included."""
        return self._link.client.max_payload

    def new_inbox(self) -> str:
        """Return a subject that nobody else reads."""
        return f"{self._link.options.inbox_prefix}.{uuid4().hex}"

    @asynccontextmanager
    async def subscribe(
        self, source: NatsSource, capacity: Capacity, /
    ) -> AsyncGenerator[NatsSubscription]:
        """Read *source*; as much as *capacity* may wait until it is received.

        Without a stream, as much as the source's own limits may wait, and *capacity* is what is
        received at once.

        Raises:
            ConnectionClosed: The connection has been left.
            TopologyError: The consumer or its stream is there and different, or missing and not to
                be made.
        """
        self._link.check_open()
        if source.jstream is None:
            async with self._reading(CoreSubscription(source, capacity, self._link)) as core:
                await core.start()
                yield core
            return
        self._topology.note(source.jstream, source.filters)
        subscription = StreamSubscription(source, capacity, self._link, self._topology)
        async with self._reading(subscription) as stream, background() as tasks:
            tasks.start_soon(stream.run, tasks.cancel_scope)
            tasks.start_soon(stream.extend)
            tasks.start_soon(stream.flush)
            tasks.start_soon(stream.bury)
            with move_on_after(JOIN):
                await stream.started.wait()
            yield stream
        if subscription.failure is not None:
            raise subscription.failure

    async def prepare(
        self, sources: Sequence[NatsSource], targets: Sequence[NatsTarget], /
    ) -> None:
        """Have the streams of *sources* and *targets*, and the consumers that have a name.

        Raises:
            ConnectionClosed: The connection has been left.
            TopologyError: Something is there and different, or missing and not to be made.
        """
        for source in sources:
            self._topology.note(source.jstream, source.filters)
        for target in targets:
            self._topology.note(target.jstream, subjects_of(target))
        await self._told(partial(self._topology.have, sources))

    def revisit(self, address: str, /) -> AbstractAsyncContextManager[NatsKept]:
        """Look through what a stream keeps of the subject *address*; removed is what it deletes.

        Raises:
            ConnectionClosed: The connection has been left.
            DestinationError: There is no such subject; or, if it is `Unroutable`, no stream has it.
        """
        self._link.check_open()
        return revisited(self._topology, address)

    async def publish(self, message: Message, target: NatsTarget, /) -> PubAck | None:
        """Return where in its stream *message* is; None without a stream, once it is written.

        Raises:
            ConnectionClosed: The connection has been left.
            DestinationError: No stream takes the subject, or there is no such subject.
            PublishFailed: The message cannot travel, or the stream did not take it.
            ConnectionLost: The stream does not answer.
        """
        sent = await self.send(message, target)
        return await sent.wait() if isinstance(sent, Asked) else None

    async def send(self, message: Message, target: NatsTarget, /) -> Asked[PubAck] | Arrived:
        """Hand *message* over; several ways to a stream may be open at once.

        Raises:
            ConnectionClosed: The connection has been left.
            DestinationError: There is no such subject; or, if it is a `TopologyError`, the stream
                does not keep what is not due yet.
            PublishFailed: The message cannot travel.
        """
        if target.schedule or target.delay is not None or target.at is not None:
            target = due(target, uuid4().hex)
            await self._keep_back(message, target)
        header = self._checked(message, target)
        if not self._is_at_hand:
            await self._ready()
        if target.stream is None:
            reply = reply_of(message, target.subject)
            self._link.write(publication(target.subject.encode(), reply, header, message.body))
            return ARRIVED
        read = partial(confirmed, target)
        asked = Asked(target.subject, target.timeout, read)
        self._link.ask(target.subject, header, message.body, asked)
        return asked

    async def request(self, message: Message, target: NatsTarget, timeout: float, /) -> NatsMessage:  # noqa: ASYNC109 - the port's
        """Publish *message* with a place of its own as its `reply_to`, and return the answer there.

        If a stream reads the subject as well, its receipt is no answer.

        Raises:
            ConnectionClosed: The connection has been left.
            RequestTimeout: No answer within *timeout* seconds.
            Unroutable: Nobody is there to answer.
        """
        if target.stream is None and self._is_at_hand:
            return await self._ask(message, target, timeout)
        passes = is_receipt if target.stream is None else _never
        asked = Asked(target.subject, timeout + 1, partial(_answer, target.subject), passes)
        with move_on_after(timeout):
            await self._ready()
            reply = self._link.expect(asked).decode()
            await self.publish(asking(message, reply, message.correlation_id), target)
            return await asked.wait()
        raise _late(target.subject, timeout)

    async def reach(self, target: NatsTarget, /) -> None:
        """Return if *target* can be published to.

        Raises:
            DestinationError: There is no such subject; or, if it is `Unroutable`, no stream has it.
            ConnectionLost: Nobody can say.
        """
        if target.jstream is not None:
            found = await self._topology.ask("STREAM.NAMES", {"subject": target.subject})
            if target.jstream.name not in (found.get("streams") or []):
                raise Unroutable(f"the stream {target.jstream.name!r} has no {target.subject!r}")

    async def flush(self) -> None:
        """Return when the server has all that was written."""
        await self.ping()

    async def ping(self) -> None:
        """Return once the server has answered, and has taken all that was written before.

        Raises:
            ConnectionLost: It has not, within five seconds.
            ConnectionClosed: The connection has been left.
        """
        self._link.check_open()
        await self._link.client.ping(PING)

    async def mend(self) -> None:
        """Have all streams that were prepared after a loss, too; until cancelled."""
        generation, changed = self._link.generation, Signal()
        self._link.watchers.add(changed.set)
        while True:
            await changed.wait()
            if self.lost_at is None and generation != self._link.generation:
                generation = self._link.generation
                try:
                    await self._told(self._topology.have_streams)
                except BrokerError as error:
                    self._link.journal.tell(FetchFailed("JetStream", None, brief(error)))

    def close(self) -> None:
        """End what reads through it; called once, by the adapter."""
        for subscription in self._subscriptions:
            subscription.close()

    def _checked(self, message: Message, target: NatsTarget) -> bytes:
        """Return the headers of *message* as they travel, if all of it can."""
        if target.schedule and (target.stream is None or self._link.client.version < (2, 12)):
            raise DestinationError(
                f"cannot schedule a message for {target.subject!r}: give a stream, on NATS 2.12 or"
                " newer"
            )
        header = header_of(message, target)
        check_size(header, message.body, self._link.client.max_payload, target.subject)
        return header

    async def _keep_back(self, message: Message, target: NatsTarget) -> None:
        """Return once the stream of *target* keeps what is scheduled there."""
        self._checked(message, target)
        await self._ready()
        if (stream := target.jstream) is None or target.schedule is None:
            return
        await self._topology.check_schedule(stream, target.schedule)
        if target.subject.startswith(f"{WAITING}."):  # else the stream is as its user wants it
            await self._topology.have_schedules(stream)

    async def _ask(self, message: Message, target: NatsTarget, timeout: float) -> NatsMessage:  # noqa: ASYNC109 - see `request`
        """Do the same where nothing has to be waited for but the answer."""
        header, subject = self._checked(message, target), target.subject
        asked = Asked(subject, timeout + 1, partial(_answer, subject), is_receipt)
        # A scope would cost as much as all the rest.
        end = get_running_loop().call_later(timeout, lambda: asked.fail(_late(subject, timeout)))
        try:
            self._link.ask(subject, header, message.body, asked)
            return await asked.wait()
        finally:
            end.cancel()

    @property
    def _is_at_hand(self) -> bool:
        """Whether there is a server to write to, and room on the way."""
        link = self._link
        return not link.closed and link.reach.lost_at is None and link.client.has_room

    async def _ready(self) -> None:
        """Return when it is."""
        await self._link.up()
        await self._link.client.room()

    async def _told(self, have: Callable[[], Awaitable[None]]) -> None:
        """Return once the server has said that it has something, or raise that it cannot."""
        for failures in count():
            await self._link.up()
            try:
                await have()
            except ConnectionLost as error:
                self._link.journal.tell(FetchFailed("JetStream", None, brief(error)))
                await sleep(RECONNECT.jittered(failures))
            else:
                return

    @asynccontextmanager
    async def _reading(self, subscription: S) -> AsyncGenerator[S]:
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
            with move_on_after(time_left(LEAVE), shield=True):
                await subscription.leave()


def _late(subject: str, seconds: float) -> RequestTimeout:
    return RequestTimeout(f"no reply from {subject!r} within {seconds} s")


def _never(_record: NatsRecord) -> bool:
    return False


def _answer(subject: str, record: NatsRecord) -> NatsMessage:
    """Return the answer to a request.

    Raises:
        Unroutable: Nobody is there.
    """
    if record.status == 503:
        raise Unroutable(f"nobody answers at {subject!r}")
    return NatsMessage.received(record, record.data, record.address, None, _PLAIN)


_PLAIN: Final = reader(lambda _: {})


@asynccontextmanager
async def connected(
    servers: Sequence[str], options: NatsOptions, journal: Journal
) -> AsyncGenerator[NatsConnection]:
    """Open a connection to one of *servers*."""
    with quiet("nats"):
        async with linked(servers, options, journal) as link, background() as tasks:
            connection = NatsConnection(link)
            tasks.start_soon(link.watch)
            tasks.start_soon(connection.mend)
            try:
                yield connection
            finally:
                connection.close()
