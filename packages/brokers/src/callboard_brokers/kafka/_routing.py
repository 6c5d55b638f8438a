"""Kafka's rules for the broker in memory, which stands in for it under test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import time

from callboard_brokers._message import Message
from callboard_brokers.kafka._message import KafkaMessage, wire_headers
from callboard_brokers.kafka._records import KafkaSource, KafkaTarget, check_topic, path_of
from callboard_brokers.memory import MemoryRecord, MemoryTarget, Route

__all__ = ["KafkaRouting"]


class KafkaRecord(MemoryRecord):
    """Looks like what Kafka's client makes of a record; its partition is the only one, 0."""

    __slots__ = ("_published", "timestamp")

    def __init__(
        self, published: Message, address: str, key: bytes | None, path: Mapping[str, str]
    ) -> None:
        super().__init__(published, address, key, path)
        self._published = published
        self.timestamp = int(time() * 1000)

    def message(self) -> KafkaMessage:
        """Make a message as a reader gets it."""
        return KafkaMessage(self, lambda _: self.metadata)

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
        """The body."""
        return self.body

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """The headers as they would be on the wire."""
        return wire_headers(self._published)


class KafkaRouting:
    """Topics, patterns and groups; a topic has one partition, whichever is named."""

    def source(self, source: KafkaSource, /) -> Route:
        """Prepare *source*: members of a group that read the same share its messages."""
        topics = {*source.topics, *(topic for topic, _ in source.partitions)}

        def match(topic: str) -> Mapping[str, str] | None:
            if source.pattern is None and topic not in topics:
                return None
            return path_of(source.pattern, topic)

        return Route(source.group_id, (source.group_id, source.address), match)

    def record(
        self, published: Message, address: str, key: bytes | None, path: Mapping[str, str], /
    ) -> KafkaRecord:
        """Make what is stored in the queue of a group."""
        return KafkaRecord(published, address, key, path)

    def target(self, target: KafkaTarget, /) -> MemoryTarget:
        """Say where *target* is.

        Raises:
            DestinationError: No topic can have this name.
        """
        check_topic(target.topic)
        return MemoryTarget(target.topic, key=target.key)
