"""Routes: handlers that are declared by the router that they are given to."""

from __future__ import annotations

import pytest

from callboard import DeclarationError, TestBroker
from callboard.kafka import KafkaBroker, KafkaPublisher, KafkaRoute, KafkaRouter
from callboard.memory import MemoryBroker, MemoryPublisher, MemoryRoute, MemoryRouter
from callboard.specification import AsyncAPI

pytestmark = pytest.mark.anyio


async def double(number: int) -> int:
    return 2 * number


async def test_a_route_is_declared_by_its_router_with_its_publishers() -> None:
    heard: list[int] = []

    async def hear(number: int) -> None:
        heard.append(number)

    inner = MemoryRouter(
        "inner.",
        [
            MemoryRoute(double, "in", publishers=[MemoryPublisher("out"), MemoryPublisher("out")]),
            MemoryRoute(hear, "out"),
        ],
    )
    broker = MemoryBroker(routers=[MemoryRouter("outer.", routers=[inner])])

    async with TestBroker(broker):
        await broker.publish(3, "outer.inner.in")

    assert heard == [6, 6]
    assert await double(1) == 2


async def test_a_route_of_kafka_has_topics_by_position_and_by_name() -> None:
    route = KafkaRoute(
        double, "a", "b", topics=["c"], group_id="g", publishers=[KafkaPublisher("d")]
    )
    broker = KafkaBroker(routers=[KafkaRouter(handlers=[route])])

    [subscriber], [publisher] = broker.subscribers, broker.publishers

    assert subscriber.source.topics == ["a", "b", "c"]
    assert publisher.target.topic == "d"


def test_a_wrong_option_of_a_route_is_refused_where_it_is_given() -> None:
    with pytest.raises(DeclarationError, match=r"KafkaRoute\(\): .*; do you mean 'group_id'\?"):
        KafkaRoute(double, "a", grup_id="g")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue] - what is refused


async def test_routers_that_are_given_may_be_those_of_several_brokers() -> None:
    router = MemoryRouter(handlers=[MemoryRoute(double, "in", publishers=[MemoryPublisher("out")])])
    one, other = MemoryBroker(routers=[router]), MemoryBroker(routers=[router])

    for broker in (one, other):
        async with TestBroker(broker):
            await broker.publish(1, "in")

            broker.publishers[0].mock.assert_called_once_with(2)


def test_one_false_above_leaves_out_of_the_documents_what_is_below() -> None:
    shown = MemoryRouter(handlers=[MemoryRoute(double, "in")], include_in_schema=True)
    hidden = MemoryBroker(routers=[MemoryRouter(routers=[shown], include_in_schema=False)])
    seen = MemoryBroker(routers=[shown])

    assert not AsyncAPI(hidden).to_specification().document["channels"]
    assert AsyncAPI(seen).to_specification().document["channels"]
