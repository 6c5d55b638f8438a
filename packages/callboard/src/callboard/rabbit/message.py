"""Messages of RabbitMQ."""

from __future__ import annotations

from callboard_brokers.rabbit import RabbitMessage

__all__ = ["RabbitMessage"]
