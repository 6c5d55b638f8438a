"""Queues that are given no name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from callboard import AsyncAPI
from callboard.rabbit import (
    ExchangeType,
    RabbitBroker,
    RabbitExchange,
    RabbitQueue,
    TestRabbitBroker,
)


def test_a_queue_without_a_name_has_one_of_its_own_and_keeps_it() -> None:
    queue = RabbitQueue("", exclusive=True)

    assert queue.name.startswith("callboard.")
    assert replace(queue, routing_key="news").name == queue.name
    assert queue != RabbitQueue("", exclusive=True)
    assert RabbitQueue("", auto_delete=True).name


def test_documents_do_not_show_the_name_of_a_queue_that_was_given_none() -> None:
    broker = RabbitBroker()
    news = RabbitExchange("news", ExchangeType.FANOUT)

    @broker.subscriber(RabbitQueue("", exclusive=True), news)
    async def first(text: str) -> None: ...

    @broker.subscriber(RabbitQueue("", exclusive=True, routing_key="hot.*"), RabbitExchange("x"))
    async def second(text: str) -> None: ...

    channels = AsyncAPI(broker).to_specification().to_jsonable()["channels"]

    assert [*channels] == ["_:news:First", "_:x:Second"]
    assert channels["_:news:First"].get("address") is None
    assert channels["_:x:Second"]["address"] == "hot.*"
    assert "callboard." not in str(channels)


@pytest.mark.anyio
async def test_each_queue_without_a_name_gets_all_that_is_said() -> None:
    broker = RabbitBroker()
    news = RabbitExchange("news", ExchangeType.FANOUT)
    seen: list[str] = []

    @broker.subscriber(RabbitQueue("", exclusive=True), news)
    async def first(text: str) -> None:
        seen.append(f"first {text}")

    @broker.subscriber(RabbitQueue("", auto_delete=True), news)
    async def second(text: str) -> None:
        seen.append(f"second {text}")

    async with TestRabbitBroker(broker):
        await broker.publish("hello", exchange=news)

    assert sorted(seen) == ["first hello", "second hello"]
