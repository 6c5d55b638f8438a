"""RabbitMQ: `pip install "callboard[rabbit]"`.

Those who read one queue share its messages; each queue that is bound to an exchange gets its own.
What is declared is there before anything is read, and again after a reconnect. What is published is
persistent and confirmed, and an error if no queue gets it.
"""

from __future__ import annotations

from callboard._absent import tells
from callboard.security import RabbitExternalAuth
from callboard.testing import TestApp, TestBroker
from callboard_brokers.rabbit import (
    Channel,
    ExchangeType,
    QueueType,
    RabbitExchange,
    RabbitMessage,
    RabbitQueue,
)

from ._broker import (
    RabbitBroker,
    RabbitPublishCommand,
    RabbitPublisher,
    RabbitResponse,
    RabbitRoute,
    RabbitRouter,
)

__all__ = [
    "Channel",
    "ExchangeType",
    "QueueType",
    "RabbitBroker",
    "RabbitExchange",
    "RabbitExternalAuth",
    "RabbitMessage",
    "RabbitPublishCommand",
    "RabbitPublisher",
    "RabbitQueue",
    "RabbitResponse",
    "RabbitRoute",
    "RabbitRouter",
    "TestApp",
    "TestRabbitBroker",
]

TestRabbitBroker = TestBroker
tells(globals())
