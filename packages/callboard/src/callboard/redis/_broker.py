"""The broker of Redis, its router and routes, and what they are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from callboard._broker import Broker
from callboard._errors import DeclarationError
from callboard.declare._broker_kind import BrokerKind
from callboard.declare._command import PublishCommand
from callboard.declare._options import (
    BrokerOptions,
    PublisherOptions,
    PublishOptions,
    SubscriberOptions,
)
from callboard.declare._place import Place
from callboard.declare._publisher import Publisher
from callboard.declare._route import Route
from callboard.declare._router import Router
from callboard.declare._subscriber import Subscriber
from callboard.declare._takes import part, says, sends, takes
from callboard.handle._envelope import Response
from callboard.redis._routing import RedisRouting
from callboard.run._slot import MakesAdapter
from callboard.security import BaseSecurity, SASLPlaintext
from callboard_asyncapi import RedisPlace
from callboard_brokers import DestinationError, Headers, Message
from callboard_brokers.redis import (
    ListSub,
    MessageFormat,
    PubSub,
    Redis,
    RedisMessage,
    RedisOptions,
    RedisRecord,
    RedisSource,
    RedisTarget,
    StreamSub,
)

if TYPE_CHECKING:
    from callboard_brokers.redis.connection import RedisClient


@dataclass(frozen=True)
class RedisConnected(RedisOptions):
    """Where a `RedisBroker` connects to, and how."""

    url: str = field(default="redis://localhost:6379", repr=False)
    """`redis://user:password@host:port/db`, `rediss://` by TLS, or `unix:///path`."""
    security: BaseSecurity | None = field(default=None, kw_only=True)
    """What comes before the options that say the same one by one."""


@dataclass(frozen=True)
class RedisBrokerOptions(BrokerOptions, RedisConnected):
    """What a `RedisBroker` can be told."""


@dataclass(frozen=True)
class RedisSubscriberOptions(SubscriberOptions, RedisSource):
    """A channel, a list or a stream, and how its messages are handled."""


@dataclass(frozen=True)
class RedisPublisher(PublisherOptions, RedisTarget):
    """Where results are published to; given to a `RedisRoute`, it is declared with that."""


@dataclass(frozen=True)
class RedisRouteOptions(RedisSubscriberOptions):
    """What is read, and what is published of the results."""

    publishers: Sequence[RedisPublisher] = field(default=(), kw_only=True)


@dataclass(frozen=True)
class RedisPublishOptions(PublishOptions, RedisTarget):
    """Where to, and what travels beside the body."""


@dataclass(frozen=True)
class RedisRequestOptions(RedisPublishOptions):
    """Where to, and how long to wait for an answer from there."""

    timeout: float = field(default=30.0, kw_only=True)


class RedisResponse(Response):
    """What a handler returns to say more of the message that its result becomes."""

    __slots__ = ("_said",)

    def __init__(
        self,
        body: object,
        *,
        headers: Headers | None = None,
        correlation_id: str | None = None,
        maxlen: int | None = None,
        message_format: type[MessageFormat] | None = None,
    ) -> None:
        super().__init__(body, headers=headers, correlation_id=correlation_id)
        said = {"maxlen": maxlen, "message_format": message_format}
        self._said: dict[str, Any] = {key: value for key, value in said.items() if value}

    def aim(self, target: RedisTarget) -> RedisTarget:
        """Return *target* with what this says of it."""
        return replace(target, **self._said) if self._said else target


class RedisPublishCommand(PublishCommand):
    """What a middleware sees of a message that leaves: `maxlen`, `pipeline` and more, too."""

    @property
    def destination_type(self) -> str:
        """What it goes to: a "channel", a "list" or a "stream"."""
        return str(self.target.kind)

    def set_destination(
        self,
        *,
        channel: str | PubSub | None = None,
        list: str | ListSub | None = None,  # noqa: A002 - as everywhere
        stream: str | StreamSub | None = None,
    ) -> None:
        """Have it go elsewhere: to one of these."""
        self.target = replace(self.target, channel=channel, list=list, stream=stream)


def _aimed(kind: str, address: str) -> RedisTarget:
    given: dict[str, Any] = {kind: address}
    return RedisTarget(**given)


def _redirect(target: RedisTarget, address: str) -> RedisTarget:
    given: dict[str, Any] = {target.kind: address}
    return replace(target, maxlen=target.limit, **given)


def _dead_letter(address: str, source: RedisSource) -> RedisTarget:
    """Return where dead letters of *source* go: a list beside a list, else a stream, which keeps them.

    Raises:
        DestinationError: *source* would read them itself.
    """
    kind = "list" if source.kind == "list" else "stream"
    if (kind, address) == (source.kind, source.address):
        raise DestinationError(
            f"dead letters of {source.address!r} to {address!r} would be read by its subscriber"
            " again; give dead_letter= another name"
        )
    return _aimed(kind, address)


def _where(source: RedisSource, message: Message[RedisRecord]) -> Mapping[str, object]:
    said: dict[str, object] = {"x-original-kind": source.kind}
    if source.group is not None:
        said["x-group"] = source.group
    if source.kind == "stream" and message.raw_message.id is not None:
        said["x-original-id"] = message.raw_message.id.decode()
    return said


def _back(letter: Message[RedisRecord], address: str) -> RedisTarget:
    """Return where *letter* came from."""
    return _aimed(str(letter.headers.get("x-original-kind") or "channel"), address)


def _check_consumers(sources: Sequence[RedisSource]) -> None:
    """Refuse two readers of one name: each would take at its start what the other has in hand."""
    known: set[tuple[str, str | None, str | None]] = set()
    for each in sources:
        end = each.end
        if isinstance(end, StreamSub) and end.group is not None:
            reader = end.stream, end.group, end.consumer
            if reader in known:
                raise DeclarationError(
                    f"two subscribers of the stream {end.stream!r} are the consumer"
                    f" {end.consumer!r} of the group {end.group!r}; give one of them another name"
                )
            known.add(reader)


def _places(end: RedisSource | RedisTarget) -> Sequence[Place]:
    address = end.address
    if isinstance(end, RedisTarget):
        method: Any = {"channel": "publish", "list": "rpush", "stream": "xadd"}[end.kind]
        return [Place(address=address, channel=RedisPlace(channel=address, method=method))]
    reading: Any = {"channel": "subscribe", "list": "lpop", "stream": "xread"}[end.kind]
    if end.is_pattern:
        reading = "psubscribe"
    elif end.group is not None:
        reading = "xreadgroup"
    consumer = end.end.consumer if isinstance(end.end, StreamSub) else None
    place = RedisPlace(
        channel=address, method=reading, group_name=end.group, consumer_name=consumer
    )
    return [Place(address=address, channel=place)]


REDIS: Final = BrokerKind(
    command=RedisPublishCommand,
    name="redis",
    protocol_version="custom",
    places=_places,
    answer=RedisTarget,
    dead_letter=_dead_letter,
    where=_where,
    returns=_back,
    routing=RedisRouting,
    partition=lambda message: message.address,
    together=_check_consumers,
    redirect=_redirect,
)


def _told(options: RedisSubscriberOptions) -> RedisSubscriberOptions:
    """Return *options* with what their list, or stream, says of batches."""
    end = part(options, RedisSource).end
    if isinstance(end, PubSub) or not end.batch:
        return options
    return replace(options, batch=True, max_records=options.max_records or end.max_records)


def _proof(security: BaseSecurity | None) -> dict[str, Any]:
    """Return what *security* says, as `RedisOptions` call it.

    Raises:
        DeclarationError: It is not for Redis.
    """
    if security is None:
        return {}
    said: dict[str, Any] = {"ssl_context": security.context} if security.context else {}
    if security.mechanism == "PLAIN" and isinstance(security, SASLPlaintext):
        return said | {"username": security.username, "password": security.password}
    if security.mechanism is not None:
        raise DeclarationError(
            f"security={security!r} is not for Redis; give a BaseSecurity or a SASLPlaintext"
        )
    return said


class RedisRoute(Route):
    """A handler of a channel, a list or a stream, to be declared by `RedisRouter(handlers=[...])`."""

    @sends(RedisRouteOptions)
    def __init__(self, call: object, options: RedisRouteOptions) -> None:
        publishers = [(part(each, RedisTarget), each) for each in options.publishers]
        super().__init__(call, part(options, RedisSource), _told(options), publishers)


class RedisRouter(Router, kind=REDIS):
    """Subscribers and publishers of Redis."""

    @takes(RedisSubscriberOptions)
    def subscriber(self, options: RedisSubscriberOptions) -> Subscriber[RedisMessage]:
        """Handle the messages of a channel, a list or a stream by the function or actor class below."""
        return self.declared.subscriber(part(options, RedisSource), _told(options))

    @takes(RedisPublisher)
    def publisher(self, options: RedisPublisher) -> Publisher[RedisTarget]:
        """Publish what the function or actor class below returns."""
        return self.declared.publisher(part(options, RedisTarget), options)


class RedisBroker(Broker[RedisTarget], RedisRouter):
    """Redis, or Valkey, with everything that is declared on it; on asyncio, as its client is."""

    @takes(RedisBrokerOptions)
    def __init__(self, options: RedisBrokerOptions) -> None:
        make, kind = self._reached(options)
        super().__init__(make, options, kind)

    def _reached(self, options: RedisBrokerOptions) -> tuple[MakesAdapter, BrokerKind[RedisTarget]]:
        speaking = replace(part(options, RedisOptions), **_proof(options.security))
        scheme, _, rest = options.url.partition("://")
        scheme = "rediss" if speaking.ssl_context is not None else scheme
        host, port = speaking.host or "", f":{speaking.port}" if speaking.port else ""
        where = f"{host}{port}" if host or port else rest.rpartition("@")[2].partition("?")[0]
        kind = replace(
            REDIS,
            url=f"{scheme}://{where}",
            protocol=scheme,
            routing=partial(RedisRouting, speaking.message_format),
        )
        return partial(Redis, options.url, speaking), kind

    @says(RedisConnected)
    async def connect(self, said: Mapping[str, Any]) -> None:
        """Connect, without starting the subscribers; what is said here comes before the constructor's.

        So an address, and what else says how to connect, may come from settings that are read at
        the start: in a hook, or before. Called by a hook of an application, which connects anew, or
        under a test broker, it holds for the next connection.

        Raises:
            DeclarationError: It is connected already, and otherwise.
            NotRunning: It is being stopped, or was stopped meanwhile.
        """
        self._told(said, self._reached)
        await super().connect()

    @says(RedisConnected)
    async def start(self, said: Mapping[str, Any]) -> None:
        """Connect as `connect` does, and start the subscribers; return when all are up.

        Raises:
            DeclarationError: A handler asks for what nobody can give, or as for `connect`.
            NotRunning: It is being stopped, or was stopped meanwhile.
            Exception: What an actor raised that can't be made, or can't start.
        """
        self._told(said, self._reached)
        await super().start()

    @sends(RedisPublishOptions)
    async def publish(self, message: object, options: RedisPublishOptions) -> int | bytes | None:
        """Send *message*; return how many hear it, how long its list is, or its id in the stream.

        None if it is for later, waits in a pipeline, or under a test broker.
        """
        receipt: int | bytes | None = await self.out.publish(message, options, options)
        return receipt

    async def publish_batch(  # noqa: PLR0913 - each may be said, by name
        self,
        *messages: object,
        list: str | ListSub | None = None,  # noqa: A002 - as everywhere
        stream: str | StreamSub | None = None,
        headers: Headers | None = None,
        correlation_id: str | None = None,
        reply_to: str | None = None,
        pipeline: Any = None,
    ) -> None:
        """Send *messages* at once; return when the server has them all, those of a list in one step."""
        target = RedisTarget(list=list, stream=stream, pipeline=pipeline)
        options = PublishOptions(headers=headers, correlation_id=correlation_id, reply_to=reply_to)
        await self.out.publish_batch(messages, target, options)

    @sends(RedisRequestOptions)
    async def request(self, message: object, options: RedisRequestOptions) -> Message[RedisRecord]:
        """Send *message* and return the answer, its body by `await answer.decode()`.

        Raises:
            RequestTimeout: None came in time.
            RequestFailed: The handler has failed.
            Unroutable: Nobody listens to the channel.
        """
        return await self.out.request(message, options, options, options.timeout)

    @property
    def client(self) -> RedisClient:
        """The client's own `Redis`, which sends nothing twice; its pipelines are for `pipeline=`.

        Raises:
            DeclarationError: There is no server, as under a test broker.
        """
        connection: Any = self.slot.connection
        if not hasattr(connection, "client"):
            raise DeclarationError(
                "the client speaks to a server, and there is none under a test broker"
            )
        return connection.client  # type: ignore[no-any-return] # as its attribute says
