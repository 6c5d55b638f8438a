"""What was ordered is packed, once, on real servers."""

from __future__ import annotations

from uuid import uuid4

import pytest
from anyio import fail_after, sleep

from parcels.app import Order, app, broker

pytestmark = [pytest.mark.anyio, pytest.mark.broker("postgres", "nats"), pytest.mark.slow]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # as the clients are


async def test_orders_are_packed_in_the_order_of_their_customer() -> None:
    orders = [f"{uuid4()}" for _ in range(5)]
    parcels: list[str] = []
    broker.context.set_global("parcels", parcels)
    await app.start()
    for id_ in (*orders, *orders):  # each is ordered twice, by a nervous customer
        order = Order(id=id_, customer="ada", cents=100)
        await broker.publish(order, "orders.place", stream="SHOP")
    with fail_after(45):
        while len(parcels) < 5:  # noqa: ASYNC110 - of a list
            await sleep(0.02)
    await app.stop()

    assert parcels == orders
