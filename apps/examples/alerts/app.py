"""Alerts on RabbitMQ: routed by how grave they are and where, and tried again until one is paged.

    alerts (topic) -- critical.* -> alerts.page -> page
                   -- #          -> alerts.journal -> write

What could not be paged after four attempts goes to `alerts.missed`.
"""

from __future__ import annotations

import os

from pydantic import BaseModel

from callboard import AckPolicy, App, Context, ContextRepo, Path
from callboard.rabbit import ExchangeType, QueueType, RabbitBroker, RabbitExchange, RabbitQueue

__all__ = ["Alert", "Board", "alerts", "app", "broker"]


class Alert(BaseModel):
    """What has happened to whom."""

    host: str
    text: str


class Board:
    """What was done with the alerts, for those who look at it."""

    def __init__(self) -> None:
        self.paged: list[str] = []
        self.journal: list[str] = []
        self.missed: list[str] = []


broker = RabbitBroker(
    os.environ.get("CALLBOARD_RABBIT", "amqp://guest:guest@127.0.0.1:25672/"),
    context=ContextRepo({"board": Board()}),
)
app = App(broker, title="Alerts", description="Pages whoever is on call.")

alerts = RabbitExchange("alerts", ExchangeType.TOPIC)
paging = RabbitQueue(
    "alerts.page",
    QueueType.QUORUM,
    routing_key="critical.{place}",
    delivery_limit=3,
    dead_letter_exchange="",
    dead_letter_routing_key="alerts.missed",
)


@broker.subscriber(paging, alerts, ack_policy=AckPolicy.NACK_ON_ERROR)
async def page(alert: Alert, place: str = Path(), board: Board = Context()) -> None:
    """Call whoever is on call there; nobody is in the cellar."""
    if place == "cellar":
        raise ConnectionError(f"no network in the {place}")
    board.paged.append(f"{place}: {alert.host} {alert.text}")


@broker.subscriber(RabbitQueue("alerts.journal", routing_key="#"), alerts)
async def write(alert: Alert, board: Board = Context()) -> None:
    """Keep all of them."""
    board.journal.append(alert.text)


@broker.subscriber(RabbitQueue("alerts.missed", QueueType.QUORUM))
async def miss(alert: Alert, board: Board = Context()) -> None:
    """Keep those that nobody was paged for."""
    board.missed.append(alert.text)
