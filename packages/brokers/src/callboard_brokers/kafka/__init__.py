"""Apache Kafka behind the port of `callboard_brokers`.

`pip install "callboard-brokers[kafka]"` brings the client; the records do without it.
"""

from callboard_brokers.kafka._adapter import Kafka
from callboard_brokers.kafka._message import KafkaMessage, Record, RecordMetadata
from callboard_brokers.kafka._records import (
    KafkaOptions,
    KafkaSource,
    KafkaTarget,
    RebalanceListener,
    Topic,
    TopicPartition,
)
from callboard_brokers.kafka._routing import KafkaRouting

__all__ = [
    "Kafka",
    "KafkaMessage",
    "KafkaOptions",
    "KafkaRouting",
    "KafkaSource",
    "KafkaTarget",
    "RebalanceListener",
    "Record",
    "RecordMetadata",
    "Topic",
    "TopicPartition",
]

KafkaMessage.__module__ = __name__  # as it is imported
