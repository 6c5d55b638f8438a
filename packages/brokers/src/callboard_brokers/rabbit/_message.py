"""RabbitMQ's records as messages, and messages as it takes them; no client is needed for that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from struct import pack
from typing import Any, Final, NamedTuple

from callboard_brokers._errors import Unpublishable
from callboard_brokers._message import UNREADABLE, HeaderValue, Message, Metadata
from callboard_brokers.kit import Template
from callboard_brokers.rabbit._records import RabbitTarget
from callboard_brokers.rabbit._table import read_table, short, to_headers, write_table
from callboard_brokers.rabbit._waits import without_waits

_CONTENT_TYPE, _HEADERS, _REPLY_TO = 0x8000, 0x2000, 0x0200
"""Bits that say whether a property is there, in the order of `Properties`."""
_TRANSIENT, _PERSISTENT = b"\x01", b"\x02"


COUNTED: Final = "callboard-deliveries"
"""How often a message had come before it waited, which the server does not know any more."""


class Properties(NamedTuple):
    """What AMQP carries beside a body; None is what the sender did not say."""

    content_type: str | None = None
    content_encoding: str | None = None
    table: bytes | None = None
    """The headers, as they were on the wire."""
    delivery_mode: int | None = None
    """2 is persistent."""
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    """Milliseconds, as RabbitMQ has them."""
    message_id: str | None = None
    timestamp: datetime | None = None
    type: str | None = None
    user_id: str | None = None
    app_id: str | None = None
    cluster_id: str | None = None


class Record:
    """What came, with what the server says of it: `raw_message` of a message."""

    __slots__ = (
        "_properties",
        "body",
        "consumer_tag",
        "delivery_tag",
        "exchange",
        "octets",
        "redelivered",
        "routing_key",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - by position, and every message comes by here
        self,
        exchange: str,
        routing_key: str,
        octets: bytes,
        body: bytes,
        redelivered: bool = False,
        delivery_tag: int = 0,
        consumer_tag: str = "",
    ) -> None:
        self.exchange = exchange
        self.routing_key = routing_key
        self.octets = octets
        self.body = body
        self.redelivered = redelivered
        self.delivery_tag = delivery_tag
        self.consumer_tag = consumer_tag
        self._properties: Properties | None = None

    @property
    def properties(self) -> Properties:
        """Everything beside the body, read when it is first asked for."""
        if self._properties is None:
            self._properties = read_properties(self.octets)
        return self._properties

    @property
    def headers(self) -> dict[str, Any]:
        """The headers by AMQP's own types, with tables and lists among them."""
        return read_table(self.properties.table or b"")

    def number(self, name: str) -> int | None:
        """Return the whole number in a header, none below zero; None: no such is to be read."""
        try:
            value = self.headers.get(name)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, int) and value >= 0 else None

    def has(self, bit: int) -> bool:
        """Whether a property is there."""
        return bool(int.from_bytes(self.octets[:2], "big") & bit)


class RabbitMessage(Message[Record]):
    """A message from RabbitMQ; `raw_message` has the exchange, the properties and the tag."""

    __slots__ = ()

    # Asked of every message, the rest of most of them never. They say what `metadata_of` would.

    @property
    def content_type(self) -> str | None:
        """The media type of the body; None if the sender did not say."""
        if self._metadata is not None:
            return self._metadata.content_type
        octets = self.raw_message.octets
        if not self.raw_message.has(_CONTENT_TYPE):
            return None
        return octets[3 : 3 + int.from_bytes(octets[2:3], "big")].decode(errors="replace")

    @property
    def reply_to(self) -> str | None:
        """The address that waits for an answer; None if nobody does."""
        if self._metadata is None and not self.raw_message.has(_REPLY_TO):
            return None
        return self.metadata.reply_to


def metadata_of(record: Record, binding: Template) -> Metadata:
    """Read what travels beside the body of *record*; *binding* finds the path in its routing key."""
    given = record.properties
    return Metadata(
        _headers(given.table),
        given.content_type,
        given.message_id,
        given.correlation_id,
        given.reply_to,
        binding.match(record.routing_key),
    )


def _headers(table: bytes | None) -> dict[str, HeaderValue]:
    """Return the headers of *table*; of one that is broken, only that: the rest can be read."""
    try:
        return to_headers(without_waits(read_table(table or b"")))
    except (ValueError, RecursionError) as error:
        return {UNREADABLE: str(error)}


def deliveries_of(record: Record) -> int:
    """Return which delivery of a message this is, as a quorum queue counts them."""
    return 1 + sum(record.number(name) or 0 for name in ("x-delivery-count", COUNTED))


def read_properties(octets: bytes) -> Properties:
    """Return what stands behind the length of the body in a header frame."""
    flags, at = int.from_bytes(octets[:2], "big"), 2
    values: list[Any] = [None] * len(_KINDS)
    for place, read in enumerate(_KINDS):
        if flags & (0x8000 >> place):
            values[place], at = read(octets, at)
    return Properties(*values)


def _read_short(octets: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + octets[at]
    return octets[at + 1 : end].decode(errors="replace"), end


def _read_table(octets: bytes, at: int) -> tuple[bytes, int]:
    end = at + 4 + int.from_bytes(octets[at : at + 4], "big")
    return octets[at + 4 : end], end


def _read_octet(octets: bytes, at: int) -> tuple[int, int]:
    return octets[at], at + 1


def _read_time(octets: bytes, at: int) -> tuple[datetime | None, int]:
    seconds = int.from_bytes(octets[at : at + 8], "big")
    try:
        return datetime.fromtimestamp(seconds, UTC), at + 8
    except (OverflowError, ValueError, OSError):
        return None, at + 8


_KINDS: Final[tuple[Callable[[bytes, int], tuple[Any, int]], ...]] = (
    *(_read_short, _read_short, _read_table, _read_octet, _read_octet),
    *[_read_short] * 4,
    _read_time,
    *[_read_short] * 4,
)


class Outgoing(NamedTuple):
    """A message as RabbitMQ takes it."""

    exchange: str
    routing_key: str
    octets: bytes
    """The properties."""
    body: bytes
    mandatory: bool


def outgoing(message: Message, target: RabbitTarget, app_id: str | None = None) -> Outgoing:
    """Return *message* as a record for *target*; *app_id* is what it says if *target* does not.

    Raises:
        Unpublishable: It holds what RabbitMQ can't carry.
    """
    key = target.key
    if type(message.body) is not bytes:
        raise Unpublishable(f"the body for {key!r} is a {type(message.body).__name__}, not bytes")
    return Outgoing(
        target.through,
        key,
        _written(message.metadata, target, target.app_id or app_id),
        message.body,
        # An answer to a direct reply-to may be called unroutable, and arrive all the same.
        target.mandatory and not key.startswith("amq.rabbitmq.reply-to."),
    )


def alike(record: Record, target: RabbitTarget) -> RabbitTarget:
    """Return *target* with the properties of *record*, which goes there; its time is not limited."""
    given = record.properties
    return replace(
        target,
        persist=given.delivery_mode == 2,
        priority=given.priority,
        content_encoding=given.content_encoding,
        timestamp=given.timestamp,
        message_type=given.type,
        app_id=given.app_id,
    )


def _written(given: Metadata, target: RabbitTarget, app_id: str | None) -> bytes:
    values = (
        given.content_type,
        target.content_encoding,
        given.headers or None,
        target.persist,
        target.priority,
        given.correlation_id,
        given.reply_to,
        target.expiration,
        given.message_id,
        target.timestamp,
        target.message_type,
        target.user_id,
        app_id,
    )
    flags, parts, place = 0, list[bytes](), 0
    try:
        for place, value in enumerate(values):
            if value is not None:
                flags |= 0x8000 >> place
                parts.append(_WRITES[place](value))
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise Unpublishable(
            f"cannot write {Properties._fields[place]}={values[place]!r} of a message for"
            f" {target.address!r}: {error}"
        ) from error
    return flags.to_bytes(2, "big") + b"".join(parts)


def _mode(persist: Any) -> bytes:
    return _PERSISTENT if persist else _TRANSIENT


def _octet(number: Any) -> bytes:
    return bytes((number,))


def _milliseconds(seconds: Any) -> bytes:
    whole = seconds / timedelta(seconds=1) if isinstance(seconds, timedelta) else seconds
    if whole < 0:
        raise ValueError("it has passed already")
    return short(str(round(whole * 1000)))


def _time(time: Any) -> bytes:
    return pack(">Q", int(time.timestamp()))


_WRITES: Final[Sequence[Callable[[Any], bytes]]] = (
    *(short, short, write_table, _mode, _octet),
    *(short, short, _milliseconds, short),
    _time,
    *(short, short, short),
)
