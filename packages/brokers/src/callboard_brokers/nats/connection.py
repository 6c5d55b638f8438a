"""The names that need the client: for annotations, and for those who build on the adapter."""

from callboard_brokers.nats._client import Entries, KeyValue, NatsClient, ObjectStore
from callboard_brokers.nats._connection import NatsConnection, NatsSubscription

__all__ = ["Entries", "KeyValue", "NatsClient", "NatsConnection", "NatsSubscription", "ObjectStore"]
