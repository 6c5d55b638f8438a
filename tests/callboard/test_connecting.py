"""Addresses and options that are known at the start, and not before."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from callboard import App, DeclarationError, MemoryBroker, TestApp
from callboard._caller import caller
from callboard.kafka import KafkaBroker, TestKafkaBroker
from callboard.nats import NatsBroker, TestNatsBroker
from callboard.rabbit import RabbitBroker, TestRabbitBroker
from callboard.redis import RedisBroker, TestRedisBroker
from callboard.security import SASLScram256
from callboard_actors.testing import idle

pytestmark = pytest.mark.anyio


async def test_a_hook_takes_the_address_from_settings() -> None:
    broker = RabbitBroker()
    app, seen = App(broker), list[int]()

    @app.on_startup
    async def configure(url: str) -> None:
        await broker.connect(url, app_id="shop")

    @broker.subscriber("in")
    async def handle(n: int) -> None:
        seen.append(n)

    async with TestRabbitBroker(broker), TestApp(app, {"url": "amqp://ann:secret@there:5673/v"}):
        await broker.publish(1, "in")

    assert seen == [1]
    assert repr(broker) == "<RabbitBroker at amqp://there:5673/v>"


async def test_a_lifespan_takes_the_address_from_settings() -> None:
    broker = KafkaBroker(client_id="shop")

    @asynccontextmanager
    async def lifespan(servers: str) -> AsyncGenerator[None]:
        await broker.connect(servers)
        yield

    app = App(broker, lifespan=lifespan)

    async with TestKafkaBroker(broker), TestApp(app, {"servers": "one:9092,other:9092"}):
        pass

    assert repr(broker) == "<KafkaBroker at one:9092>"
    assert broker.slot.around.kind.urls == ["one:9092", "other:9092"]


async def test_a_broker_that_a_hook_has_connected_is_stopped_with_its_application() -> None:
    broker, seen = MemoryBroker(), list[int]()
    app = App(broker)

    @app.on_startup
    async def connect() -> None:
        await broker.connect()
        await broker.publish(1, "in")

    @broker.subscriber("in")
    async def handle(n: int) -> None:
        seen.append(n)

    async with app:
        assert app.unready == []
        await broker.publish(2, "in")
        await idle()

    assert seen == [2]
    assert not broker.running


async def test_what_was_connected_before_is_left_to_whoever_did_it() -> None:
    broker = MemoryBroker()
    app = App(broker)

    async with broker:
        async with app:
            pass
        assert broker.running


async def test_what_is_not_said_again_stays_and_documents_show_the_new_address() -> None:
    broker = NatsBroker("nats://here:4222", name="shop", inbox_prefix="_SHOP")
    app = App(broker)

    async with TestNatsBroker(broker):
        await broker.start("nats://there:4222")

        assert (await broker.new_inbox()).startswith("_SHOP.")
    assert (
        app.schema.to_specification().to_jsonable()["servers"]["development"]["host"]
        == "there:4222"
    )


async def test_redis_is_told_as_well() -> None:
    broker = RedisBroker("redis://here:6379")

    async with TestRedisBroker(broker):
        await broker.connect("redis://:secret@there:6380")

    assert repr(broker) == "<RedisBroker at redis://there:6380>"


async def test_what_can_t_be_said_is_refused_as_by_the_constructor() -> None:
    broker = KafkaBroker()

    with pytest.raises(
        DeclarationError, match=r"KafkaBroker\.connect\(\): .*do you mean 'client_id'\?"
    ):
        await broker.connect(clientid="x")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue] - the point
    with pytest.raises(DeclarationError, match="is not for RabbitMQ"):
        await RabbitBroker().connect(security=SASLScram256("ann", "secret"))


def test_a_place_in_our_own_modules_is_nobody_s() -> None:
    assert caller().startswith("test_connecting.py:")
