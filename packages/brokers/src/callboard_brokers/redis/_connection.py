"""A connection to Redis: publishing, reading, asking."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from uuid import uuid4

from anyio import move_on_after, sleep
from anyio.abc import TaskGroup

from callboard_brokers._errors import ConnectionLost, Unroutable
from callboard_brokers._message import Message
from callboard_brokers._port import ARRIVED, Capacity, Confirmation
from callboard_brokers.kit import RECONNECT, Journal, Replies, background, time_left
from callboard_brokers.redis._channel import ChannelWay
from callboard_brokers.redis._client import Asked, RedisClient, Word, as_it_is, hung_up
from callboard_brokers.redis._config import RedisOptions
from callboard_brokers.redis._delayed import put_off
from callboard_brokers.redis._kept import RedisKept, revisited
from callboard_brokers.redis._link import Link
from callboard_brokers.redis._list import ListWay
from callboard_brokers.redis._message import FIELD, written
from callboard_brokers.redis._records import RedisSource, RedisTarget, StreamSub
from callboard_brokers.redis._stream import GroupWay, TailWay, have_group
from callboard_brokers.redis._subscription import RedisSubscription, Way

JOIN, PING, LEAVE = 10.0, 5.0, 9.0
"""Seconds to wait for a first reading, which may take longer; for an answer; to end a reading."""


class RedisConnection:
    """Publishes and reads, by one connection for all commands and one for each who waits.

    While the server is away, publishing waits. What was on its way when it was lost fails: nobody knows
    whether it has arrived, so it is not sent again here.
    """

    def __init__(self, link: Link, tasks: TaskGroup) -> None:
        self._link = link
        self._subscriptions: set[RedisSubscription] = set()
        self._answers = f"callboard.answers.{uuid4().hex}"
        self._replies = Replies(self._answers, self._read_answers, tasks)
        self._client: RedisClient | None = None

    @property
    def lost_at(self) -> float | None:
        """Since when the server cannot be reached, by `anyio.current_time`; None: it can."""
        return self._link.reach.lost_at

    @property
    def client(self) -> RedisClient:
        """The client's own, with connections of its own, for whatever else it can do."""
        if self._client is None:
            self._client = self._link.server.client()
        return self._client

    @asynccontextmanager
    async def subscribe(
        self, source: RedisSource, capacity: Capacity, /
    ) -> AsyncGenerator[RedisSubscription]:
        """Read *source*; as much as *capacity* may wait until it is received.

        Of a channel, as much as the source's own limits may wait, and *capacity* is what is
        received at once.

        Raises:
            BrokerError: It can't be read: the key holds something else, or the user may not.
            ConnectionClosed: The connection has been left.
            TopologyError: The group is missing, and not to be made.
        """
        self._link.check_open()
        reading = RedisSubscription(source, capacity, self._link, self._way(source))
        async with self._open(reading):
            async with background() as tasks:
                tasks.start_soon(reading.reader.run, tasks.cancel_scope)
                tasks.start_soon(reading.run_stay)
                tasks.start_soon(reading.run_flush)
                with move_on_after(JOIN):
                    await reading.reader.started.wait()
                yield reading
            if reading.reader.failure is not None:
                raise reading.reader.failure

    async def prepare(
        self, sources: Sequence[RedisSource], _targets: Sequence[RedisTarget], /
    ) -> None:
        """Have the groups of *sources*; everything else comes to be by being used.

        Raises:
            ConnectionClosed: The connection has been left.
            TopologyError: A group is missing, and not to be made.
        """
        for source in sources:
            end = source.end
            if isinstance(end, StreamSub) and end.group is not None:
                await self._have(end)

    def revisit(self, address: str, /) -> AbstractAsyncContextManager[RedisKept]:
        """Look through what is kept in the stream, or the list, called *address*.

        Raises:
            ConnectionClosed: The connection has been left.
            DestinationError: It is something else; or, if it is `Unroutable`, there is none.
        """
        self._link.check_open()
        return revisited(self._link, address)

    async def publish(self, message: Message, target: RedisTarget, /) -> object:
        """Return how many have heard *message*, how long its list is, or its id in the stream.

        Nothing, if it is for later.

        Raises:
            ConnectionClosed: The connection has been left.
            ConnectionLost: The server has not answered: it may have *message* or not.
            DestinationError: There is no such place, or it holds something else.
            PublishFailed: The message cannot travel, or the server is full.
        """
        return await (await self.send(message, target)).wait()

    async def send(self, message: Message, target: RedisTarget, /) -> Confirmation:
        """Hand *message* over; all that is sent in one tick goes together.

        Raises:
            ConnectionClosed: The connection has been left.
            DestinationError: There is no such place.
            PublishFailed: The message cannot travel.
        """
        octets = written(message, target, self._link.options.message_format)
        if (seconds := target.seconds) is not None:
            await put_off(self._link, target, octets, seconds)
            return ARRIVED
        return await self._send(self._command([octets], target), target)

    async def publish_batch(self, messages: Sequence[Message], target: RedisTarget, /) -> object:
        """Publish *messages*, in order; to a list all of them or none.

        Return how long the list is, or what `publish` returns of each.
        """
        octets = [written(each, target, self._link.options.message_format) for each in messages]
        if target.kind == "list":
            return await (await self._send(self._command(octets, target), target)).wait()
        sent = [await self._send(self._command([each], target), target) for each in octets]
        return [await each.wait() for each in sent]

    async def request(self, message: Message, target: RedisTarget, timeout: float, /) -> Message:  # noqa: ASYNC109 - the port's
        """Publish *message* with a channel of this connection as its `reply_to`; return the answer.

        Raises:
            ConnectionClosed: The connection has been left.
            RequestTimeout: No answer within *timeout* seconds.
            Unroutable: Nobody listens to the channel.
        """

        async def publish(asking: Message) -> object:
            heard = await self.publish(asking, target)
            if target.kind == "channel" and heard == 0:
                raise Unroutable(f"nobody listens to the channel {target.address!r}")
            return heard

        return await self._replies.request(message, target.address, publish, timeout)

    async def ping(self) -> None:
        """Return once the server has answered, and has taken all that was sent before.

        Raises:
            ConnectionLost: It has not, within five seconds.
            ConnectionClosed: The connection has been left.
        """
        with move_on_after(PING):
            await self._link.call("", "PING")
            return
        raise ConnectionLost(f"{self._link.server.address} has not answered within {PING:.0f} s")

    async def close(self) -> None:
        """End what reads through it; called once, by the adapter."""
        for subscription in self._subscriptions:
            subscription.close()
        if self._client is not None:
            await hung_up(self._client)

    def _command(self, octets: Sequence[bytes], target: RedisTarget) -> tuple[Word, ...]:
        name = target.address
        if target.kind == "list":
            return ("RPUSH", name, *octets)
        if target.kind == "channel":
            return ("PUBLISH", name, *octets)
        limit = () if target.limit is None else ("MAXLEN", "~", target.limit)
        return ("XADD", name, *limit, "*", FIELD, *octets)

    async def _send(self, words: tuple[Word, ...], target: RedisTarget) -> Confirmation:
        if target.pipeline is not None:
            target.pipeline.execute_command(*words)
            return ARRIVED
        return await self._link.send(target.address, Asked(target.address, as_it_is), *words)

    async def _have(self, end: StreamSub) -> None:
        while True:
            with suppress(ConnectionLost):
                await have_group(self._link, end, end.start)
                return
            await sleep(RECONNECT.shortest)

    def _way(self, source: RedisSource) -> Callable[[RedisSubscription], Way]:
        end = source.end
        if isinstance(end, StreamSub):
            return partial(TailWay if end.group is None else GroupWay, end=end)
        return ListWay if source.kind == "list" else ChannelWay

    def _read_answers(self) -> AbstractAsyncContextManager[RedisSubscription]:
        return self.subscribe(RedisSource(self._answers), Capacity(1000))

    @asynccontextmanager
    async def _open(self, subscription: RedisSubscription) -> AsyncGenerator[None]:
        self._subscriptions.add(subscription)
        try:
            yield
        finally:
            self._subscriptions.discard(subscription)
            with move_on_after(time_left(LEAVE), shield=True):
                await subscription.leave()


@asynccontextmanager
async def connected(
    url: str, options: RedisOptions, journal: Journal
) -> AsyncGenerator[RedisConnection]:
    """Open a connection to the server at *url*."""
    link = Link(url, options, journal)
    async with background() as tasks:
        connection = RedisConnection(link, tasks)
        tasks.start_soon(link.hold)
        tasks.start_soon(link.watch)
        await link.reach.up()
        try:
            yield connection
        finally:
            await connection.close()
            link.close()
