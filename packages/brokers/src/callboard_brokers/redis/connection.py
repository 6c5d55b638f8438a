"""The names that need the client: for annotations, and for those who build on the adapter."""

from callboard_brokers.redis._client import RedisClient
from callboard_brokers.redis._connection import RedisConnection
from callboard_brokers.redis._subscription import RedisSubscription

__all__ = ["RedisClient", "RedisConnection", "RedisSubscription"]
