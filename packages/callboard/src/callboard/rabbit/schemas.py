"""What is declared of RabbitMQ itself."""

from __future__ import annotations

from callboard_brokers.rabbit import Channel, ExchangeType, QueueType, RabbitExchange, RabbitQueue

__all__ = ["Channel", "ExchangeType", "QueueType", "RabbitExchange", "RabbitQueue"]
