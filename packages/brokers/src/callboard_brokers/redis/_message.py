"""What Redis carries: octets in a channel, a list, or an entry of a stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from callboard_brokers._message import Message, Metadata
from callboard_brokers.kit import from_pairs, to_pairs
from callboard_brokers.redis._format import (
    MessageFormat,
    asks_nobody,
    body_of,
    opened,
    type_of,
)
from callboard_brokers.redis._records import RedisSource, RedisTarget

FIELD: Final = b"__data__"
"""Where an entry of a stream holds an envelope; entries without are read as documents of JSON."""


class RedisRecord:
    """A message as the server sends it."""

    __slots__ = ("channel", "data", "fields", "id", "pattern")

    def __init__(
        self,
        channel: str,
        data: bytes,
        id: bytes | None = None,  # noqa: A002 - as the server calls it
        fields: Sequence[bytes] = (),
        pattern: str | None = None,
    ) -> None:
        self.channel = channel
        """The name of the channel, the list, or the stream."""
        self.data = data
        """The envelope, or what there is in place of one."""
        self.id = id
        """Where it stands in a stream; of a list, its number among what this reader has taken."""
        self.fields = fields
        """The names and the values of an entry of a stream, by turns, if it is not written by us."""
        self.pattern = pattern
        """The pattern by which a channel is read."""


class RedisMessage(Message[RedisRecord]):
    """A message from Redis; `raw_message` is what the server has sent."""

    __slots__ = ()

    @property
    def content_type(self) -> str | None:
        """The media type of the body; None if the sender did not say."""
        found = type_of(self.raw_message.data) if self._metadata is None else None
        return super().content_type if found is None else found

    @property
    def reply_to(self) -> str | None:
        """Where whoever has sent it waits for an answer; None if nobody does."""
        if self._metadata is None and asks_nobody(self.raw_message.data):
            return None
        return super().reply_to


class RedisChannelMessage(RedisMessage):
    """One of a channel."""

    __slots__ = ()


class RedisListMessage(RedisMessage):
    """One of a list."""

    __slots__ = ()


class RedisStreamMessage(RedisMessage):
    """One of a stream."""

    __slots__ = ()


View: TypeAlias = Callable[[RedisRecord], RedisMessage]
"""Makes of a record what a reader gets."""
_CLASSES: Final = {
    "channel": RedisChannelMessage,
    "list": RedisListMessage,
    "stream": RedisStreamMessage,
}


def view(source: RedisSource, form: type[MessageFormat]) -> View:
    """Return what makes messages of what *source* brings, written in *form* or otherwise."""
    received = _CLASSES[source.kind].received
    plain = form.unpack.__func__ is MessageFormat.unpack.__func__  # type: ignore[attr-defined]
    template = source.pattern
    path: Callable[[str], Mapping[str, str] | None] = template.match if template else lambda _: None

    def load(record: RedisRecord) -> Metadata:
        return from_pairs(opened(record.data)[1], path(record.channel))

    def make(record: RedisRecord) -> RedisMessage:
        data = record.data
        if not plain:  # only the format itself knows what it says
            body, pairs = form.unpack(data)
            metadata = from_pairs(pairs, path(record.channel))
            return received(record, body, record.channel, None, None, metadata)
        return received(record, body_of(data), record.channel, None, load)

    return make


def entry(stream: str, id: bytes, fields: Sequence[bytes]) -> RedisRecord:  # noqa: A002 - as above
    """Return the record of an entry of a stream."""
    if len(fields) == 2 and fields[0] == FIELD:
        return RedisRecord(stream, fields[1], id)
    texts = [each.decode(errors="replace") for each in fields]
    pairs = dict(zip(texts[::2], texts[1::2], strict=False))
    return RedisRecord(stream, json.dumps(pairs).encode(), id, fields)


def written(message: Message, target: RedisTarget, form: type[MessageFormat]) -> bytes:
    """Return *message* as it travels to *target*.

    Raises:
        Unpublishable: It can't.
    """
    address = target.address
    return (target.message_format or form).pack(
        message.body, to_pairs(message.metadata, address), address
    )
