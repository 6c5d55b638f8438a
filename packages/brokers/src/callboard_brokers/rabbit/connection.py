"""The names that need the client: for annotations, and for those who build on the adapter."""

from callboard_brokers.rabbit._connection import RabbitConnection
from callboard_brokers.rabbit._subscription import RabbitSubscription

__all__ = ["RabbitConnection", "RabbitSubscription"]
