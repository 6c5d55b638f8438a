"""RabbitMQ behind the port of `callboard_brokers`.

`pip install "callboard-brokers[rabbit]"` brings the client; the records do without it.
"""

from callboard_brokers.rabbit._adapter import Rabbit
from callboard_brokers.rabbit._address import located
from callboard_brokers.rabbit._message import Properties, RabbitMessage, Record, alike
from callboard_brokers.rabbit._queues import ExchangeType, QueueType, RabbitExchange, RabbitQueue
from callboard_brokers.rabbit._records import Channel, RabbitOptions, RabbitSource, RabbitTarget
from callboard_brokers.rabbit._routing import RabbitRouting

__all__ = [
    "Channel",
    "ExchangeType",
    "Properties",
    "QueueType",
    "Rabbit",
    "RabbitExchange",
    "RabbitMessage",
    "RabbitOptions",
    "RabbitQueue",
    "RabbitRouting",
    "RabbitSource",
    "RabbitTarget",
    "Record",
    "alike",
    "located",
]

RabbitMessage.__module__ = __name__  # as it is imported
