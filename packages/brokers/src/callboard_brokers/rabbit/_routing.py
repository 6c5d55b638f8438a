"""RabbitMQ's rules for the broker in memory, which stands in for it under test."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from zlib import crc32

from callboard_brokers._errors import TopologyError, Unroutable
from callboard_brokers._message import Headers, Message
from callboard_brokers.kit import Template
from callboard_brokers.memory import MemoryRecord, MemoryTarget, Onward, Paths, Readership
from callboard_brokers.rabbit._message import (
    Outgoing,
    RabbitMessage,
    Record,
    alike,
    metadata_of,
    outgoing,
)
from callboard_brokers.rabbit._queues import (
    Binding,
    ExchangeType,
    QueueType,
    RabbitExchange,
    RabbitQueue,
)
from callboard_brokers.rabbit._records import RabbitOptions, RabbitSource, RabbitTarget, wait_of

_BUILT_IN: Final = {name: name for name in ("direct", "topic", "fanout", "headers")} | {
    "match": "headers"
}
_NOWHERE: Final = Template("-")
_DAY: Final = 86_400
_UNITS: Final = {"Y": 365 * _DAY, "M": 30 * _DAY, "D": _DAY, "h": 3600, "m": 60, "s": 1}


class RabbitRecord(MemoryRecord):
    """What a queue holds; every message made of it has a `Record` as it comes from a server."""

    __slots__ = ("delay", "lasts", "sent")

    def __init__(
        self, published: Message, address: str, key: bytes | None, path: Mapping[str, str]
    ) -> None:
        super().__init__(published, address, key, path)
        self.sent: Outgoing = published.raw_message
        self.delay = self.lasts = None

    def message(self) -> RabbitMessage:
        """Make a message as a reader gets it."""
        again, sent = self.deliveries > 1, self.sent
        raw = Record(*sent[:4], again, self.sequence, self.address)
        return RabbitMessage.received(raw, self.body, self.address, None, metadata=self.metadata)


@dataclass(frozen=True, slots=True)
class _Bound:
    """What is bound to an exchange: by a *key*, of which None is the empty one."""

    to: RabbitQueue | RabbitExchange
    key: Binding | None
    arguments: Mapping[str, Any] = field(hash=False)

    def path(self, key: str) -> Mapping[str, str] | None:
        """Return what *key* holds for the names in the binding's; None: it does not match."""
        if self.key is None:
            return None if key else {}
        return self.key.match(key)


class _Kept(NamedTuple):
    """A message in a stream, since when, and its path there."""

    since: datetime
    message: Message[Outgoing]
    path: Mapping[str, str]


class RabbitRouting:
    """Exchanges, queues and bindings as they are declared, without a server.

    What RabbitMQ can't carry is refused as there. Streams keep everything.
    """

    def __init__(self, options: RabbitOptions | None = None) -> None:
        self._app_id = (options or RabbitOptions()).app_id
        self._queues: dict[str, RabbitQueue] = {}
        self._exchanges: dict[str, RabbitExchange] = {}
        self._bound: dict[str, dict[_Bound, None]] = {}
        self._made: dict[str, Mapping[str, Any]] = {}
        """What is there, and how it was declared."""
        self._elsewhere: set[tuple[str, str]] = set()
        """Where declared publishers lead: there is somebody, if only in production."""
        self._streams: dict[str, list[_Kept]] = {}
        for name, kind in _BUILT_IN.items():
            self._have_exchange(RabbitExchange(f"amq.{name}", kind))

    def source(self, source: RabbitSource, /) -> Readership:
        """Have the queue of *source* and its binding; those who read the queue share its messages.

        Raises:
            TopologyError: It is there already, and different.
        """
        queue, exchange = source.reads, source.bound_to
        self._have_queue(queue)
        if exchange is not None:
            self._have_exchange(exchange)
            self._bind(exchange, _Bound(queue, source.binding, queue.bind_arguments))
        return Readership(
            None if source.is_stream else queue.name,
            queue.name,
            source.binding.match,
            address=queue.name,
            limit=queue.delivery_limit,
            earlier=lambda: self._earlier(source),
        )

    def target(self, target: RabbitTarget, /) -> MemoryTarget:
        """Say what *target* is called."""
        return MemoryTarget(target.address, delay=wait_of(target))

    def prepare(self, sources: Sequence[RabbitSource], targets: Sequence[RabbitTarget], /) -> None:
        """Have what all of these declare.

        Raises:
            TopologyError: Something is different; or it is not declared, and not there.
        """
        for source in sources:
            self.source(source)
        for target in targets:
            if isinstance(target.exchange, RabbitExchange) and target.exchange.declare:
                self._have_exchange(target.exchange)
            if isinstance(target.queue, RabbitQueue) and not target.through:
                self._have_named(target.queue)
            self._elsewhere.add((target.through, target.key))
        missing = [name for source in sources for name in _needed(source) if name not in self._made]
        if missing:
            raise TopologyError(
                f"{', '.join(missing)}: not there, and declare=False; have it made before, by"
                " broker.declare_queue or broker.declare_exchange",
                missing,
            )

    def carried(self, message: Message, target: RabbitTarget, /) -> Message[Outgoing]:
        """Return *message* as it is on the wire.

        Raises:
            Unpublishable: RabbitMQ can't carry it.
        """
        sent = outgoing(message, target, self._app_id)
        read = metadata_of(Record(*sent[:4]), _NOWHERE)
        carried = Message(sent.body, raw_message=sent, metadata=read)
        if self._streams:
            for name, path in self._reached(sent, carried).items():
                if (kept := self._streams.get(str(name))) is not None:
                    kept.append(_Kept(datetime.now(UTC), carried, path))
        return carried

    def record(
        self, published: Message, address: str, key: bytes | None, path: Mapping[str, str], /
    ) -> RabbitRecord:
        """Make what is stored in a queue, to be read later if it came by a delayed exchange."""
        record = RabbitRecord(published, address, key, path)
        record.lasts = self._lasts(record)
        exchange = self._exchanges.get(record.sent.exchange)
        if exchange is not None and exchange.type == ExchangeType.X_DELAYED_MESSAGE:
            delay = published.headers.get("x-delay")
            record.delay = delay / 1000 if isinstance(delay, int) else None
        return record

    def readers(self, message: Message[Outgoing], target: RabbitTarget, /) -> Paths:
        """Return the queues that get *message*.

        Raises:
            Unroutable: There is no such exchange, or no queue gets a mandatory message.
        """
        sent = message.raw_message
        found = self._reached(sent, message)
        if found or (sent.exchange, sent.routing_key) in self._elsewhere:
            return found
        if sent.exchange and sent.exchange not in self._exchanges:
            raise Unroutable(f"there is no exchange {sent.exchange!r}; declare it")
        if sent.mandatory:
            raise Unroutable(
                f"nobody gets what is published to {target.address!r}: declare a queue and its"
                " binding, or say mandatory=False"
            )
        return found

    def onward(self, record: MemoryRecord, reader: Hashable, reason: str, /) -> Onward:
        """Return what becomes of *record*, which a queue gives up: it goes to the dead letters.

        None: the queue has none, or no queue gets them. At the limit of its deliveries, it is
        rejected as well: whoever reads knows the limit.
        """
        queue = self._queues[str(reader)]
        exchange, key = queue.dead_letter_exchange, queue.dead_letter_routing_key
        if exchange is None or not isinstance(record, RabbitRecord):
            return None
        raw = Record(*record.sent[:4])
        target = RabbitTarget(
            key or raw.routing_key, exchange, mandatory=False, user_id=raw.properties.user_id
        )
        letter = self.carried(_dead(record, queue.name, reason), alike(raw, target))
        found = self._reached(letter.raw_message, letter)
        return (letter, found) if found else None

    def _lasts(self, record: RabbitRecord) -> float | None:
        """Return how long *record* may wait in its queue: as it says, or the queue, if that is less."""
        queue = self._queues.get(record.address)
        if queue is None or queue.queue_type is QueueType.STREAM:
            return None
        said = Record(*record.sent[:4]).properties.expiration
        both = queue.message_ttl, None if said is None else int(said) / 1000
        return min((each for each in both if each is not None), default=None)

    def _earlier(self, source: RabbitSource) -> Iterator[RabbitRecord]:
        """Return what a new reader of *source* finds: nothing, unless that is a stream."""
        name = source.reads.name
        for _, message, path in _from(source.offset, self._streams.get(name, ())):
            yield RabbitRecord(message, name, None, path)

    def _reached(self, sent: Outgoing, message: Message) -> Paths:
        """Follow the bindings from the exchange of *sent* to queues."""
        key = sent.routing_key
        if not sent.exchange:
            return {key: {}} if key in self._queues else {}
        found, names = dict[Hashable, Mapping[str, str]](), [sent.exchange]
        for name in names:  # which grow
            for bound in self._chosen(name, key, message.headers):
                if isinstance(bound.to, RabbitQueue):
                    found.setdefault(bound.to.name, bound.path(key) or {})
                elif bound.to.name not in names:
                    names.append(bound.to.name)
        return found

    def _chosen(self, exchange: str, key: str, headers: Headers) -> Sequence[_Bound]:
        bound = [*self._bound.get(exchange, ())]
        match self._exchanges[exchange].chooses if bound else "":
            case ExchangeType.FANOUT:
                return bound
            case ExchangeType.TOPIC:
                return [each for each in bound if each.path(key) is not None]
            case ExchangeType.HEADERS:
                return [each for each in bound if _matches(each.arguments, headers)]
            case ExchangeType.X_CONSISTENT_HASH | ExchangeType.X_MODULUS_HASH if bound:
                return [bound[crc32(key.encode()) % len(bound)]]
            case _:
                return [each for each in bound if (each.key.wildcard() if each.key else "") == key]

    def _have_queue(self, queue: RabbitQueue) -> None:
        self._queues.setdefault(queue.name, queue)
        if queue.queue_type is QueueType.STREAM:
            self._streams.setdefault(queue.name, [])
        if queue.declare:
            asked = {name: getattr(queue, name) for name in ("durable", "exclusive", "auto_delete")}
            self._have(f"the queue {queue.name!r}", asked | queue.declared)

    def _have_named(self, queue: RabbitQueue) -> None:
        """Have what is published to: one of which only the name is said may be there in any way."""
        if queue.name not in self._queues or queue != RabbitQueue(queue.name):
            self._have_queue(queue)

    def _have_exchange(self, exchange: RabbitExchange) -> None:
        self._exchanges.setdefault(exchange.name, exchange)
        if exchange.declare:
            asked = {name: getattr(exchange, name) for name in ("durable", "auto_delete")}
            asked |= {"type": str(exchange.type), **exchange.declared}
            self._have(f"the exchange {exchange.name!r}", asked)
        if (upper := exchange.bind_to) is not None:
            self._have_exchange(upper)
            key = Binding(exchange.routing_key) if exchange.routing_key else None
            self._bind(upper, _Bound(exchange, key, exchange.bind_arguments))

    def _have(self, what: str, asked: Mapping[str, Any]) -> None:
        there = self._made.setdefault(what, asked)
        different = sorted(
            f"{name}={asked.get(name)!r}, not {there.get(name)!r}"
            for name in {*asked, *there}
            if asked.get(name) != there.get(name)
        )
        if different:
            raise TopologyError(
                f"{what} is declared twice, and the second time with {'; '.join(different)}", [what]
            )

    def _bind(self, exchange: RabbitExchange, bound: _Bound) -> None:
        self._bound.setdefault(exchange.name, {})[bound] = None


def _from(offset: object, kept: Sequence[_Kept]) -> Sequence[_Kept]:
    """Return what of a stream is read from *offset* on."""
    match offset:
        case "first":
            return kept
        case "last":
            return kept[-1:]
        case int():
            return kept[offset:]
        case datetime():
            return [each for each in kept if each.since >= offset.astimezone(UTC)]
        case str() if offset[:-1].isdigit():
            ago = timedelta(seconds=int(offset[:-1]) * _UNITS[offset[-1]])
            return _from(datetime.now(UTC) - ago, kept)
        case _:
            return ()


def _needed(source: RabbitSource) -> Iterator[str]:
    yield f"the queue {source.reads.name!r}"
    exchange = source.bound_to
    while exchange is not None:
        yield f"the exchange {exchange.name!r}"
        exchange = exchange.bind_to


def _matches(asked: Mapping[str, Any], headers: Headers) -> bool:
    """Whether a headers exchange takes a message with *headers* for a binding that has *asked*."""
    how = asked.get("x-match", "all")
    told = how.endswith("-with-x")
    wanted = {
        name: value
        for name, value in asked.items()
        if name != "x-match" and (told or not name.startswith("x-"))
    }
    found = (
        name in headers and (value is None or value == headers[name])
        for name, value in wanted.items()
    )
    return any(found) if how.startswith("any") else all(found)


def _dead(record: RabbitRecord, queue: str, why: str) -> Message:
    """Return the message of *record* with the headers that say why it has died."""
    sent, reason = record.sent, "expired" if why == "expired" else "rejected"
    headers = Record(*sent[:4]).headers
    deaths = [dict[str, Any](each) for each in headers.get("x-death", ())]
    same = [each for each in deaths if (each["queue"], each["reason"]) == (queue, reason)]
    death: dict[str, Any] = same[0] if same else {"reason": reason, "queue": queue, "count": 0}
    death |= {
        "count": death["count"] + 1,
        "exchange": sent.exchange,
        "routing-keys": [sent.routing_key],
        "time": datetime.now(UTC),
    }
    first = {
        "x-first-death-reason": reason,
        "x-first-death-queue": queue,
        "x-first-death-exchange": sent.exchange,
    }
    said: Any = first | headers | {"x-death": [death, *(d for d in deaths if d is not death)]}
    return Message(record.body, metadata=record.metadata.but(headers=said, path={}))
