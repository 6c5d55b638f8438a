"""The payments add up, without a server and on a real one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from uuid import uuid4

import pytest
from anyio import fail_after, sleep
from pydantic import ValidationError

from callboard.kafka import TestKafkaBroker
from payments.app import Payment, broker

pytestmark = pytest.mark.anyio


@pytest.fixture
def statement() -> Iterator[Counter[str]]:
    fresh = Counter[str]()
    broker.context.set_global("statement", fresh)
    yield fresh
    broker.context.set_global("statement", Counter[str]())


async def test_what_one_account_loses_another_gets(statement: Counter[str]) -> None:
    async with TestKafkaBroker(broker):
        for cents in (100, 250):
            payment = Payment(payer="ada", payee="bob", cents=cents)
            await broker.publish(payment, "payments", key=payment.payer)

    assert statement == {"ada": -350, "bob": 350}


async def test_what_is_no_payment_is_not_booked(statement: Counter[str]) -> None:
    async with TestKafkaBroker(broker):
        with pytest.raises(ValidationError):
            await broker.publish({"payer": "ada", "payee": "bob", "cents": -5}, "payments")

    assert statement == {}


@pytest.mark.broker("kafka")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # as the client is
async def test_it_adds_up_on_a_real_server_too(statement: Counter[str], anyio_backend: str) -> None:
    payer, payee = f"payer-{uuid4()}", f"payee-{uuid4()}"
    async with broker:
        await broker.start()
        for cents in range(1, 21):
            payment = Payment(payer=payer, payee=payee, cents=cents)
            await broker.publish(payment, "payments", key=payer)
        with fail_after(45):
            while statement[payee] < 210 or statement[payer] > -210:  # noqa: ASYNC110 - of a counter
                await sleep(0.02)

    assert statement == {payer: -210, payee: 210}
