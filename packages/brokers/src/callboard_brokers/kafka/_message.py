"""Kafka's records as messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from callboard_brokers._message import Message, Metadata
from callboard_brokers.kit import Pair, from_pairs


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

    __slots__ = ()

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
        for name, value in self.raw_message.headers:
            if name == wanted:
                found = value or b""
        return None if found is None else found.decode(errors="replace")


def metadata_of(record: Record, path: Mapping[str, str]) -> Metadata:
    """Read what travels beside the body of *record*; of a repeated header the last."""
    return from_pairs(record.headers, path)
