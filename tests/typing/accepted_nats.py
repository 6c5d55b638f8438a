"""Subscribers, publishers and buckets of NATS have their types."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import assert_type

from callboard import Publisher, Subscriber
from callboard.nats import (
    ConsumerConfig,
    JStream,
    KvWatch,
    NatsBroker,
    NatsMessage,
    NatsPublisher,
    NatsRoute,
    NatsRouter,
    ObjWatch,
    PubAck,
    PullSub,
    Schedule,
)
from callboard_brokers import Message
from callboard_brokers.nats import NatsRecord, NatsTarget
from callboard_brokers.nats.connection import KeyValue, ObjectStore

broker = NatsBroker("nats://one:4222,nats://two:4222", user="alice", password="s", no_echo=True)
NatsBroker(["tls://one:4222"], user_credentials="alice.creds", dead_letter="{address}.dead")
orders = JStream("ORDERS", ["orders.>"], storage="memory")
assert_type(broker.subscriber("orders.{id}", "clerks", max_workers=4), Subscriber[NatsMessage])
assert_type(
    broker.subscriber(
        "orders.*",
        stream=orders,
        durable="billing",
        deliver_policy="new",
        pull_sub=PullSub(100, batch=True),
        config=ConsumerConfig(max_deliver=5),
        key_header="customer",
    ),
    Subscriber[NatsMessage],
)
assert_type(broker.subscriber("*", kv_watch=KvWatch("settings")), Subscriber[NatsMessage])
assert_type(
    broker.subscriber("files", obj_watch=ObjWatch(ignore_deletes=True)), Subscriber[NatsMessage]
)
invoices = broker.publisher("invoices", stream=orders, title="Invoices")
assert_type(invoices, Publisher[NatsTarget])


async def handle(number: int) -> int:
    return number


route = NatsRoute(handle, "in", stream="S", publishers=[NatsPublisher("out", stream="S")])
router = NatsRouter("shop.", handlers=[route])


async def publish() -> None:
    later = Schedule(datetime.now(UTC), "orders.due")
    assert_type(await broker.publish(1, "a", reply_to="b"), PubAck | None)
    assert_type(await broker.publish(1, "a", stream="S", schedule=later), PubAck | None)
    answer = await broker.request(1, "prices", timeout=5)
    assert_type(answer, Message[NatsRecord])
    assert_type(await broker.key_value("settings", history=5), KeyValue)
    assert_type(await broker.object_storage("files", declare=False), ObjectStore)
    assert_type(await broker.new_inbox(), str)
