"""The broker of Apache Kafka, its router, and what they are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from typing import Any, ClassVar, Final, TypeVar

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
from callboard.declare._takes import part, says, sends, takes, takes_names
from callboard.handle._envelope import Response
from callboard.run._slot import MakesAdapter
from callboard_asyncapi import KafkaReading, KafkaTopic
from callboard_brokers import Flushing, Headers, Message
from callboard_brokers.kafka import (
    Kafka,
    KafkaMessage,
    KafkaOptions,
    KafkaRouting,
    KafkaSource,
    KafkaTarget,
    Record,
    RecordMetadata,
    TopicPartition,
)
from callboard_brokers.kit import hinted, hinting


@dataclass(frozen=True)
class KafkaConnection(KafkaOptions):
    """Where a `KafkaBroker` connects to, and how."""

    bootstrap_servers: str | Sequence[str] = "localhost:9092"
    """One or more `host:port`, also with commas between them."""


@dataclass(frozen=True)
class KafkaBrokerOptions(BrokerOptions, KafkaConnection):
    """What a `KafkaBroker` can be told."""


@dataclass(frozen=True, kw_only=True)
class KafkaSubscriberOptions(SubscriberOptions, KafkaSource):
    """Topics, a pattern or partitions, and how their records are handled."""

    batch_timeout_ms: int | None = None
    """The `batch_timeout` in milliseconds, as users of Kafka's clients may know it."""
    auto_commit_interval_ms: int | None = None
    """The `commit_interval` in milliseconds, likewise."""


Options = TypeVar("Options", bound=KafkaSubscriberOptions)


_NO_DELAY: Final = (
    "Kafka keeps no record back; keep it where it is made until it is due, or give it to a broker that"
    " does: RabbitMQ, or a stream of NATS"
)
_ABSENT: Final = {"delay": _NO_DELAY, "at": _NO_DELAY}


@dataclass(frozen=True)
class KafkaPublisher(PublisherOptions, KafkaTarget):
    """Where results are published to; given to a `KafkaRoute`, it is declared with that."""

    absent: ClassVar[Mapping[str, str]] = _ABSENT


@dataclass(frozen=True)
class KafkaRouteOptions(KafkaSubscriberOptions):
    """Topics, a pattern or partitions, and what is published of the results.

    More than three topics are given by name, `topics=[...]`.
    """

    topic: str | None = None
    second: str | None = None
    third: str | None = None
    _: KW_ONLY
    publishers: Sequence[KafkaPublisher] = ()


@dataclass(frozen=True)
class KafkaPublishOptions(PublishOptions, KafkaTarget):
    """A topic, and what travels beside the body."""

    absent: ClassVar[Mapping[str, str]] = _ABSENT


@dataclass(frozen=True, kw_only=True)
class KafkaRequestOptions(KafkaPublishOptions):
    """A topic, and how long to wait for an answer from there."""

    timeout: float = 30.0


@hinted()
class KafkaResponse(Response):
    """What a handler returns to say more of the record that its result becomes."""

    __slots__ = ("partition", "timestamp_ms")

    def __init__(  # noqa: PLR0913 - each may be said, by name
        self,
        body: object,
        *,
        headers: Headers | None = None,
        correlation_id: str | None = None,
        key: str | bytes | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> None:
        super().__init__(body, headers=headers, correlation_id=correlation_id, key=key)
        self.partition = partition
        self.timestamp_ms = timestamp_ms

    def aim(self, target: KafkaTarget) -> KafkaTarget:
        """Return *target* with what this says of it."""
        key = target.key if self.key is None else self.key
        return replace(self.place(target), key=key)

    def place(self, target: KafkaTarget) -> KafkaTarget:
        """Return *target* with what this says of it beside the key."""
        if self.partition is self.timestamp_ms is None:
            return target
        return replace(
            target,
            partition=target.partition if self.partition is None else self.partition,
            timestamp_ms=target.timestamp_ms if self.timestamp_ms is None else self.timestamp_ms,
        )


class KafkaPublishMessage(KafkaResponse):
    """One of the messages of `publish_batch`, with more to say than a body."""

    __slots__ = ()


def _in_seconds(options: Options) -> Options:
    """Return *options* with what they say in milliseconds said in seconds."""
    if options.transactional and options.batch:
        raise DeclarationError(
            "a batch has no single position that a transaction could commit: give a subscriber"
            " transactional=True or batch=True"
        )
    said: dict[str, Any] = {}
    for name, unsaid, milliseconds in (
        ("batch_timeout", 0.0, options.batch_timeout_ms),
        ("commit_interval", None, options.auto_commit_interval_ms),
    ):
        if milliseconds is None:
            continue
        if getattr(options, name) != unsaid:
            raise DeclarationError(
                f"a subscriber has {name}={getattr(options, name)!r} in seconds, and in"
                " milliseconds too; give one of them"
            )
        said[name] = milliseconds / 1000
    return replace(options, **said)


def _partition(message: Message[Record]) -> TopicPartition:
    return TopicPartition(message.raw_message.topic, message.raw_message.partition)


def _where(source: KafkaSource, message: Message[Record]) -> Mapping[str, object]:
    record = message.raw_message
    return {
        "x-group": source.group_id,
        "x-original-partition": record.partition,
        "x-original-offset": record.offset,
        "x-original-timestamp": record.timestamp,
    }


def _check_groups(sources: Sequence[KafkaSource]) -> None:
    """Refuse a group that shares partitions out and has explicit ones too.

    Kafka takes positions from its members alone as long as it has any, so what is read of explicit
    partitions could never be committed, and would be read again after every restart.
    """
    shared = {each.group_id: each for each in sources if not each.partitions}
    for each in sources:
        other = shared.get(each.group_id)
        if each.partitions and each.group_id is not None and other is not None:
            raise DeclarationError(
                f"the group {each.group_id!r} reads the explicit partitions {each.address!r} and"
                f" shares out {other.address!r}, so Kafka lets it commit nothing of the former:"
                " give one of the two subscribers another group_id"
            )


class KafkaPublishCommand(PublishCommand):
    """What a middleware sees of a record that leaves: `key`, `partition` and `timestamp_ms` too."""


def _place(topic: str) -> Place:
    name = str(topic)  # documents take plain texts alone
    return Place(address=name, channel=KafkaTopic(topic=name))


def _places(end: KafkaSource | KafkaTarget) -> Sequence[Place]:
    if isinstance(end, KafkaTarget):
        return [_place(end.topic)]
    places = [_place(each) for each in end.addresses]
    if end.group_id is None:
        return places
    return [replace(each, operation=KafkaReading(group_id=end.group_id)) for each in places]


KAFKA: Final = BrokerKind(
    command=KafkaPublishCommand,
    name="kafka",
    protocol_version="auto",
    places=_places,
    answer=partial(KafkaTarget, create=False),
    dead_letter=lambda address, _: KafkaTarget(address),
    where=_where,
    routing=KafkaRouting,
    partition=_partition,
    together=_check_groups,
)


class KafkaRoute(Route):
    """A handler of topics, to be declared by `KafkaRouter(handlers=[...])`."""

    @sends(KafkaRouteOptions)
    def __init__(self, call: object, options: KafkaRouteOptions) -> None:
        if named := [each for each in (options.topic, options.second, options.third) if each]:
            options = replace(options, topics=[*named, *options.topics])
        options = _in_seconds(options)
        publishers = [(part(each, KafkaTarget), each) for each in options.publishers]
        super().__init__(call, part(options, KafkaSource), options, publishers)


class KafkaRouter(Router, kind=KAFKA):
    """Subscribers and publishers of Kafka."""

    @takes_names("topics", KafkaSubscriberOptions)
    def subscriber(self, options: KafkaSubscriberOptions) -> Subscriber[KafkaMessage]:
        """Handle the records of topics by the function or actor class below."""
        options = _in_seconds(options)
        return self.declared.subscriber(part(options, KafkaSource), options)

    @takes(KafkaPublisher)
    def publisher(self, options: KafkaPublisher) -> Publisher[KafkaTarget]:
        """Publish to a topic what the function or actor class below returns."""
        return self.declared.publisher(part(options, KafkaTarget), options)


class KafkaBroker(Broker[KafkaTarget], KafkaRouter):
    """Apache Kafka, with everything that is declared on it; on asyncio, as its client is."""

    @takes(KafkaBrokerOptions)
    def __init__(self, options: KafkaBrokerOptions) -> None:
        make, kind = self._reached(options)
        super().__init__(make, options, kind)

    def _reached(self, options: KafkaBrokerOptions) -> tuple[MakesAdapter, BrokerKind[KafkaTarget]]:
        servers, speaking = options.bootstrap_servers, part(options, KafkaOptions)
        addresses = servers.split(",") if isinstance(servers, str) else [*servers]
        kind = replace(
            KAFKA,
            routing=partial(KafkaRouting, speaking),
            url=addresses[0],
            urls=addresses,
            protocol="kafka-secure" if options.security else "kafka",
        )
        return partial(Kafka, addresses, speaking), kind

    @says(KafkaConnection)
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

    @says(KafkaConnection)
    async def start(self, said: Mapping[str, Any]) -> None:
        """Connect as `connect` does, and start the subscribers; return when all are up.

        Raises:
            DeclarationError: A handler asks for what nobody can give, or as for `connect`.
            NotRunning: It is being stopped, or was stopped meanwhile.
            Exception: What an actor raised that can't be made, or can't start.
        """
        self._told(said, self._reached)
        await super().start()

    @sends(KafkaPublishOptions)
    async def publish(self, message: object, options: KafkaPublishOptions) -> RecordMetadata | None:
        """Send *message*; return where it is when Kafka has it, in all replicas that are in sync.

        None for what nobody confirms: with `no_confirm=True`, and under a test broker.
        """
        receipt: RecordMetadata | None = await self.out.publish(message, options, options)
        return receipt

    @hinting
    async def publish_batch(  # noqa: PLR0913 - each may be said, by name
        self,
        *messages: object,
        topic: str,
        key: str | bytes | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Headers | None = None,
        correlation_id: str | None = None,
        reply_to: str | None = None,
        no_confirm: bool = False,
    ) -> None:
        """Send *messages* at once; return when Kafka has them all.

        A `KafkaPublishMessage` among them says for itself what the others are told here. Those of
        a partition keep their order. If one fails, Kafka may have others.
        """
        target = KafkaTarget(
            topic, partition=partition, timestamp_ms=timestamp_ms, no_confirm=no_confirm
        )
        options = PublishOptions(headers=headers, correlation_id=correlation_id, reply_to=reply_to)
        await self.out.publish_batch(messages, target, options, key)

    async def flush(self) -> None:
        """Return when everything has arrived, or failed, that was published with `no_confirm`."""
        if isinstance(connection := self.slot.connection, Flushing):
            await connection.flush()

    @sends(KafkaRequestOptions)
    async def request(self, message: object, options: KafkaRequestOptions) -> Message[Record]:
        """Send *message* and return the answer, its body by `await answer.decode()`.

        Raises:
            RequestTimeout: None came in time.
            RequestFailed: The handler has failed.
        """
        return await self.out.request(message, options, options, options.timeout)
