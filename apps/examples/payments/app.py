"""Payments on Kafka: each is booked exactly once, those of an account in their order.

    payments -> book -> bookings -> state

What can't be booked goes to `payments.dead`, with the reason in its headers.
"""

from __future__ import annotations

import os
from collections import Counter

from pydantic import BaseModel, PositiveInt

from callboard import App, Context, ContextRepo
from callboard.kafka import KafkaBroker, KafkaResponse

__all__ = ["Booking", "Payment", "app", "broker"]

broker = KafkaBroker(
    os.environ.get("CALLBOARD_KAFKA", "127.0.0.1:19092"),
    dead_letter="{address}.dead",
    context=ContextRepo({"statement": Counter[str]()}),
)
app = App(broker, title="Payments", description="Books payments, exactly once.")


class Payment(BaseModel):
    """So many cents from one account to another."""

    payer: str
    payee: str
    cents: PositiveInt


class Booking(BaseModel):
    """What a payment does to one account."""

    account: str
    cents: int


# Eight payers are served at a time, each in order. The two bookings of a payment and the position
# in `payments` are one transaction of Kafka: both accounts change, or neither, whatever crashes.
@broker.subscriber(
    "payments",
    group_id="booking",
    transactional=True,
    max_workers=8,
    auto_offset_reset="earliest",
)
@broker.publisher("bookings", batch=True)
async def book(payment: Payment) -> list[KafkaResponse]:
    """Take from one account and give to the other."""
    taken = Booking(account=payment.payer, cents=-payment.cents)
    given = Booking(account=payment.payee, cents=payment.cents)
    return [KafkaResponse(each, key=each.account) for each in (taken, given)]


@broker.subscriber(
    "bookings",
    group_id="statements",
    isolation_level="read_committed",
    auto_offset_reset="earliest",
    batch=True,
)
async def state(bookings: list[Booking], statement: Counter[str] = Context()) -> None:
    """Keep the balances; many bookings at a time, since adding up is cheap."""
    for booking in bookings:
        statement[booking.account] += booking.cents
