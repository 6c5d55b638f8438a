"""Topics that say what they are like."""

from __future__ import annotations

import pickle

import pytest

from callboard import AsyncAPI, BrokerError
from callboard.kafka import KafkaBroker, KafkaRouter, TestKafkaBroker, Topic


def test_a_topic_is_its_name_and_what_it_is_like() -> None:
    orders = Topic("orders", num_partitions=3, config={"retention.ms": "1"})

    assert orders == "orders"
    assert hash(orders) == hash("orders")
    assert orders != Topic("orders", num_partitions=4)
    assert "eu." + orders == Topic("eu.orders", num_partitions=3, config={"retention.ms": "1"})
    assert pickle.loads(pickle.dumps(orders)) == orders  # noqa: S301 - of our own making
    assert repr(orders) == "Topic('orders', num_partitions=3, replication_factor=-1)"


def test_a_topic_on_a_router_keeps_what_it_is_like() -> None:
    broker, router = KafkaBroker(), KafkaRouter("eu.")
    router.subscriber(Topic("orders", num_partitions=3))
    router.publisher(Topic("bills", 2))
    broker.include_router(router)

    (source,) = [each.source for each in broker.slot.around.subscribers()]
    (target,) = [each.target for each in broker.slot.around.publishers()]

    assert [*source.topics] == [Topic("eu.orders", num_partitions=3)]
    assert target.topic == Topic("eu.bills", 2)
    assert {type(each) for each in AsyncAPI(broker).to_specification().to_jsonable()["channels"]}


@pytest.mark.anyio
async def test_a_test_broker_knows_how_many_partitions_a_topic_has() -> None:
    broker = KafkaBroker()
    topic = Topic("orders", num_partitions=2)
    reader = broker.subscriber(topic)

    async with TestKafkaBroker(broker):
        await broker.publish(1, topic, partition=1)
        assert await reader.get_one()
        with pytest.raises(BrokerError, match="no partition 2"):
            await broker.publish(1, topic, partition=2)
