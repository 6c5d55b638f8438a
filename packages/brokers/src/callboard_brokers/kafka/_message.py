"""Kafka's records as messages, and messages as what the client sends.

On the wire every header is bytes. A text is sent as UTF-8, and bytes that are UTF-8 are read as
text; so that headers of bytes come back as bytes whatever they hold, those that could be taken for
text are listed in a header of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, TypeAlias

from callboard_brokers._errors import Unpublishable
from callboard_brokers._message import UNDECODED, Message, Metadata

__all__ = ["KafkaMessage", "Pair", "Record", "metadata_of", "wire_headers"]

Pair: TypeAlias = "tuple[str, bytes | None]"
"""A header as it is on the wire."""

_TYPE, _MESSAGE, _CORRELATION, _REPLY = "content-type", "message_id", "correlation_id", "reply_to"
_BINARY = "callboard-binary"


class Record(Protocol):
    """What the client makes of a record that it has fetched; times are in milliseconds."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None:
        """None is a tombstone."""
        ...

    @property
    def headers(self) -> Sequence[Pair]: ...


class KafkaMessage(Message[Record]):
    """A message from Kafka; `raw_message` is the client's record."""

    __slots__ = ()

    def __init__(
        self,
        record: Record,
        load: Callable[[Record], Metadata],
        metadata: Metadata | None = None,
    ) -> None:
        # Everything that the base would do, in a third of the time.
        self.body = record.value or b""
        self.tombstone = record.value is None
        self.address = record.topic
        self.key = record.key
        self.raw_message = record
        self.delivery = self.binding = None
        self._metadata = metadata
        self._decoded = UNDECODED
        self._load = load

    # Asked of every message, the rest of most of them never: reading all takes several times as
    # long as looking for one. They say what `metadata_of` would.

    @property
    def content_type(self) -> str | None:
        """The media type of the body; None if the sender did not say."""
        known = self._metadata
        return self._said(_TYPE) if known is None else known.content_type

    @property
    def reply_to(self) -> str | None:
        """The topic that waits for an answer; None if nobody does."""
        known = self._metadata
        return self._said(_REPLY) if known is None else known.reply_to

    def _said(self, wanted: str) -> str | None:
        """Return the last header by the name *wanted*."""
        found = None
        for name, value in self.raw_message.headers:
            if name == wanted:
                found = value or b""
        return None if found is None else found.decode(errors="replace")


def metadata_of(record: Record, path: Mapping[str, str]) -> Metadata:
    """Read what travels beside the body of *record*; of a repeated header the last.

    A list of binary headers that is no text was not written by us: it is a header like any other.
    """
    wire = {name: value or b"" for name, value in record.headers}
    binary = _text(wire.get(_BINARY, b""))
    listed: Sequence[str] = ()
    if isinstance(binary, str):
        listed = binary.split(",") if binary else ()
        wire.pop(_BINARY, None)
    headers = {name: v if name in listed else _text(v) for name, v in wire.items()}
    return Metadata(
        headers,
        _id(headers.pop(_TYPE, None)),
        _id(headers.pop(_MESSAGE, None)),
        _id(headers.pop(_CORRELATION, None)),
        _id(headers.pop(_REPLY, None)),
        path,
        record.headers,
    )


def wire_headers(message: Message, address: str = "") -> list[Pair]:
    """Return the headers and ids of *message*, for *address*, as the client takes them.

    Raises:
        Unpublishable: One of them is neither text nor bytes, or text that is no UTF-8.
    """
    metadata = message.metadata
    wire, there = _kept(metadata.pairs)
    binary: list[str] = []
    name, value = "", None
    try:
        for name, value in metadata.headers.items():
            if name in there:
                continue
            name.encode()
            wire.append((name, value if isinstance(value, bytes) else value.encode()))
            if isinstance(value, bytes) and isinstance(_text(value), str):
                binary.append(name)
        for name, value in (
            (_TYPE, metadata.content_type),
            (_MESSAGE, metadata.message_id),
            (_CORRELATION, metadata.correlation_id),
            (_REPLY, metadata.reply_to),
        ):
            if value is not None and name not in there:
                wire.append((name, value.encode()))
    except (AttributeError, UnicodeEncodeError) as error:
        raise _unpublishable(name, value, error, address) from error
    if binary:
        wire.append((_BINARY, ",".join(binary).encode()))
    return wire


def _kept(pairs: Sequence[Pair]) -> tuple[list[Pair], Collection[str]]:
    """Return what came by Kafka as it came, and its names; nobody may answer it, unless we say so."""
    if not pairs:
        return [], ()
    kept = [pair for pair in pairs if pair[0] != _REPLY]
    return kept, {name for name, _ in kept}


def _unpublishable(name: object, value: object, error: Exception, address: str) -> Unpublishable:
    where = f"the header {name!r} for {address!r}"
    if isinstance(error, UnicodeEncodeError):
        return Unpublishable(f"{where} can't be written as UTF-8: {error}")
    return Unpublishable(
        f"{where} is a {type(value).__name__}: its name has to be text, and its value text or bytes"
    )


def _text(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _id(value: str | bytes | None) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
