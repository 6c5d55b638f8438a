"""Options that there are not, or of the wrong type."""

from __future__ import annotations

from callboard import AckPolicy, App, MemoryBroker, TestBroker
from callboard.kafka import KafkaRoute
from callboard.rabbit import RabbitBroker, RabbitExchange, RabbitQueue, RabbitResponse, RabbitRoute

broker = MemoryBroker()

MemoryBroker(capacities=10)  # rejected
MemoryBroker(capacity="many")  # rejected
broker.subscriber()  # rejected
broker.subscriber("orders", "parcels")  # rejected
broker.subscriber("orders", max_worker=2)  # rejected
broker.subscriber("orders", max_workers="two")  # rejected
broker.subscriber("orders", ack_policy="ack")  # rejected
broker.subscriber("orders", ordered_by="address")  # rejected
broker.subscriber("orders", capacity=10)  # rejected
broker.subscriber(5)  # rejected
broker.publisher()  # rejected
broker.publisher("invoices", keys="k")  # rejected
broker.publisher("invoices", ack_policy=AckPolicy.ACK)  # rejected
App("broker")  # rejected
App(broker, on_start=[])  # rejected
App(broker, graceful_timeout="long")  # rejected
TestBroker("broker")  # rejected

rabbit = RabbitBroker()
RabbitBroker(5672)  # rejected
RabbitBroker(hosts="localhost")  # rejected
RabbitQueue("q", "lazy")  # rejected
RabbitExchange("e", bind_to="logs")  # rejected
RabbitResponse(1, key="k")  # rejected
RabbitRoute(print, "q", prefetch=1)  # rejected
KafkaRoute(print, "t", grup_id="g")  # rejected
rabbit.subscriber()  # rejected
rabbit.subscriber("orders", "shop", "key")  # rejected
rabbit.subscriber("orders", channel=10)  # rejected
rabbit.publisher("orders", priority="high")  # rejected


async def publish_on_rabbit() -> None:
    await rabbit.publish(1, "orders", key="k")  # rejected
    await rabbit.request(1, "orders", timeout="soon")  # rejected


async def publish() -> None:
    await broker.publish()  # rejected
    await broker.publish(1)  # rejected
    await broker.publish(1, "orders", header={})  # rejected
    await broker.publish(1, "orders", headers={"id": []})  # rejected
    await broker.publish(1, "orders", timeout=5)  # rejected
    await broker.request(1, "orders", timeout="soon")  # rejected
    await broker.publisher("invoices").publish()  # rejected
