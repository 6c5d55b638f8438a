"""Apache Kafka: `pip install "callboard[kafka]"`.

Members of a `group_id` share the partitions of what they read; without a group, each subscriber
reads everything and commits nothing. Records of a key are handled in their order, whatever
`max_workers` says, and a position is committed when everything before it is settled.
"""

from __future__ import annotations

from callboard._absent import tells
from callboard.testing import TestApp, TestBroker
from callboard_brokers.kafka import (
    KafkaMessage,
    RebalanceListener,
    Record,
    RecordMetadata,
    Topic,
    TopicPartition,
)

from ._broker import (
    KafkaBroker,
    KafkaPublishCommand,
    KafkaPublisher,
    KafkaPublishMessage,
    KafkaResponse,
    KafkaRoute,
    KafkaRouter,
)

__all__ = [
    "ConsumerRecord",
    "KafkaBroker",
    "KafkaMessage",
    "KafkaPublishCommand",
    "KafkaPublishMessage",
    "KafkaPublisher",
    "KafkaResponse",
    "KafkaRoute",
    "KafkaRouter",
    "RebalanceListener",
    "RecordMetadata",
    "TestApp",
    "TestKafkaBroker",
    "Topic",
    "TopicPartition",
]

ConsumerRecord = Record
TestKafkaBroker = TestBroker
tells(globals())
