"""Calls of handlers with what they don't take, and what is no handler."""

from __future__ import annotations

from callboard import MemoryBroker

broker = MemoryBroker()
orders = broker.subscriber("orders")


@broker.publisher("invoices")
@broker.subscriber("orders")
async def on_order(order: int, copies: int = 1) -> str:
    return str(order) * copies


@broker.subscriber("parcels")
class Packer:
    def __init__(self, shelf: int) -> None:
        self.shelf = shelf

    async def receive(self, parcel: str) -> None: ...


on_order("one")  # rejected
on_order()  # rejected
on_order(1, copy=2)  # rejected
on_order(1).upper()  # rejected
on_order.mocks()  # rejected
Packer("left")  # rejected
Packer(1).receive(1)  # rejected
orders(5)  # rejected
orders(filter=5)  # rejected


async def call() -> None:
    _: int = await on_order(1)  # rejected
