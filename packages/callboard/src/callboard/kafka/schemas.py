"""What is declared of Apache Kafka itself."""

from __future__ import annotations

from callboard_brokers.kafka import Topic, TopicPartition

__all__ = ["Topic", "TopicPartition"]
