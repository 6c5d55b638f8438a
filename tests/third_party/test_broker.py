"""A broker of a third party has what every broker has."""

from __future__ import annotations

from pathlib import Path

import pytest
from anyio import Event, fail_after

from callboard.testing import TestBroker

from .sqlite_broker import SqliteBroker, SqliteRouter

pytestmark = pytest.mark.anyio


@pytest.mark.slow
async def test_a_message_goes_from_a_file_through_a_handler_into_the_file(tmp_path: Path) -> None:
    broker, done = SqliteBroker(path=str(tmp_path / "queues.db")), Event()
    totals: list[int] = []

    @broker.publisher("totals")
    @broker.subscriber("orders", group="shop")
    async def add(prices: list[int]) -> int:
        return sum(prices)

    @broker.subscriber("totals", group="shop")
    async def keep(total: int) -> None:
        totals.append(total)
        done.set()

    async with broker:
        await broker.start()
        with fail_after(30):
            await broker.publish([1, 2, 3], "orders")
            await done.wait()

    assert totals == [6]


async def test_the_broker_in_memory_stands_in_for_it() -> None:
    broker, router = SqliteBroker(path="not used"), SqliteRouter(prefix="shop.")

    @router.publisher("totals")
    @router.subscriber("orders")
    async def add(prices: list[int]) -> int:
        return sum(prices)

    broker.include_router(router)
    async with TestBroker(broker):
        await broker.publish([1, 2, 3], "shop.orders")

        assert add.mock.call_args.args == ([1, 2, 3],)
