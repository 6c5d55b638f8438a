"""Kafka's rules for the broker in memory, which stands in for it under test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from time import time

from callboard_brokers._errors import DestinationError
from callboard_brokers._message import Message
from callboard_brokers.kafka._message import KafkaMessage, metadata_of
from callboard_brokers.kafka._parcel import Outgoing, outgoing
from callboard_brokers.kafka._records import (
    KafkaOptions,
    KafkaSource,
    KafkaTarget,
    Topic,
    check_topic,
    path_of,
)
from callboard_brokers.kit import Pair
from callboard_brokers.memory import MemoryRecord, MemoryTarget, Readership


class KafkaRecord(MemoryRecord):
    """Looks like what Kafka's client makes of a record; its partition is the only one, 0."""

    __slots__ = ("headers", "load", "timestamp")

    def __init__(
        self, published: Message, address: str, key: bytes | None, path: Mapping[str, str]
    ) -> None:
        super().__init__(published, address, key, path)
        sent = published.raw_message
        given = sent.timestamp_ms if isinstance(sent, Outgoing) else None
        self.headers: Sequence[Pair] = published.metadata.pairs
        self.timestamp = int(time() * 1000) if given is None else given
        self.load = partial(metadata_of, path=path)

    def message(self) -> KafkaMessage:
        """Make a message as a reader gets it."""
        return KafkaMessage.received(self, self.value, self.address, self.key, self.load)

    @property
    def topic(self) -> str:
        """The topic."""
        return self.address

    @property
    def partition(self) -> int:
        """The partition."""
        return 0

    @property
    def offset(self) -> int:
        """The place in the queue of the group."""
        return self.sequence

    @property
    def value(self) -> bytes | None:
        """The body; None is a tombstone."""
        return None if self.tombstone else self.body


class KafkaRouting:
    """Topics, patterns and groups; a topic has one partition, whichever is named.

    What Kafka can't carry, and what *options* do not allow, is refused as there: see `_parcel.py`.
    """

    def __init__(self, options: KafkaOptions | None = None) -> None:
        self._limit = (options or KafkaOptions()).max_request_size
        declared = options.topics if options is not None else ()
        self._partitions = {
            each.name: each.num_partitions for each in declared if each.num_partitions > 0
        }

    def source(self, source: KafkaSource, /) -> Readership:
        """Prepare *source*: members of a group that read the same share its messages."""
        topics = {*source.topics, *(topic for topic, _ in source.partitions)}

        def match(topic: str) -> Mapping[str, str] | None:
            if source.pattern is None and topic not in topics:
                return None
            return path_of(source.pattern, topic)

        return Readership(source.group_id, (source.group_id, source.address), match)

    def record(
        self, published: Message, address: str, key: bytes | None, path: Mapping[str, str], /
    ) -> KafkaRecord:
        """Make what is stored in the queue of a group."""
        return KafkaRecord(published, address, key, path)

    def carried(self, message: Message, target: KafkaTarget, /) -> Message[Outgoing]:
        """Return *message* as it is on the wire.

        Raises:
            DestinationError: It is for a partition that its topic was declared without.
            Unpublishable: Kafka can't carry it.
        """
        record = outgoing(message, target, self._limit)
        count = self._partitions.get(record.topic)
        if count is None and isinstance(record.topic, Topic) and record.topic.num_partitions > 0:
            count = record.topic.num_partitions
        if count is not None and record.partition is not None and record.partition >= count:
            raise DestinationError(
                f"the topic {record.topic!r} has no partition {record.partition}"
            )
        metadata = message.metadata.but(path={}, pairs=record.headers)
        return Message(record.value, key=record.key, raw_message=record, metadata=metadata)

    def target(self, target: KafkaTarget, /) -> MemoryTarget:
        """Say where *target* is.

        Raises:
            DestinationError: No topic can have this name.
        """
        check_topic(target.topic)
        return MemoryTarget(target.topic, key=target.key)
