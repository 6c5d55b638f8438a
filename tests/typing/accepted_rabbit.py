"""RabbitMQ's own vocabulary has its types, by position as users know it."""

from __future__ import annotations

from datetime import timedelta
from typing import assert_type

from callboard import AckPolicy, Publisher, Subscriber
from callboard.rabbit import (
    Channel,
    ExchangeType,
    QueueType,
    RabbitBroker,
    RabbitExchange,
    RabbitExternalAuth,
    RabbitMessage,
    RabbitPublisher,
    RabbitQueue,
    RabbitResponse,
    RabbitRoute,
    RabbitRouter,
    TestRabbitBroker,
)
from callboard.security import SASLPlaintext
from callboard_brokers import Message
from callboard_brokers.rabbit import RabbitTarget, Record

RabbitBroker(host="localhost", port=5671, virtualhost="shop", security=RabbitExternalAuth())
broker = RabbitBroker(
    "amqp://localhost",
    security=SASLPlaintext("ann", "secret"),
    ack_policy=AckPolicy.NACK_ON_ERROR,
    app_id="shop",
)
orders = RabbitQueue("orders", QueueType.QUORUM, delivery_limit=3, routing_key="order.{country}")
shop = RabbitExchange("shop", ExchangeType.TOPIC, bind_to=RabbitExchange("all"))

assert_type(broker.subscriber("orders"), Subscriber[RabbitMessage])
assert_type(broker.subscriber("orders", "shop"), Subscriber[RabbitMessage])
assert_type(
    broker.subscriber(
        orders, shop, channel=Channel(10), consume_args={"x-priority": 5}, max_workers=4
    ),
    Subscriber[RabbitMessage],
)
invoices = broker.publisher("invoices", shop, routing_key="bill", priority=3, title="Invoices")
assert_type(invoices, Publisher[RabbitTarget])


@invoices
@broker.subscriber(orders, shop)
async def handle(order: str, message: RabbitMessage) -> RabbitResponse:
    assert_type(message.raw_message, Record)
    assert_type(message.raw_message.properties.priority, int | None)
    return RabbitResponse(order, exchange=shop, routing_key="bill.new", expiration=5)


router = RabbitRouter(
    "eu.",
    [RabbitRoute(handle, orders, shop, publishers=[RabbitPublisher("out", persist=False)])],
)
broker.include_router(router)


async def publish() -> None:
    assert_type(await broker.publish(1, "orders"), None)
    await broker.publish(1, orders, shop, expiration=timedelta(seconds=5), mandatory=False)
    await broker.publish(1, exchange="shop", routing_key="order.fr", headers={"a": b"1"})
    answer = await broker.request(1, "prices", timeout=5)
    assert_type(answer, Message[Record])
    assert_type(await broker.declare_queue(orders, shop), RabbitQueue)
    assert_type(await broker.declare_exchange(shop), RabbitExchange)


async def test() -> None:
    async with TestRabbitBroker(broker) as one:
        assert_type(one, RabbitBroker)


def is_urgent(message: RabbitMessage) -> bool:
    return bool(message.raw_message.properties.priority)


urgent = broker.subscriber("urgent")


@urgent(filter=is_urgent)
async def hurry(order: int) -> None:
    assert_type(await urgent.get_one(), RabbitMessage | None)
