"""A message as Kafka's client takes it, or why Kafka can't carry it; no client is needed for that.

What is wrong is named here, once, for whatever is published: of one's own accord, as a result, as
an answer, as a dead letter, in a batch, in a transaction, and under test.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from callboard_brokers._errors import DestinationError, MessageTooLarge, Unpublishable
from callboard_brokers._message import Message
from callboard_brokers.kafka._records import KafkaTarget
from callboard_brokers.kit import Pair, to_pairs

# Of a batch with one record, as the client counts: 61 bytes before it, and at most 21 around it.
AROUND: Final = 61 + 21
_LAST_TIME: Final = 2**63 - 1


Contents: TypeAlias = tuple[bytes | None, bytes | None, Sequence[Pair]]
"""The value, the key and the headers of a record."""


class Outgoing(NamedTuple):
    """A record as the client takes it."""

    topic: str
    value: bytes | None
    key: bytes | None
    partition: int | None
    timestamp_ms: int | None
    headers: Sequence[Pair]

    @property
    def size(self) -> int:
        """Bytes of a request, as the client counts them."""
        parts = [self.key, self.value]
        for name, value in self.headers:
            parts += [name.encode(), value]
        return AROUND + _number(len(self.headers)) + sum(map(_part, parts))


def outgoing(message: Message, target: KafkaTarget, limit: int | None = None) -> Outgoing:
    """Return *message* as a record for *target*.

    Raises:
        DestinationError: It is a tombstone for no key.
        MessageTooLarge: It has more than *limit* bytes.
        Unpublishable: It holds what Kafka can't carry.
    """
    [(value, key, headers)] = contents((message,), target)
    topic, partition, time = target.topic, target.partition, target.timestamp_ms
    partition = partition if partition is None else _partition(partition, topic)
    time = time if time is None else _timestamp(time, topic)
    record = Outgoing(topic, value, key, partition, time, headers)
    if limit is not None and record.size > limit:
        raise beyond(record, limit)
    return record


def contents(messages: Iterable[Message], target: KafkaTarget) -> Iterator[Contents]:
    """Yield what of *messages* differs in the records for *target*; one by one, and kept by nobody.

    Raises:
        DestinationError: One is a tombstone for no key.
        Unpublishable: One holds what Kafka can't carry.
    """
    topic, own_key, tombstone = target.topic, target.key, target.tombstone
    for message in messages:
        key = message.key if own_key is None else own_key
        if key is not None and not isinstance(key, bytes):
            key = _key(key, topic)
        if key is None and tombstone:
            raise DestinationError(f"a tombstone for {topic!r} says no key to remove: give one")
        value = None if tombstone or message.tombstone else message.body
        if value is not None and type(value) is not bytes:
            value = _body(value, topic)
        yield value, key, to_pairs(message.metadata, topic)


def beyond(record: Outgoing, limit: int) -> MessageTooLarge:
    """Return the error for a *record* that the client would not take: it is longer than *limit*."""
    return too_large(record, f"max_request_size is {limit}: raise it in KafkaOptions")


def too_large(record: Outgoing, advice: str) -> MessageTooLarge:
    """Return the error for a *record* that is beyond a limit."""
    return MessageTooLarge(f"a record of {record.size} bytes for {record.topic!r}: {advice}")


def _body(body: object, topic: str) -> bytes:
    if isinstance(body, bytes):
        return body
    raise Unpublishable(f"the body for {topic!r} is a {type(body).__name__}, not bytes")


def _key(key: object, topic: str) -> bytes:
    if not isinstance(key, str):
        raise Unpublishable(f"the key for {topic!r} is a {type(key).__name__}: give text or bytes")
    try:
        return key.encode()
    except UnicodeEncodeError as error:
        raise Unpublishable(f"the key for {topic!r} can't be written as UTF-8: {error}") from error


def _partition(number: object, topic: str) -> int:
    if type(number) is int and number >= 0:
        return number
    raise Unpublishable(
        f"the topic {topic!r} has no partition {number!r}: give a whole number, at least 0"
    )


def _timestamp(time: object, topic: str) -> int:
    if type(time) is int and 0 <= time <= _LAST_TIME:
        return time
    raise Unpublishable(
        f"timestamp_ms={time!r} for {topic!r}: give milliseconds since 1970, a whole number"
    )


def _part(part: bytes | None) -> int:
    return 1 if part is None else _number(len(part)) + len(part)


def _number(length: int) -> int:
    """Return how many bytes the client writes a length with: seven bits in each, one for the sign."""
    return max(1, (length.bit_length() + 7) // 7)
