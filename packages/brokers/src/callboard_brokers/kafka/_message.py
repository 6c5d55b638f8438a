"""Kafka's records as messages, and messages as what the client sends.

On the wire every header is bytes. A text is sent as UTF-8, and bytes that are UTF-8 are read as
text; so that headers of bytes come back as bytes whatever they hold, those that could be taken for
text are listed in a header of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from callboard_brokers._message import Message, Metadata

__all__ = ["KafkaMessage", "Record", "metadata_of", "wire_headers"]

CORRELATION = "correlation_id"
_IDS = {
    "content-type": "content_type",
    "message_id": "message_id",
    CORRELATION: "correlation_id",
    "reply_to": "reply_to",
}
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
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class KafkaMessage(Message[Record]):
    """A message from Kafka; `raw_message` is the client's record."""

    __slots__ = ()


def metadata_of(record: Record, path: Mapping[str, str]) -> Metadata:
    """Read what travels beside the body of *record*; of a repeated header the last."""
    wire = {name: value or b"" for name, value in record.headers}
    binary = wire.pop(_BINARY, b"").decode().split(",")
    headers = {name: v if name in binary else _text(v) for name, v in wire.items()}
    ids = {ours: _id(headers.pop(name, None)) for name, ours in _IDS.items()}
    return Metadata(headers, path=path, **ids)


def wire_headers(message: Message) -> list[tuple[str, bytes]]:
    """Return the headers and ids of *message* as the client takes them."""
    metadata = message.metadata
    wire: list[tuple[str, bytes]] = []
    binary: list[str] = []
    for name, value in metadata.headers.items():
        if isinstance(value, bytes):
            wire.append((name, value))
            if isinstance(_text(value), str):
                binary.append(name)
        else:
            wire.append((name, value.encode()))
    for name, ours in _IDS.items():
        value = getattr(metadata, ours)
        if value is not None:
            wire.append((name, value.encode()))
    if binary:
        wire.append((_BINARY, ",".join(binary).encode()))
    return wire


def correlation_of(record: Record) -> str | None:
    """Find the correlation id, and read nothing else."""
    return _find(record.headers, CORRELATION)


def _find(headers: Iterable[tuple[str, bytes | None]], wanted: str) -> str | None:
    return next((_id(value) for name, value in headers if name == wanted), None)


def _text(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _id(value: str | bytes | None) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
