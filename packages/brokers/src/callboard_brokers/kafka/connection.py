"""The names that need the client: for annotations, and for those who build on the adapter."""

from callboard_brokers.kafka._connection import KafkaConnection
from callboard_brokers.kafka._subscription import KafkaSubscription

__all__ = ["KafkaConnection", "KafkaSubscription"]
