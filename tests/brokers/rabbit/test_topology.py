"""Queues, exchanges and bindings: made, looked for, and told what is wrong with them."""

from __future__ import annotations

import pytest
from anyio import fail_after, sleep

from callboard_brokers import AccessRefused, Capacity, Message, TopologyError, Unroutable
from callboard_brokers.events import Event
from callboard_brokers.rabbit import (
    ExchangeType,
    Rabbit,
    RabbitExchange,
    RabbitOptions,
    RabbitQueue,
    RabbitSource,
    RabbitTarget,
)
from callboard_brokers.rabbit.connection import RabbitConnection

from .server import Server, bodies, on_both, take

pytestmark = [pytest.mark.anyio, pytest.mark.broker("rabbit"), pytest.mark.slow]


@on_both
async def test_a_queue_with_other_arguments_is_told_with_what_differs(
    connection: RabbitConnection, server: Server, queue: str
) -> None:
    await server.declare(queue, {"x-queue-type": "classic", "x-max-priority": 5})
    source = RabbitSource(RabbitQueue(queue, max_priority=9))

    with pytest.raises(TopologyError, match="x-max-priority") as raised:
        await connection.prepare([source], [])
    assert raised.value.missing == [f"the queue {queue!r}"]
    assert "current is '5'" in str(raised.value)
    with pytest.raises(TopologyError, match="x-max-priority"):
        async with connection.subscribe(source, Capacity(10)) as subscription:
            await subscription.receive(1)


async def test_a_queue_without_arguments_is_the_same_as_a_classic_one(
    connection: RabbitConnection, server: Server, queue: str
) -> None:
    await server.declare(queue)

    await connection.prepare([RabbitSource(queue)], [])


async def test_what_is_not_to_be_declared_has_to_be_there(
    connection: RabbitConnection, queue: str
) -> None:
    exchange = RabbitExchange(f"{queue}.exchange", declare=False)
    source = RabbitSource(RabbitQueue(queue, declare=False), exchange)

    with pytest.raises(TopologyError) as raised:
        await connection.prepare([source], [])
    assert set(raised.value.missing) >= {f"the queue {queue!r}", f"the exchange {exchange.name!r}"}


async def test_a_word_of_the_routing_key_becomes_a_parameter(
    connection: RabbitConnection, server: Server, queue: str
) -> None:
    exchange = RabbitExchange(f"{queue}.logs", ExchangeType.TOPIC, auto_delete=True)
    source = RabbitSource(RabbitQueue(queue, routing_key="logs.{level}.*"), exchange)
    async with connection.subscribe(source, Capacity(10)) as subscription:
        target = RabbitTarget(exchange=exchange, routing_key="logs.error.eu")
        await connection.publish(Message(b"!"), target)
        [delivery] = await take(subscription, 1)
        delivery.ack()

        assert delivery.message.path == {"level": "error"}
        assert delivery.message.raw_message.routing_key == "logs.error.eu"


async def test_an_exchange_is_bound_to_another(connection: RabbitConnection, queue: str) -> None:
    upper = RabbitExchange(f"{queue}.all", ExchangeType.FANOUT, auto_delete=True)
    lower = RabbitExchange(f"{queue}.some", ExchangeType.FANOUT, auto_delete=True, bind_to=upper)
    async with connection.subscribe(RabbitSource(queue, lower), Capacity(10)) as subscription:
        await connection.publish(Message(b"down"), RabbitTarget(exchange=upper))
        taken = await take(subscription, 1)
        taken[0].ack()

        assert bodies(taken) == [b"down"]


async def test_headers_and_hashes_choose_too(connection: RabbitConnection, queue: str) -> None:
    headers = RabbitExchange(f"{queue}.headers", ExchangeType.HEADERS, auto_delete=True)
    hashes = RabbitExchange(f"{queue}.hashes", ExchangeType.X_CONSISTENT_HASH, auto_delete=True)
    wanted = RabbitQueue(queue, bind_arguments={"x-match": "all", "kind": "red"})
    await connection.prepare([RabbitSource(wanted, headers)], [])
    await connection.prepare([RabbitSource(RabbitQueue(queue, routing_key="10"), hashes)], [])
    async with connection.subscribe(RabbitSource(queue), Capacity(10)) as subscription:
        target = RabbitTarget(exchange=headers)
        await connection.publish(Message(b"red", headers={"kind": "red"}), target)
        with pytest.raises(Unroutable):
            await connection.publish(Message(b"blue", headers={"kind": "blue"}), target)
        await connection.publish(Message(b"hashed"), RabbitTarget(exchange=hashes, routing_key="7"))

        assert bodies(await take(subscription, 2)) == [b"red", b"hashed"]


async def test_a_delayed_exchange_needs_a_plugin_and_the_server_says_so(
    rabbit: Rabbit, queue: str
) -> None:
    exchange = RabbitExchange(f"{queue}.later", ExchangeType.X_DELAYED_MESSAGE)
    async with rabbit.connect() as connection:
        with pytest.raises(TopologyError, match="x-delayed-message"):
            await connection.prepare([RabbitSource(queue, exchange)], [])

        with fail_after(45):
            await connection.ping()


@on_both
async def test_a_queue_that_is_deleted_below_its_reader_is_made_again(
    url: str, server: Server, queue: str
) -> None:
    told: list[Event] = []
    async with (
        Rabbit(url, notify=told.append).connect() as connection,
        connection.subscribe(RabbitSource(queue), Capacity(10)) as subscription,
    ):
        await connection.publish(Message(b"before"), RabbitTarget(queue))
        [before] = await take(subscription, 1)
        await server.delete(queue)
        with fail_after(45):
            while True:
                try:
                    await connection.publish(Message(b"after"), RabbitTarget(queue))
                except Unroutable:
                    await sleep(0.05)
                else:
                    break
        before.ack()

        assert bodies(await take(subscription, 1)) == [b"after"]
    assert [each.name for each in told] == ["fetch.failed", "settle.stale"]


async def test_a_queue_of_somebody_else_is_waited_for(url: str, server: Server, queue: str) -> None:
    source = RabbitSource(RabbitQueue(queue, exclusive=True))
    async with Rabbit(url).connect() as first, Rabbit(url).connect() as other:
        async with first.subscribe(source, Capacity(10)):
            pass
        async with other.subscribe(source, Capacity(10)) as subscription:
            assert not subscription.started.is_set()


@pytest.mark.parametrize(
    ("login", "options", "why"),
    [
        ("guest:wrong", RabbitOptions(), "user and the password"),
        ("guest:guest", RabbitOptions(virtualhost="nowhere"), "vhost nowhere not found"),
    ],
)
async def test_who_is_not_let_in_hears_why(
    url: str, login: str, options: RabbitOptions, why: str
) -> None:
    rabbit = Rabbit(url.replace("guest:guest", login), options)
    with fail_after(45), pytest.raises(AccessRefused, match=why) as raised:
        async with rabbit.connect():
            pass

    assert "wrong" not in str(raised.value)
