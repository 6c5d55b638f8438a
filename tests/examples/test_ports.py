"""Ships get their berths, and their calls are counted, without a server and on a real one."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from anyio import fail_after, sleep

from callboard import RequestFailed
from callboard.nats import TestNatsBroker
from ports.app import PORTS, Call, Harbour, broker

pytestmark = pytest.mark.anyio


@pytest.fixture
def harbour() -> Iterator[Harbour]:
    fresh = Harbour()
    broker.context.set_global("harbour", fresh)
    yield fresh
    broker.context.set_global("harbour", Harbour())


async def test_a_ship_gets_a_berth_until_the_port_is_full(harbour: Harbour) -> None:
    async with TestNatsBroker(broker):
        await broker.publish(1, "$KV.limits.oslo")
        answer = await broker.request("Maud", "berths.oslo")

        assert await answer.decode() == 1
        with pytest.raises(RequestFailed, match="Fram has to wait"):
            await broker.request("Fram", "berths.oslo")


async def test_days_are_counted_and_the_ships_of_a_port_are_seen_in_order(
    harbour: Harbour,
) -> None:
    async with TestNatsBroker(broker):
        for number in range(20):
            call = Call(ship=f"ship {number}", days=1 + number % 3)
            await broker.publish(call, f"calls.{number % 2}", stream=PORTS)

    assert harbour.days.total() == sum(1 + number % 3 for number in range(20))
    for port in ("0", "1"):
        ships = [ship for where, ship in harbour.seen if where == port]
        assert ships == [f"ship {number}" for number in range(int(port), 20, 2)]


@pytest.mark.broker("nats")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # as the client is
async def test_they_come_to_a_real_server_too(harbour: Harbour, anyio_backend: str) -> None:
    ship, port = f"Maud {uuid4()}", uuid4().hex
    async with broker:
        await (await broker.key_value("limits")).put(port, b"1")
        await broker.start()
        with fail_after(15):
            while port not in harbour.limits:  # noqa: ASYNC110 - of a dictionary
                await sleep(0.02)
        answer = await broker.request(ship, f"berths.{port}", timeout=15)
        await broker.publish(Call(ship=ship, days=3), f"calls.{port}", stream=PORTS)
        with fail_after(15):
            while (port, ship) not in harbour.seen or not harbour.days[ship]:  # noqa: ASYNC110 - likewise
                await sleep(0.02)

    assert await answer.decode() == 1
    assert harbour.days[ship] == 3
