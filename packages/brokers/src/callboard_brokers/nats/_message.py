"""What NATS carries: a subject, one to answer to, a block of headers, and a body."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

from callboard_brokers._errors import (
    BrokerError,
    DestinationError,
    MessageTooLarge,
    PublishFailed,
    Unpublishable,
    Unroutable,
)
from callboard_brokers._message import HeaderValue, Message, Metadata
from callboard_brokers._settlement import Settlement
from callboard_brokers.kit import from_pairs, to_pairs
from callboard_brokers.nats._records import NatsTarget
from callboard_brokers.nats._subject import check_subject

_TOO_LARGE, _OTHER_STREAM = 10054, 10060
_HEAD: Final = b"NATS/1.0\r\n"
_NAME: Final = re.compile(r"[!-9;-~]+")
_read_json: Final = json.JSONDecoder().raw_decode  # `loads` looks for the encoding, and for blanks
_BREAKS: Final = bytes.maketrans(b"\r\n", b"  ")


class NatsRecord:
    """A message as the server sends it."""

    __slots__ = ("confirm", "data", "header", "reply", "subject")

    confirm: Callable[[NatsRecord], Awaitable[object]]
    """Returns when the stream has taken that it is handled; unset where there is nobody to ask."""

    def __init__(self, subject: bytes, reply: bytes, header: bytes, data: bytes) -> None:
        self.subject = subject
        self.reply = reply
        self.header = header
        self.data = data

    @property
    def address(self) -> str:
        """The subject; whoever publishes may write any octets there."""
        return self.subject.decode(errors="replace")

    @property
    def status(self) -> int:
        """What the server says in place of a message; 0: it is one."""
        code = self.header[9:12] if self.header[8:9] == b" " else b""
        return int(code) if code.isdigit() else 0

    @property
    def why(self) -> str:
        """What the server says of its status; may be empty."""
        return self.header[13:].partition(b"\r\n")[0].decode(errors="replace")

    @property
    def metadata(self) -> Stored | None:
        """Where it stands in a stream; None: it came from none."""
        words = self.reply.split(b".")
        if words[:2] != [b"$JS", b"ACK"] or len(words) < 9:
            return None
        start = 2 if len(words) == 9 else 4  # a domain and an account stand in front, in newer ones
        stream, consumer = (word.decode(errors="replace") for word in words[start : start + 2])
        try:
            return Stored(stream, consumer, *map(int, words[start + 2 : start + 7]))
        except (TypeError, ValueError):  # written by somebody else
            return None

    @property
    def reply_to(self) -> str | None:
        """Where an answer is to go to: of what a stream has kept, a header says it."""
        if self.reply and not self.reply.startswith(b"$JS.ACK."):
            return self.reply.decode(errors="replace")
        return self.said(b"reply_to")

    def said(self, name: bytes) -> str | None:
        """Return the last header by that *name*; None if there is none."""
        start = self.header.rfind(b"\r\n%b:" % name)
        if start < 0:
            return None
        value = self.header[start + len(name) + 3 :].partition(b"\r\n")[0]
        return value.removeprefix(b" ").decode(errors="replace")

    def pairs(self) -> list[tuple[str, bytes | None]]:
        """Return the headers, in their order; a line without a colon is none."""
        found: list[tuple[str, bytes | None]] = []
        for line in self.header.split(b"\r\n")[1:]:
            name, colon, value = line.partition(b":")
            if colon:
                found.append((name.decode(errors="replace"), value.removeprefix(b" ")))
        return found


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a message stands in a stream, and how often a consumer has delivered it."""

    stream: str
    consumer: str
    num_delivered: int
    sequence: int
    consumer_sequence: int
    nanoseconds: int
    num_pending: int

    @property
    def timestamp(self) -> datetime:
        """When the stream got it."""
        return datetime.fromtimestamp(self.nanoseconds / 1e9, UTC)


class PubAck(NamedTuple):
    """Where a stream has put a message; *duplicate*: it had one of this id, and keeps that."""

    stream: str
    sequence: int
    duplicate: bool = False


class NatsMessage(Message[NatsRecord]):
    """A message from NATS; `raw_message` is what the server has sent."""

    __slots__ = ()

    # Asked of every message, the rest of most of them never: they say what the metadata would.

    @property
    def content_type(self) -> str | None:
        """The media type of the body; None if the sender did not say."""
        known = self._metadata
        return self.raw_message.said(b"content-type") if known is None else known.content_type

    @property
    def reply_to(self) -> str | None:
        """The subject that waits for an answer; None if nobody does."""
        return self.raw_message.reply_to if self._metadata is None else self._metadata.reply_to

    def header(self, name: str) -> HeaderValue:
        """Return the header by that *name*; None if there is none."""
        return (
            self.raw_message.said(name.encode()) if self._metadata is None else super().header(name)
        )

    async def ack_sync(self) -> None:
        """Settle as handled, and return when the stream has taken that; else it is not settled.

        What is read without a stream, and under a test broker, is only settled.

        Raises:
            NotReceived: This message did not come from a broker.
            ConnectionLost: The server does not say.
        """
        delivery = self._received()
        confirm = getattr(self.raw_message, "confirm", None)
        if confirm is not None and not delivery.settled:
            await confirm(self.raw_message)
        delivery.settle(Settlement.ACK)


def reader(
    path: Callable[[str], Mapping[str, str] | None],
) -> Callable[[NatsRecord], Metadata]:
    """Return what reads the metadata of a record; *path* finds the parameters in its subject."""

    def load(record: NatsRecord) -> Metadata:
        metadata = from_pairs(record.pairs(), path(record.address))
        metadata.reply_to = record.reply_to
        return metadata

    return load


def header_of(message: Message, target: NatsTarget) -> bytes:
    """Return the block of headers of *message*; empty if it has none.

    A text of several lines goes in one. What a stream was told when *message* came to it, is not
    told again: with the id of its original, a copy would be dropped as its duplicate.

    Raises:
        Unpublishable: A header has a name or octets that cannot travel.
    """
    metadata = message.metadata
    came: Collection[str] = ()
    if metadata.pairs:
        came = {name for name, _ in metadata.pairs if name.lower().startswith("nats-")}
    lines = [_HEAD, *_orders(target)]
    for name, value in to_pairs(_to_send(metadata, target), target.subject):
        if name in came:
            continue
        if (start := _start(name)) is None:
            raise Unpublishable(
                f"cannot write the header {name!r} for {target.subject!r}: names are ASCII,"
                " without blanks and colons"
            )
        octets = value or b""
        if b"\n" in octets or b"\r" in octets:
            if isinstance(metadata.headers.get(name), bytes):
                raise Unpublishable(
                    f"cannot write the header {name!r} for {target.subject!r}: NATS carries no line"
                    " breaks in one; put these octets into the body"
                )
            octets = octets.translate(_BREAKS)
        lines += start, octets, b"\r\n"
    return b"" if len(lines) == 1 else b"".join(lines) + b"\r\n"


def reply_of(message: Message, subject: str) -> bytes:
    """Return the subject to answer *message* at, as it travels beside *subject*; empty: none.

    Raises:
        Unpublishable: It is no subject.
    """
    reply = message.reply_to or ""
    try:
        if reply:
            check_subject(reply)
    except DestinationError as error:
        raise Unpublishable(f"cannot publish to {subject!r} with that reply_to: {error}") from error
    return reply.encode()


def publication(subject: bytes, reply: bytes, header: bytes, body: bytes) -> bytes:
    """Return what is written to publish."""
    to = b"%b %b " % (subject, reply) if reply else b"%b " % subject
    if header:
        size = len(header)
        return b"HPUB %b%d %d\r\n%b%b\r\n" % (to, size, size + len(body), header, body)
    return b"PUB %b%d\r\n%b\r\n" % (to, len(body), body)


def check_size(header: bytes, body: bytes, limit: int, subject: str) -> None:
    """Refuse what the server would hang up at: it counts the headers too.

    Raises:
        MessageTooLarge: It is.
    """
    size = len(header) + len(body)
    if size > limit:
        raise MessageTooLarge(
            f"cannot publish {size} bytes to {subject!r}, headers included: the server takes"
            f" {limit}; raise its max_payload"
        )


def receipt(record: NatsRecord) -> PubAck:
    """Return what a stream answers."""
    answer = answer_of(record)
    return PubAck(answer["stream"], answer["seq"], answer.get("duplicate", False))


def answer_of(record: NatsRecord) -> Any:
    """Return what a server says in JSON, as it does of each message that a stream takes.

    Raises:
        ValueError: It is none.
    """
    return _read_json(record.data.decode())[0]


def is_receipt(record: NatsRecord) -> bool:
    """Whether *record* is what a stream answers to whoever publishes to a subject of it."""
    return not record.header and record.data.startswith(b'{"stream":') and b'"seq":' in record.data


def confirmed(target: NatsTarget, record: NatsRecord) -> PubAck:
    """Return what the stream of *target* answers in *record*.

    Raises:
        BrokerError: It has not taken the message.
    """
    subject = target.subject
    if record.status == 503:
        raise Unroutable(
            f"no stream takes what is published to {subject!r}, or there is no JetStream"
        )
    if b'"error"' not in record.data:
        return receipt(record)
    error = answer_of(record)["error"]
    kind: type[BrokerError] = PublishFailed
    if error["err_code"] == _TOO_LARGE:
        kind = MessageTooLarge
    elif error["err_code"] == _OTHER_STREAM:
        raise DestinationError(
            f"{subject!r} is not of the stream {target.stream_name!r}, but of another"
        )
    elif error["code"] == 400:
        kind = Unpublishable
    raise kind(f"cannot publish to {subject!r}: {error.get('description', error)}")


@lru_cache(1024)
def _start(name: str) -> bytes | None:
    """Return how the line of a header begins; None: NATS carries none by that *name*."""
    return f"{name}: ".encode() if _NAME.fullmatch(name) else None


def _to_send(metadata: Metadata, target: NatsTarget) -> Metadata:
    """Return *metadata* as it travels in headers: without a stream there is a place for `reply_to`."""
    if target.stream is not None or metadata.reply_to is None:
        return metadata
    return metadata.but(reply_to=None)


def _orders(target: NatsTarget) -> list[bytes]:
    """Return the headers that are for the stream."""
    orders: list[bytes] = []
    if target.stream is not None:
        name = target.stream if isinstance(target.stream, str) else target.stream.name
        orders.append(b"Nats-Expected-Stream: %b\r\n" % name.encode())
    if target.deduplication_id is not None:
        orders.append(b"Nats-Msg-Id: %b\r\n" % target.deduplication_id.encode())
    if (schedule := target.schedule) is not None:
        orders.append(b"Nats-Schedule: %b\r\n" % schedule.pattern.encode())
        if schedule.timezone is not None:
            orders.append(b"Nats-Schedule-Time-Zone: %b\r\n" % schedule.timezone.encode())
        orders.append(b"Nats-Schedule-Target: %b\r\n" % schedule.target.encode())
    return orders
