"""What every program of this folder shares: a broker, and what becomes of an order."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from pydantic import BaseModel

from callboard import MemoryBroker

broker = MemoryBroker()


class Order(BaseModel):
    """What a customer wants."""

    customer: str
    pieces: int


@broker.subscriber("orders", max_workers=4)
async def price(order: Order) -> float:
    """Say what an order costs."""
    return order.pieces * 2.5


@asynccontextmanager
async def running(_application: object = None) -> AsyncGenerator[None]:
    """Be a lifespan: run the subscribers, and finish what is in hand at the end."""
    async with broker:
        await broker.start()
        yield


async def ask(order: Order) -> object:
    """Send an order, and wait for its price."""
    answer = await broker.request(order, "orders", key=order.customer, timeout=10)
    return await answer.decode()
