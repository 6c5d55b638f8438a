"""The shop: orders come by Kafka, and an invoice of each leaves by RabbitMQ.

orders (Kafka) -> price -> invoices (RabbitMQ)
"""

from __future__ import annotations

import os

from callboard import App
from callboard.kafka import KafkaBroker
from callboard.opentelemetry import CurrentSpan
from callboard.rabbit import RabbitBroker
from traces.telemetry import exporting, tracing

__all__ = ["app"]

NAME = os.environ.get("TRACES", "traces")
"""What the names of the topic and of the queue begin with."""

kafka = KafkaBroker(os.environ.get("CALLBOARD_KAFKA", "127.0.0.1:19092"), instruments=[tracing])
rabbit = RabbitBroker(
    os.environ.get("CALLBOARD_RABBIT", "amqp://guest:guest@127.0.0.1:25672/"),
    instruments=[tracing],
)
app = App(kafka, rabbit, lifespan=exporting)


@kafka.subscriber(f"{NAME}.orders", group_id=f"{NAME}.shop", auto_offset_reset="earliest")
@rabbit.publisher(f"{NAME}.invoices")
async def price(order: int, span: CurrentSpan) -> int:
    """Make an invoice of an order."""
    span.set_attribute("shop.order", order)
    return order * 10
