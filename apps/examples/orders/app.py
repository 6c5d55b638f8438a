"""From letter to parcel: every subscriber is an actor with a mailbox of its own.

    orders.new -> validate -> price -> Invoices -> ship -> orders.shipped
                                |
                              prices: price_of answers

What can't be handled goes to `orders.dead`, with the reason in its headers. Messages carry the
customer as their key: four workers share a stage, and still each customer's orders stay in order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import anyio

from callboard import (
    AckPolicy,
    ActorCrash,
    App,
    Backoff,
    Context,
    ContextRepo,
    Depends,
    ExitReason,
    Header,
    MemoryBroker,
    Supervision,
)
from orders.books import Books, DeadOrder
from orders.models import Invoice, Order, PricedOrder
from orders.prices import PriceList

__all__ = ["app", "broker"]

MAX_TURNOVER: Final = 100_000_000
"""In cents: no more than a million fits into the books."""

broker = MemoryBroker(dead_letter="orders.dead", context=ContextRepo({"books": Books()}))
app = App(broker, title="Orders", description="A shop for stage props.")


@broker.subscriber("orders.new", max_workers=4)
@broker.publisher("orders.validated")
async def validate(order: Order) -> Order:
    """Let pass what is an order: the annotation has seen to that."""
    return order


@broker.subscriber("orders.validated", max_workers=4)
@broker.publisher("orders.priced")
async def price(order: Order) -> PricedOrder:
    """Ask for the price, and wait for the answer. If there is none, this fails as well."""
    answer = await broker.request(order.product, "prices", timeout=5)
    return PricedOrder.model_validate(order.model_dump() | {"price": await answer.decode()})


async def price_list(books: Books = Context()) -> AsyncIterator[PriceList]:
    """Open the price list for one question; close it whatever comes of that."""
    books.opened += 1
    try:
        yield PriceList()
    finally:
        books.closed += 1


# A question that failed is no order: whoever asked hears of it, and nobody gives it up.
@broker.subscriber("prices", max_workers=4, ack_policy=AckPolicy.ACK)
async def price_of(product: str, prices: PriceList = Depends(price_list)) -> int:
    """Answer what a product costs."""
    return await prices.look_up(product)


# The first restart is at once, the second after a second: time to see it in the demo.
@broker.subscriber("orders.priced", supervision=Supervision(backoff=Backoff(1.0, jitter="none")))
@broker.publisher("orders.invoiced")
class Invoices:
    """Numbers the invoices. Its state is its own, and made anew from the books at every start."""

    def __init__(self, books: Books = Context()) -> None:
        self.books = books
        self.number = 0
        self.turnover = 0

    async def on_start(self) -> None:
        """Count what has been written so far."""
        self.number = len(self.books.invoices)
        self.turnover = sum(invoice.order.total for invoice in self.books.invoices)

    async def receive(self, order: PricedOrder) -> Invoice:
        """Write the next invoice."""
        self.number += 1
        self.turnover += order.total
        if self.turnover > MAX_TURNOVER:
            # Both figures are wrong by now. An actor that can't trust its state says so, and is
            # replaced; the order is tried once more, and then set aside.
            raise ActorCrash(f"a turnover of {self.turnover:,} fits into no book")
        invoice = Invoice(number=self.number, order=order)
        self.books.invoices.append(invoice)
        return invoice

    async def on_stop(self, reason: ExitReason) -> None:
        """Note how the shift ended."""
        self.books.shifts.append(reason.kind)


@broker.subscriber("orders.invoiced", max_workers=4)
@broker.publisher("orders.shipped")
async def ship(invoice: Invoice, books: Books = Context()) -> int:
    """Pack the parcel: the more pieces, the longer it takes."""
    await anyio.sleep(invoice.order.quantity / 1000)
    books.shipped[invoice.order.customer].append(invoice.order.number)
    return invoice.number


@broker.subscriber("orders.dead")
async def review(
    body: bytes,
    reason: str = Header("x-exception-type"),
    message: str = Header("x-exception-message"),
    address: str = Header("x-original-address"),
    books: Books = Context(),
) -> None:
    """Keep what could not be handled, as it came."""
    books.dead.append(DeadOrder(body, reason, message, address))
