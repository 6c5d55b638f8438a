"""Publishing, asking, testing and running have their types."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, assert_type

from callboard import (
    AckPolicy,
    App,
    Context,
    ContextRepo,
    MemoryBroker,
    Message,
    Publisher,
    Subscriber,
    Supervision,
    TestApp,
    TestBroker,
    TestMemoryBroker,
)
from callboard.memory import MemoryMessage, MemoryTarget
from callboard_actors import Node
from callboard_brokers import HeaderValue
from callboard_brokers.memory import MemoryRecord

broker = MemoryBroker(
    ack_policy=AckPolicy.NACK_ON_ERROR,
    dead_letter="{address}.dead",
    supervision=Supervision(intensity=3),
    capacity=10,
)
assert_type(broker, MemoryBroker)
assert_type(broker.subscriber("orders"), Subscriber[MemoryMessage])
assert_type(
    broker.subscriber(address="orders", group="clerks", mailbox=1), Subscriber[MemoryMessage]
)
invoices = broker.publisher("invoices", title="Invoices")
assert_type(invoices, Publisher[MemoryTarget])


@asynccontextmanager
async def lifespan(context: ContextRepo) -> AsyncGenerator[None]:
    yield


app = App(broker, lifespan=lifespan, graceful_timeout=5, title="Shop")
assert_type(app.tree(), Node)


@app.on_startup
async def prepare(context: ContextRepo, number: int = Context(default=1)) -> int:
    return number


@app.after_shutdown
def end() -> str:
    return "ended"


assert_type(end(), str)
later: Coroutine[Any, Any, int] = prepare(ContextRepo(), number=2)


async def publish() -> None:
    assert_type(await broker.publish({"id": 1}, "orders"), None)
    assert_type(await broker.publish(b"", address="orders", key="k", delay=1.5), None)
    assert_type(await invoices.publish(1, headers={"a": b"1"}, correlation_id="c"), object)
    answer = await broker.request(1, "prices", timeout=5)
    assert_type(answer, MemoryMessage)
    assert_type(answer.raw_message, MemoryRecord)
    assert_type(await answer.decode(), object)


async def run() -> None:
    async with broker as same:
        assert_type(same, MemoryBroker)
        assert_type(await same.start(), None)
    assert_type(await app.run(), None)


async def test(other: MemoryBroker) -> None:
    async with TestBroker(broker) as one:
        assert_type(one, MemoryBroker)
    async with TestMemoryBroker(broker, connect_only=True) as one:
        assert_type(one, MemoryBroker)
    async with TestBroker(broker, other) as both:
        assert_type(both, tuple[MemoryBroker, MemoryBroker])
    async with TestBroker(broker, other, broker) as several:
        assert_type(several, tuple[MemoryBroker, ...])
    async with TestApp(app) as running:
        assert_type(running, App)


def read(message: Message[MemoryRecord], plain: Message) -> None:
    assert_type(message.raw_message, MemoryRecord)
    assert_type(plain.raw_message, Any)
    assert_type(message.headers.get("id"), HeaderValue)
    assert_type(message.body, bytes)
