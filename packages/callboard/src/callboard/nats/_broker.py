"""The broker of NATS, its router and routes, and what they are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from callboard._broker import Broker
from callboard._errors import DeclarationError, declaring
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
from callboard.run._slot import MakesAdapter
from callboard.security import BaseSecurity, NatsSecurity, SASLPlaintext
from callboard_asyncapi import NatsSubject
from callboard_brokers import DestinationError, Headers, Message
from callboard_brokers.kit import hinted
from callboard_brokers.nats import (
    JStream,
    Nats,
    NatsMessage,
    NatsOptions,
    NatsRecord,
    NatsRouting,
    NatsSource,
    NatsTarget,
    PubAck,
    PullSub,
    Schedule,
    Subject,
    covers,
)
from callboard_brokers.nats._config import addresses_of

if TYPE_CHECKING:
    from callboard_brokers.nats.connection import KeyValue, NatsConnection, ObjectStore


@dataclass(frozen=True)
class NatsConnected(NatsOptions):
    """Where a `NatsBroker` connects to, and how."""

    servers: str | Sequence[str] = field(default="nats://localhost:4222", repr=False)
    """One or more `nats://host:port`, or `tls://`, also with commas between them."""
    security: BaseSecurity | None = field(default=None, kw_only=True)
    """What comes before the options that say the same one by one."""


@dataclass(frozen=True)
class NatsBrokerOptions(BrokerOptions, NatsConnected):
    """What a `NatsBroker` can be told."""


@dataclass(frozen=True)
class NatsSubscriberOptions(SubscriberOptions, NatsSource):
    """A subject, a stream or a bucket, and how its messages are handled."""


@dataclass(frozen=True)
class NatsPublisher(PublisherOptions, NatsTarget):
    """Where results are published to; given to a `NatsRoute`, it is declared with that."""


@dataclass(frozen=True)
class NatsRouteOptions(NatsSubscriberOptions):
    """What is read, and what is published of the results."""

    publishers: Sequence[NatsPublisher] = field(default=(), kw_only=True)


@dataclass(frozen=True)
class NatsPublishOptions(PublishOptions, NatsTarget):
    """A subject, and what travels beside the body."""


@dataclass(frozen=True)
class NatsRequestOptions(NatsPublishOptions):
    """A subject, and how long to wait for an answer from there."""

    timeout: float = field(default=30.0, kw_only=True)


@hinted()
class NatsResponse(Response):
    """What a handler returns to say more of the message that its result becomes."""

    __slots__ = ("_said",)

    def __init__(  # noqa: PLR0913 - each may be said, by name
        self,
        body: object,
        *,
        headers: Headers | None = None,
        correlation_id: str | None = None,
        stream: str | JStream | None = None,
        schedule: Schedule | None = None,
        deduplication_id: str | None = None,
    ) -> None:
        super().__init__(body, headers=headers, correlation_id=correlation_id)
        said = {"stream": stream, "schedule": schedule, "deduplication_id": deduplication_id}
        self._said: dict[str, Any] = {key: value for key, value in said.items() if value}

    def aim(self, target: NatsTarget) -> NatsTarget:
        """Return *target* with what this says of it."""
        return replace(target, **self._said) if self._said else target


def _dead_letter(address: str, source: NatsSource) -> NatsTarget:
    """Return where dead letters of *source* go; what came from a stream is kept there.

    If *address* is made of what *source* reads, with wildcards, that stream has to read all of it.

    Raises:
        DestinationError: *source* would read them itself.
    """
    reads = (source.filters or [">"]) if source.jstream else [source.pattern.wire]
    subjects = [address.replace(source.address, each) for each in source.addresses]
    if any(covers(each, subject) for each in reads for subject in subjects):
        raise DestinationError(
            f"dead letters of {source.address!r} to {address!r} would be read by its subscriber"
            " again; give dead_letter= a subject that it does not read"
        )
    wires = [Subject(each).wire for each in subjects]
    target = NatsTarget(wires[0].replace("*", "any"))
    if source.stream is None:
        return target
    stream = source.stream if isinstance(source.stream, JStream) else JStream(source.stream)
    return replace(target, stream=replace(stream, subjects=[*stream.subjects, *wires]))


def _where(_: NatsSource, message: Message[NatsRecord]) -> Mapping[str, object]:
    stored = message.raw_message.metadata
    if stored is None:
        return {}
    return {
        "x-group": stored.consumer,
        "x-original-stream": stored.stream,
        "x-original-sequence": stored.sequence,
        "x-original-timestamp": stored.timestamp,
    }


def _back(letter: Message[NatsRecord], subject: str) -> NatsTarget:
    """Return where *letter* came from: a stream, if it says so."""
    stream = letter.headers.get("x-original-stream")
    return NatsTarget(subject, stream=None if stream is None else str(stream))


def _check_consumers(sources: Sequence[NatsSource]) -> None:
    """Refuse one consumer that is to read two things."""
    known: dict[tuple[str, str], NatsSource] = {}
    for each in sources:
        if each.consumer is None or each.jstream is None:
            continue
        other = known.setdefault((each.jstream.name, each.consumer), each)
        if sorted(other.filters) != sorted(each.filters):
            raise DeclarationError(
                f"the consumer {each.consumer!r} of the stream {each.jstream.name!r} is to read"
                f" {other.address!r}, and {each.address!r}; give one of them another durable="
            )


class NatsPublishCommand(PublishCommand):
    """What a middleware sees of a message that leaves: `stream`, `schedule` and `timeout` too."""


def _places(end: NatsSource | NatsTarget) -> Sequence[Place]:
    if isinstance(end, NatsTarget):
        return [Place(address=end.subject, channel=NatsSubject(subject=end.subject))]
    return [
        Place(address=each, channel=NatsSubject(subject=each, queue=end.queue or None))
        for each in end.addresses
    ]


NATS: Final = BrokerKind(
    command=NatsPublishCommand,
    name="nats",
    protocol_version="custom",
    places=_places,
    answer=NatsTarget,
    dead_letter=_dead_letter,
    where=_where,
    returns=_back,
    makes_dead_letters=True,
    routing=NatsRouting,
    partition=lambda message: message.address,
    together=_check_consumers,
)


def _told(options: NatsSubscriberOptions) -> NatsSubscriberOptions:
    """Return *options* with what they say of batches; watches are in no documents."""
    source = part(options, NatsSource)
    pull, told = source.pull_sub, dict[str, Any]()
    if isinstance(pull, PullSub) and pull.batch:
        told = {"batch": True, "max_records": options.max_records or pull.batch_size}
    if source.kind in {"kv", "object"}:
        told["include_in_schema"] = False
    return replace(options, **told) if told else options


def _proof(security: BaseSecurity | None) -> dict[str, Any]:
    """Return what *security* says, as `NatsOptions` call it.

    Raises:
        DeclarationError: It is not for NATS.
    """
    if security is None:
        return {}
    said: dict[str, Any] = {"tls": security.context} if security.context else {}
    if isinstance(security, NatsSecurity):
        return {**said, **security.said}
    if security.mechanism == "PLAIN" and isinstance(security, SASLPlaintext):
        return said | {"user": security.username, "password": security.password}
    if security.mechanism is not None:
        raise DeclarationError(
            f"security={security!r} is not for NATS; give a BaseSecurity, a SASLPlaintext, or one of"
            " those whose names begin with Nats"
        )
    return said


class NatsRoute(Route):
    """A handler of a subject, to be declared by `NatsRouter(handlers=[...])`."""

    @sends(NatsRouteOptions)
    def __init__(self, call: object, options: NatsRouteOptions) -> None:
        publishers = [(part(each, NatsTarget), each) for each in options.publishers]
        super().__init__(call, part(options, NatsSource), _told(options), publishers)


class NatsRouter(Router, kind=NATS):
    """Subscribers and publishers of NATS."""

    @takes(NatsSubscriberOptions)
    def subscriber(self, options: NatsSubscriberOptions) -> Subscriber[NatsMessage]:
        """Handle the messages of a subject by the function or actor class below."""
        return self.declared.subscriber(part(options, NatsSource), _told(options))

    @takes(NatsPublisher)
    def publisher(self, options: NatsPublisher) -> Publisher[NatsTarget]:
        """Publish to a subject what the function or actor class below returns."""
        return self.declared.publisher(part(options, NatsTarget), options)


class NatsBroker(Broker[NatsTarget], NatsRouter):
    """NATS, with everything that is declared on it; on asyncio, as its client is."""

    @takes(NatsBrokerOptions)
    def __init__(self, options: NatsBrokerOptions) -> None:
        make, kind = self._reached(options)
        super().__init__(make, options, kind)

    def _reached(self, options: NatsBrokerOptions) -> tuple[MakesAdapter, BrokerKind[NatsTarget]]:
        self._speaking = replace(part(options, NatsOptions), **_proof(options.security))
        with declaring():
            addresses = addresses_of(options.servers)
        parts = [each.strip().rpartition("://") for each in addresses]
        urls = [f"{scheme or 'nats'}://{host.rpartition('@')[2]}" for scheme, _, host in parts]
        kind = replace(NATS, url=urls[0], urls=urls, protocol="nats")
        return partial(Nats, addresses, self._speaking), kind

    @says(NatsConnected)
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

    @says(NatsConnected)
    async def start(self, said: Mapping[str, Any]) -> None:
        """Connect as `connect` does, and start the subscribers; return when all are up.

        Raises:
            DeclarationError: A handler asks for what nobody can give, or as for `connect`.
            NotRunning: It is being stopped, or was stopped meanwhile.
            Exception: What an actor raised that can't be made, or can't start.
        """
        self._told(said, self._reached)
        await super().start()

    @sends(NatsPublishOptions)
    async def publish(self, message: object, options: NatsPublishOptions) -> PubAck | None:
        """Send *message*; with a stream, return where it is when that has it.

        None without a stream: nobody says whether anybody has got it; and under a test broker.

        Raises:
            Unroutable: There is a stream to be, and none takes the subject.
        """
        receipt: PubAck | None = await self.out.publish(message, options, options)
        return receipt

    @sends(NatsRequestOptions)
    async def request(self, message: object, options: NatsRequestOptions) -> Message[NatsRecord]:
        """Send *message* and return the answer, its body by `await answer.decode()`.

        Raises:
            RequestTimeout: None came in time.
            RequestFailed: The handler has failed.
            Unroutable: Nobody is there to answer.
        """
        return await self.out.request(message, options, options, options.timeout)

    async def key_value(self, bucket: str, *, declare: bool = True, **config: Any) -> KeyValue:
        """Return the client's *bucket* of keys and values; made by *config* if it is missing."""
        return await self._server.key_value(bucket, declare=declare, **config)

    async def object_storage(
        self, bucket: str, *, declare: bool = True, **config: Any
    ) -> ObjectStore:
        """Return the client's *bucket* of objects; made by *config* if it is missing."""
        return await self._server.object_storage(bucket, declare=declare, **config)

    async def new_inbox(self) -> str:
        """Return a subject that nobody else reads."""
        return f"{self._speaking.inbox_prefix}.{uuid4().hex}"

    @property
    def _server(self) -> NatsConnection:
        connection: Any = self.slot.connection
        if not hasattr(connection, "key_value"):
            raise DeclarationError(
                "buckets are on a server, and there is none under a test broker; what is published"
                " to '$KV.bucket.key' reaches its watchers there"
            )
        return connection  # type: ignore[no-any-return] # as its attribute says
