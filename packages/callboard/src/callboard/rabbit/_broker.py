"""The broker of RabbitMQ, its router and routes, and what they are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from callboard._absent import absent
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
from callboard.security import BaseSecurity, SASLPlaintext
from callboard_asyncapi import AmqpExchange, AmqpPlace, AmqpQueue, AmqpUse
from callboard_brokers import Headers, Message, Preparing
from callboard_brokers.kit import hinted
from callboard_brokers.rabbit import (
    ExchangeType,
    Rabbit,
    RabbitExchange,
    RabbitMessage,
    RabbitOptions,
    RabbitQueue,
    RabbitRouting,
    RabbitSource,
    RabbitTarget,
    Record,
    alike,
    located,
)


@dataclass(frozen=True)
class RabbitConnection(RabbitOptions):
    """Where a `RabbitBroker` connects to, and how; what is given by name comes before the address.

    Of several addresses, the members of a cluster, whichever answers is spoken to until it is lost.
    """

    url: str | Sequence[str] = "amqp://guest:guest@localhost:5672/"
    _: KW_ONLY
    host: str | None = None
    port: int | None = None
    security: BaseSecurity | None = None


@dataclass(frozen=True)
class RabbitBrokerOptions(BrokerOptions, RabbitConnection):
    """What a `RabbitBroker` can be told."""


@dataclass(frozen=True, kw_only=True)
class RabbitSubscriberOptions(SubscriberOptions, RabbitSource):
    """A queue, and how its messages are handled."""


@dataclass(frozen=True)
class RabbitPublisher(PublisherOptions, RabbitTarget):
    """Where results are published to; given to a `RabbitRoute`, it is declared with that."""


@dataclass(frozen=True, kw_only=True)
class RabbitRouteOptions(RabbitSubscriberOptions):
    """A queue, and what is published of the results."""

    publishers: Sequence[RabbitPublisher] = ()


@dataclass(frozen=True)
class RabbitPublishOptions(PublishOptions, RabbitTarget):
    """A queue or an exchange, and what travels beside the body."""


@dataclass(frozen=True, kw_only=True)
class RabbitRequestOptions(RabbitPublishOptions):
    """A queue or an exchange, and how long to wait for an answer from there."""

    timeout: float = 30.0


@hinted(**absent("RabbitResponse"))
class RabbitResponse(Response):
    """What a handler returns to say more of the message that its result becomes.

    What is None is as the publisher says; `RabbitExchange()` is RabbitMQ's own exchange.
    """

    __slots__ = ("_said",)

    def __init__(  # noqa: PLR0913 - each may be said, by name
        self,
        body: object,
        *,
        headers: Headers | None = None,
        correlation_id: str | None = None,
        exchange: str | RabbitExchange | None = None,
        routing_key: str | None = None,
        mandatory: bool | None = None,
        persist: bool | None = None,
        priority: int | None = None,
        expiration: float | timedelta | None = None,
        message_type: str | None = None,
        content_encoding: str | None = None,
        timestamp: datetime | None = None,
        user_id: str | None = None,
        app_id: str | None = None,
        timeout: float | None = None,
    ) -> None:
        super().__init__(body, headers=headers, correlation_id=correlation_id)
        said: dict[str, Any] = {
            "exchange": exchange,
            "routing_key": routing_key,
            "mandatory": mandatory,
            "persist": persist,
            "priority": priority,
            "expiration": expiration,
            "message_type": message_type,
            "content_encoding": content_encoding,
            "timestamp": timestamp,
            "user_id": user_id,
            "app_id": app_id,
            "timeout": timeout,
        }
        self._said = {name: value for name, value in said.items() if value is not None}

    def aim(self, target: RabbitTarget) -> RabbitTarget:
        """Return *target* with what this says of it."""
        return replace(target, **self._said) if self._said else target


def _answer(address: str) -> RabbitTarget:
    """Return where `queue` or `routing key|exchange` is."""
    key, _, exchange = address.partition("|")
    return RabbitTarget(key, exchange)


def _check_together(sources: Sequence[RabbitSource]) -> None:
    """Refuse a queue or an exchange that is declared twice, and differently."""
    routing = RabbitRouting()
    with declaring():
        for each in sources:
            routing.source(each)


def _where(_: RabbitSource, message: Message[Record]) -> Mapping[str, object]:
    record = message.raw_message
    return {
        "x-original-exchange": record.exchange,
        "x-original-routing-key": record.routing_key,
        "x-original-timestamp": record.properties.timestamp,
    }


def _alike(message: Message[Record], target: RabbitTarget) -> RabbitTarget:
    """Return *target* with the properties of what was received; it outlives a restart, or not."""
    record = message.raw_message
    return replace(alike(record, target), persist=target.persist)


class RabbitPublishCommand(PublishCommand):
    """What a middleware sees of a message that leaves; its destination is the routing key."""


def _redirected(target: RabbitTarget, address: str) -> RabbitTarget:
    return replace(target, queue="", routing_key=address)


_KEYLESS: Final = frozenset({ExchangeType.FANOUT, ExchangeType.HEADERS})


def _places(end: RabbitSource | RabbitTarget, *, vhost: str = "/") -> Sequence[Place]:
    if isinstance(end, RabbitTarget):
        return [_published(end, vhost)]
    exchange, queue = end.bound_to, end.reads
    is_keyed = exchange is None or exchange.chooses not in _KEYLESS
    place = AmqpPlace(exchange=_shown(exchange), queue=_queue(queue), vhost=vhost, reads=True)
    use = AmqpUse(routing_key=_given(end.binding.text, queue) or None if is_keyed else None)
    name = f"{queue.given_name or '_'}:{exchange.name if exchange else '_'}"
    address = _given(end.addresses[0], queue)
    return [Place(address=address, name=name, channel=place, operation=use)]


def _published(target: RabbitTarget, vhost: str) -> Place:
    exchange = target.exchange if isinstance(target.exchange, RabbitExchange) else None
    queue = target.queue
    queue = RabbitQueue(queue) if isinstance(queue, str) and queue else queue
    is_keyed = exchange is None or exchange.chooses not in _KEYLESS
    key = target.key if is_keyed else target.routing_key
    if isinstance(queue, RabbitQueue):
        key = _given(key, queue)
    use = AmqpUse(
        routing_key=key or None if is_keyed else None,
        persistent=target.persist,
        mandatory=target.mandatory,
        priority=target.priority,
    )
    place = AmqpPlace(
        exchange=_shown(exchange),
        queue=_queue(queue) if isinstance(queue, RabbitQueue) else None,
        vhost=vhost,
    )
    name = f"{key or '_'}:{target.through or '_'}"
    return Place(address=key or target.through, name=name, channel=place, operation=use)


def _given(address: str, queue: RabbitQueue) -> str:
    """Return *address*, or the given name of *queue* where it is the name of that."""
    return queue.given_name if address == queue.name else address


def _queue(queue: RabbitQueue) -> AmqpQueue:
    return AmqpQueue(
        name=queue.given_name,
        durable=queue.durable,
        exclusive=queue.exclusive,
        auto_delete=queue.auto_delete,
    )


def _shown(exchange: RabbitExchange | None) -> AmqpExchange:
    """Describe *exchange*; of those that plugins bring, documents know no type."""
    if exchange is None or not exchange.name:
        return AmqpExchange()
    kind = str(exchange.chooses)
    return AmqpExchange(
        name=exchange.name,
        type="direct" if kind.startswith("x-") else kind,
        durable=exchange.durable,
        auto_delete=exchange.auto_delete,
    )


RABBIT: Final = BrokerKind(
    command=RabbitPublishCommand,
    redirect=_redirected,
    name="rabbit",
    protocol_version="0.9.1",
    places=_places,
    answer=_answer,
    dead_letter=lambda address, _: RabbitTarget(RabbitQueue(address)),
    where=_where,
    returns=lambda _, queue: RabbitTarget(queue),
    alike=_alike,
    makes_dead_letters=True,
    routing=RabbitRouting,
    together=_check_together,
)


class RabbitRoute(Route):
    """A handler of a queue, to be declared by `RabbitRouter(handlers=[...])`."""

    @sends(RabbitRouteOptions)
    def __init__(self, call: object, options: RabbitRouteOptions) -> None:
        publishers = [(part(each, RabbitTarget), each) for each in options.publishers]
        super().__init__(call, part(options, RabbitSource), options, publishers)


class RabbitRouter(Router, kind=RABBIT):
    """Subscribers and publishers of RabbitMQ."""

    @takes(RabbitSubscriberOptions)
    def subscriber(self, options: RabbitSubscriberOptions) -> Subscriber[RabbitMessage]:
        """Handle the messages of a queue by the function or actor class below."""
        return self.declared.subscriber(part(options, RabbitSource), options)

    @takes(RabbitPublisher)
    def publisher(self, options: RabbitPublisher) -> Publisher[RabbitTarget]:
        """Publish to a queue or an exchange what the function or actor class below returns."""
        return self.declared.publisher(part(options, RabbitTarget), options)


class RabbitBroker(Broker[RabbitTarget], RabbitRouter):
    """RabbitMQ, with everything that is declared on it; on asyncio, as its client is."""

    @takes(RabbitBrokerOptions)
    def __init__(self, options: RabbitBrokerOptions) -> None:
        make, kind = self._reached(options)
        super().__init__(make, options, kind)

    def _reached(
        self, options: RabbitBrokerOptions
    ) -> tuple[MakesAdapter, BrokerKind[RabbitTarget]]:
        security = options.security or BaseSecurity()
        if security.mechanism not in {None, "PLAIN", "EXTERNAL"}:
            raise DeclarationError(
                f"security={security!r} is not for RabbitMQ; give a BaseSecurity, a SASLPlaintext, or"
                " a RabbitExternalAuth"
            )
        user = None
        if isinstance(security, SASLPlaintext):
            user = security.username, security.password
        speaking = replace(
            part(options, RabbitOptions),
            ssl_context=security.context or options.ssl_context,
            external=security.mechanism == "EXTERNAL" or options.external,
        )
        host, port, encrypted = options.host, options.port, speaking.ssl_context is not None
        given = [options.url] if isinstance(options.url, str) else [*options.url] or [""]
        with declaring():
            placed = [located(url, host, port, user, encrypted=encrypted) for url in given]
        url = placed[0][0]
        routing = partial(RabbitRouting, speaking)
        vhost = speaking.virtualhost or unquote(urlsplit(url).path[1:]) or "/"
        kind = replace(
            RABBIT,
            routing=routing,
            url=url,
            urls=[shown for shown, _ in placed],
            protocol=url.partition(":")[0],
            places=partial(_places, vhost=vhost),
        )
        return partial(Rabbit, [secret for _, secret in placed], speaking), kind

    @says(RabbitConnection)
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

    @says(RabbitConnection)
    async def start(self, said: Mapping[str, Any]) -> None:
        """Connect as `connect` does, and start the subscribers; return when all are up.

        Raises:
            DeclarationError: A handler asks for what nobody can give, or as for `connect`.
            NotRunning: It is being stopped, or was stopped meanwhile.
            Exception: What an actor raised that can't be made, or can't start.
        """
        self._told(said, self._reached)
        await super().start()

    @sends(RabbitPublishOptions)
    async def publish(self, message: object, options: RabbitPublishOptions) -> None:
        """Send *message*; return when RabbitMQ has it, in every queue that it was routed to.

        Raises:
            Unroutable: No queue gets it; unless it may be lost, by `mandatory=False`.
        """
        await self.out.publish(message, options, options)

    @sends(RabbitRequestOptions)
    async def request(self, message: object, options: RabbitRequestOptions) -> Message[Record]:
        """Send *message* and return the answer, its body by `await answer.decode()`.

        Raises:
            RequestTimeout: None came in time.
            RequestFailed: The handler has failed.
            Unroutable: No queue gets it.
        """
        return await self.out.request(message, options, options, options.timeout)

    async def declare_queue(
        self, queue: RabbitQueue, exchange: str | RabbitExchange | None = None
    ) -> RabbitQueue:
        """Have *queue* there, bound to *exchange* if one is given, now and after a reconnect.

        Raises:
            TopologyError: It is there and different, or missing and not to be made.
        """
        await self._prepare([RabbitSource(queue, exchange)], [])
        return queue

    async def declare_exchange(self, exchange: RabbitExchange) -> RabbitExchange:
        """Have *exchange* there, and what it is bound to, now and after a reconnect.

        Raises:
            TopologyError: It is there and different, or missing and not to be made.
        """
        await self._prepare([], [RabbitTarget(exchange=exchange)])
        return exchange

    async def _prepare(self, *needed: Sequence[RabbitSource | RabbitTarget]) -> None:
        if isinstance(connection := self.slot.connection, Preparing):
            await connection.prepare(*needed)  # pyright: ignore[reportUnknownMemberType] - isinstance can't say of what
