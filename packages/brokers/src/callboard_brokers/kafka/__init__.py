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
from callboard_brokers.kafka._security import (
    BaseSecurity,
    SASLOAuthBearer,
    SASLPlaintext,
    SASLScram256,
    SASLScram512,
)

__all__ = [
    "BaseSecurity",
    "Kafka",
    "KafkaMessage",
    "KafkaOptions",
    "KafkaRouting",
    "KafkaSource",
    "KafkaTarget",
    "RebalanceListener",
    "Record",
    "RecordMetadata",
    "SASLOAuthBearer",
    "SASLPlaintext",
    "SASLScram256",
    "SASLScram512",
    "Topic",
    "TopicPartition",
]
