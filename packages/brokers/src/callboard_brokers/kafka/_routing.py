"""Kafka's rules for the broker in memory, which stands in for it under test."""

from __future__ import annotations

from collections.abc import Mapping

from callboard_brokers.kafka._pattern import path_of
from callboard_brokers.kafka._records import KafkaSource, KafkaTarget, check_topic
from callboard_brokers.memory import MemoryTarget, Route

__all__ = ["KafkaRouting"]


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

    def target(self, target: KafkaTarget, /) -> MemoryTarget:
        """Say where *target* is.

        Raises:
            DestinationError: No topic can have this name.
        """
        check_topic(target.topic)
        return MemoryTarget(target.topic, key=target.key)
