"""What a handler returns to say more of a record of Apache Kafka, and what a middleware sees."""

from __future__ import annotations

from ._broker import KafkaPublishCommand, KafkaPublishMessage, KafkaResponse

__all__ = ["KafkaPublishCommand", "KafkaPublishMessage", "KafkaResponse"]
