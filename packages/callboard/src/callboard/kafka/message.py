"""Messages of Apache Kafka."""

from __future__ import annotations

from callboard_brokers.kafka import KafkaMessage

__all__ = ["KafkaMessage"]
