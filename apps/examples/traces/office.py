"""The office: it orders something, and ends when the invoice has come.

order -> orders (Kafka) ... invoices (RabbitMQ) -> file
"""

from __future__ import annotations

import os

from callboard import App
from callboard.annotations import Logger
from callboard.kafka import KafkaBroker
from callboard.rabbit import RabbitBroker
from traces.telemetry import exporting, tracing

__all__ = ["app"]

NAME = os.environ.get("TRACES", "traces")

kafka = KafkaBroker(os.environ.get("CALLBOARD_KAFKA", "127.0.0.1:19092"), instruments=[tracing])
rabbit = RabbitBroker(
    os.environ.get("CALLBOARD_RABBIT", "amqp://guest:guest@127.0.0.1:25672/"),
    instruments=[tracing],
)
app = App(kafka, rabbit, lifespan=exporting)


@rabbit.subscriber(f"{NAME}.invoices")
async def file(invoice: int, logger: Logger) -> None:
    """Keep an invoice."""
    logger.info("filed an invoice of %d", invoice)
    app.exit()


@app.after_startup
async def order() -> None:
    """Order something."""
    await kafka.publish(7, f"{NAME}.orders")
