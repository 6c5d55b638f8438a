"""A shop: an order is in the database, and others hear of it; or neither.

orders.place -> place -> PostgreSQL -> relay -> orders.placed -> pack
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from pydantic import BaseModel, PositiveInt

from callboard import App, Context, ContextRepo, Idempotency
from callboard.nats import JStream, NatsBroker
from callboard.outbox import Outbox
from callboard.postgres import Postgres, PostgresStore

__all__ = ["Order", "app", "broker", "database", "outbox"]

database = Postgres(
    os.environ.get("CALLBOARD_POSTGRES", "postgresql://postgres:postgres@127.0.0.1:25432/postgres")
)
broker = NatsBroker(
    os.environ.get("CALLBOARD_NATS", "127.0.0.1:24222"),
    context=ContextRepo({"parcels": list[str]()}),
)
outbox = Outbox(broker, database, table="shop_outbox")
stream = JStream("SHOP", ["orders.*"], storage="memory")


@asynccontextmanager
async def lifespan() -> AsyncGenerator[None]:
    """Have the tables before anybody orders."""
    async with database:
        await outbox.create()
        async with database.connection() as connection:
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS shop_orders (id text PRIMARY KEY, cents bigint NOT NULL)"
            )
        yield


app = App(broker, title="Shop", description="Takes orders, and packs them.", lifespan=lifespan)


class Order(BaseModel):
    """So much for one parcel."""

    id: str
    customer: str
    cents: PositiveInt


# The row and the message are one transaction: a crash leaves both or neither. An order that comes
# twice finds its row, and nobody hears of it again.
@broker.subscriber("orders.place", stream=stream, durable="place")
async def place(order: Order) -> None:
    """Write the order down, and that others are to hear of it."""
    async with database.connection() as connection, connection.transaction():
        is_new = await connection.fetchval(
            "INSERT INTO shop_orders VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true",
            order.id,
            order.cents,
        )
        if is_new:
            await outbox.publish(
                connection, order, "orders.placed", stream="SHOP", ordered_by=order.customer
            )


# The relay may send a message twice, if it dies after the first time; it is packed once.
@broker.subscriber(
    "orders.placed",
    stream=stream,
    durable="pack",
    idempotent=Idempotency(PostgresStore(database, "shop_packed")),
)
async def pack(order: Order, parcels: list[str] = Context()) -> None:
    """Pack what was ordered."""
    parcels.append(order.id)
