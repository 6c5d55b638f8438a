"""Alerts reach whom they are for, without a server and on a real one."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from anyio import fail_after, sleep

from alerts.app import Alert, Board, alerts, broker, page
from callboard.rabbit import TestRabbitBroker

pytestmark = pytest.mark.anyio


@pytest.fixture
def board() -> Iterator[Board]:
    fresh = Board()
    broker.context.set_global("board", fresh)
    yield fresh
    broker.context.set_global("board", Board())


async def test_what_is_critical_is_paged_and_everything_is_written_down(board: Board) -> None:
    async with TestRabbitBroker(broker):
        for key, text in [("critical.attic", "on fire"), ("minor.attic", "dusty")]:
            alert = Alert(host="db1", text=text)
            await broker.publish(alert, exchange=alerts, routing_key=key)

    assert board.paged == ["attic: db1 on fire"]
    assert board.journal == ["on fire", "dusty"]


async def test_what_nobody_can_be_paged_for_is_missed_after_four_attempts(board: Board) -> None:
    async with TestRabbitBroker(broker):
        with pytest.raises(ConnectionError):
            await broker.publish(
                Alert(host="db2", text="wet"), exchange=alerts, routing_key="critical.cellar"
            )
        await sleep(10)

        assert page.mock.call_count == 4

    assert (board.paged, board.missed) == ([], ["wet"])


@pytest.mark.broker("rabbit")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # as the client is
async def test_they_arrive_on_a_real_server_too(board: Board, anyio_backend: str) -> None:
    text = f"on fire {uuid4()}"
    async with broker:
        await broker.start()
        for place in ("attic", "cellar"):
            await broker.publish(
                Alert(host="db1", text=text), exchange=alerts, routing_key=f"critical.{place}"
            )
        with fail_after(45):
            while text not in board.missed or f"attic: db1 {text}" not in board.paged:  # noqa: ASYNC110 - of lists
                await sleep(0.02)

    assert board.journal.count(text) == 2
