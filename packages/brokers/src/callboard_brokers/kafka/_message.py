"""Kafka's records as messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, Self

from callboard_brokers._message import UNDECODED, Message, Metadata
from callboard_brokers.kafka._records import TopicPartition
from callboard_brokers.kit import Pair, from_pairs

_TEXTS: Final = {b"application/json": "application/json"}
"""What nearly all headers hold that are asked for: to look it up costs less than to decode it."""


class Bare(Protocol):
    """What the client reads from the bytes of a record; times are in milliseconds."""

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


class Record(Bare, Protocol):
    """A record, and of what partition it is."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...


class FetchedRecord(NamedTuple):
    """A record as it came; times are in milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    """0: the sender has said the time; 1: Kafka has."""
    key: bytes | None
    value: bytes | None
    headers: Sequence[Pair]


class RecordMetadata(Protocol):
    """Where a record has got to: what the client makes of the receipt for it."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int:
        """Where in the log; -1 where nobody was asked to confirm it."""
        ...

    @property
    def timestamp(self) -> int:
        """Milliseconds; that of the sender, unless the topic says otherwise."""
        ...


class KafkaMessage(Message[Record]):
    """A message from Kafka; `raw_message` is the record as it came."""

    __slots__ = ("_of", "_record")
    _of: TopicPartition | None
    _record: Bare

    @classmethod
    def fetched(
        cls,
        record: Bare,
        of: TopicPartition,
        load: Callable[[Record], Metadata],
        metadata: Metadata | None,
    ) -> Self:
        """Make a message of a *record* of that partition, as `received` would.

        `raw_message` is made when it is asked for: that costs as much as to make the message.
        """
        self = cls.__new__(cls)
        self._record = record
        self._of = of
        self.body = body = record.value or b""
        self.tombstone = not body and record.value is None
        self.address = of[0]
        self.key = record.key
        self.delivery = self.binding = None
        self._decoded = UNDECODED
        self._load = load
        self._metadata = metadata
        return self

    @property
    def raw_message(self) -> Record:
        """The record as it came."""
        of = self._of
        if of is not None:
            self._of, self._record = None, _whole(of, self._record)
        return self._record  # type: ignore[return-value]  # pyright: ignore[reportReturnType] - whole

    @raw_message.setter
    def raw_message(self, record: Record) -> None:  # pyright: ignore[reportIncompatibleVariableOverride] - as the attribute, it can be read and set
        self._of, self._record = None, record

    # Asked of every message, the rest of most of them never: reading all takes several times as
    # long as looking for one. They say what `metadata_of` would.

    @property
    def content_type(self) -> str | None:
        """The media type of the body; None if the sender did not say."""
        known = self._metadata
        return self._said("content-type") if known is None else known.content_type

    @property
    def reply_to(self) -> str | None:
        """The topic that waits for an answer; None if nobody does."""
        known = self._metadata
        return self._said("reply_to") if known is None else known.reply_to

    def _said(self, wanted: str) -> str | None:
        """Return the last header by the name *wanted*."""
        found = None
        for name, value in self._record.headers:
            if name == wanted:
                found = value or b""
        return None if found is None else _TEXTS.get(found) or found.decode(errors="replace")


def _whole(of: TopicPartition, record: Any) -> FetchedRecord:
    """Add to the *record* of a partition whose it is."""
    topic, partition = of
    at, timed = record.timestamp, getattr(record, "timestamp_type", 0)
    return FetchedRecord(
        topic, partition, record.offset, at, timed, record.key, record.value, tuple(record.headers)
    )


def metadata_of(record: Record, path: Mapping[str, str]) -> Metadata:
    """Read what travels beside the body of *record*; of a repeated header the last."""
    return from_pairs(record.headers, path)
