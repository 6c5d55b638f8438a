"""Publishing to a real server: confirmed, in order, and told which one was not."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from anyio import create_task_group, fail_after

from callboard_brokers import (
    BrokerError,
    Capacity,
    Message,
    PublishFailed,
    RequestTimeout,
    Unpublishable,
    Unroutable,
)
from callboard_brokers.events import Event
from callboard_brokers.rabbit import (
    Channel,
    Rabbit,
    RabbitExchange,
    RabbitOptions,
    RabbitQueue,
    RabbitSource,
    RabbitTarget,
)
from callboard_brokers.rabbit.connection import RabbitConnection

from .server import Server, control, on_both, take

pytestmark = [pytest.mark.anyio, pytest.mark.broker("rabbit"), pytest.mark.slow]


@on_both
async def test_of_many_under_way_those_that_nobody_gets_are_told(
    connection: RabbitConnection, server: Server, queue: str
) -> None:
    await server.declare(queue)
    wrong: list[int] = []
    sent = [
        await connection.send(Message(b""), RabbitTarget(f"{queue}.no" if n % 3 == 0 else queue))
        for n in range(3000)
    ]
    for n, each in enumerate(sent):
        try:
            await each.wait()
        except Unroutable:
            wrong.append(n)

    assert wrong == [*range(0, 3000, 3)]


async def test_what_is_published_keeps_its_order(
    connection: RabbitConnection, server: Server, queue: str
) -> None:
    await server.declare(queue)
    for n in range(500):
        await connection.send(Message(b"%d" % n), RabbitTarget(queue))
    await connection.flush()

    assert await server.take_all(queue) == [b"%d" % n for n in range(500)]


async def test_no_more_is_under_way_than_is_allowed(url: str, server: Server, queue: str) -> None:
    await server.declare(queue)
    rabbit = Rabbit(url, RabbitOptions(unconfirmed=5))
    async with rabbit.connect() as connection:
        confirmed: list[BrokerError | None] = []
        for _ in range(50):
            (await connection.send(Message(b""), RabbitTarget(queue))).then(confirmed.append)

        assert len(confirmed) >= 45
        await connection.flush()
        assert confirmed == [None] * 50


async def test_an_exchange_that_is_missing_is_told_and_harms_no_other(
    connection: RabbitConnection, server: Server, queue: str
) -> None:
    await server.declare(queue)
    with pytest.raises(Unroutable, match="nowhere"):
        await connection.publish(Message(b""), RabbitTarget(exchange="nowhere"))
    with pytest.raises(Unroutable, match="nowhere"):
        await connection.reach(RabbitTarget("nowhere"))
    await connection.reach(RabbitTarget(queue))

    await connection.publish(Message(b"after"), RabbitTarget(queue))
    assert await server.take_all(queue) == [b"after"]


async def test_an_exchange_that_goes_while_it_is_published_to_is_told(
    connection: RabbitConnection, server: Server, queue: str
) -> None:
    exchange = RabbitExchange(f"{queue}.exchange")
    target = RabbitTarget(exchange=exchange, routing_key=queue)
    await connection.prepare([RabbitSource(queue, exchange)], [target])
    await connection.publish(Message(b"before"), target)
    await server.delete_exchange(exchange.name)
    with pytest.raises(Unroutable, match="no exchange"):
        await connection.publish(Message(b"into the void"), target)
    with pytest.raises(Unroutable, match="no exchange"):
        await connection.publish(Message(b"again"), target)

    await connection.publish(Message(b"after"), RabbitTarget(queue))
    assert await server.take_all(queue) == [b"before", b"after"]


async def test_the_only_one_for_which_the_channel_is_closed_will_never_be_taken(
    connection: RabbitConnection, server: Server, queue: str
) -> None:
    await server.declare(queue)
    with pytest.raises(Unpublishable, match="user_id"):
        await connection.publish(Message(b""), RabbitTarget(queue, user_id="somebody"))

    await connection.publish(Message(b"after"), RabbitTarget(queue, user_id="guest"))


async def test_when_the_channel_is_closed_each_that_was_under_way_fails_and_none_hangs(
    connection: RabbitConnection, server: Server, queue: str
) -> None:
    await server.declare(queue)
    wrong = RabbitTarget(queue, user_id="somebody")
    sent = [
        await connection.send(Message(b"%d" % n), wrong if n == 50 else RabbitTarget(queue))
        for n in range(100)
    ]
    failed: list[int] = []
    with fail_after(15):
        for n, each in enumerate(sent):
            try:
                await each.wait()
            except PublishFailed:  # not Unpublishable: nobody says which one is to blame
                failed.append(n)
        await connection.publish(Message(b"after"), RabbitTarget(queue))
    there = await server.take_all(queue)

    assert 50 in failed
    assert {*range(100)} - {*failed} <= {int(body) for body in there if body != b"after"}
    assert there[-1] == b"after"


async def test_a_full_queue_takes_nothing(connection: RabbitConnection, queue: str) -> None:
    full = RabbitQueue(queue, max_length=1, overflow="reject-publish")
    await connection.prepare([RabbitSource(full)], [])
    await connection.publish(Message(b""), RabbitTarget(queue))
    with pytest.raises(PublishFailed, match="full") as raised:
        await connection.publish(Message(b""), RabbitTarget(queue))

    assert not raised.value.hopeless


@on_both
async def test_headers_of_every_type_of_amqp_arrive(
    connection: RabbitConnection, server: Server, queue: str
) -> None:
    values = {
        "text": "Zoë",
        "bytes": bytearray(b"\xff"),
        "small": 7,
        "big": 2**40,
        "minus": -1,
        "half": 0.5,
        "nothing": None,
        "yes": True,
        "list": ["a", 1],
        "table": {"a": 1},
        "decimal": Decimal("1.5"),
        "time": datetime(2026, 1, 2, tzinfo=UTC),
    }
    async with connection.subscribe(RabbitSource(queue), Capacity(10)) as subscription:
        await server.publish(queue, values)
        [delivery] = await take(subscription, 1)
        delivery.ack()

    assert delivery.message.headers == values | {
        "bytes": b"\xff",
        "list": '["a", 1]',
        "table": '{"a": 1}',
        "decimal": "1.5",
    }


@on_both
async def test_a_hundred_requests_are_under_way_over_one_connection(
    connection: RabbitConnection, queue: str
) -> None:
    replies: dict[int, bytes] = {}

    async def ask(n: int) -> None:
        reply = await connection.request(Message(b"%d" % n), RabbitTarget(queue), 30.0)
        replies[n] = reply.body

    async with (
        connection.subscribe(RabbitSource(queue), Capacity(200)) as subscription,
        create_task_group() as tasks,
    ):
        for n in range(100):
            tasks.start_soon(ask, n)
        for delivery in reversed(await take(subscription, 100)):
            asked = delivery.message
            reply = Message(b"re: " + asked.body, correlation_id=asked.correlation_id)
            await connection.publish(reply, RabbitTarget(asked.reply_to or ""))
            delivery.ack()

    assert replies == {n: b"re: %d" % n for n in range(100)}


async def test_a_request_to_nobody_fails_at_once_and_one_without_answer_in_time(
    connection: RabbitConnection, server: Server, queue: str
) -> None:
    with pytest.raises(Unroutable), fail_after(45):
        await connection.request(Message(b""), RabbitTarget(queue), 30.0)
    await server.declare(queue)
    with pytest.raises(RequestTimeout):
        await connection.request(Message(b""), RabbitTarget(queue), 0.2)


@pytest.mark.broker("rabbit_node")
@on_both
async def test_a_server_out_of_memory_takes_settlements_and_publishes_when_it_can(
    node: str, url: str, server: Server, queue: str
) -> None:
    outcomes: list[BrokerError | None] = []
    told: list[Event] = []
    await server.declare(f"{queue}.dead")
    async with (
        Rabbit(url, notify=told.append).connect() as connection,
        connection.subscribe(RabbitSource(queue), Capacity(2)) as subscription,
    ):
        for n in range(10):
            await connection.publish(Message(b"%d" % n), RabbitTarget(queue))
        await control("set_vm_memory_high_watermark", "0.000001", node=node)
        try:
            letter = await connection.send(Message(b"dead"), RabbitTarget(f"{queue}.dead"))
            letter.then(outcomes.append)
            for _ in range(10):  # more than are sent ahead: settlements get through
                (await take(subscription, 1))[0].ack()
            with pytest.raises(PublishFailed, match="within"):
                await connection.publish(Message(b"no"), RabbitTarget(queue, timeout=0.3))
            assert outcomes == []
        finally:
            await control("set_vm_memory_high_watermark", "0.6", node=node)
        await letter.wait()

    assert outcomes == [None]
    assert [each.name for each in told] == ["connection.blocked", "connection.unblocked"]
    assert "memory" in str(told[0])
    assert await server.take_all(f"{queue}.dead") == [b"dead"]
    await server.delete(f"{queue}.dead")


@on_both
async def test_what_nobody_confirms_is_handed_over_and_arrives_in_order(
    url: str, server: Server, queue: str
) -> None:
    rabbit = Rabbit(url, RabbitOptions(default_channel=Channel(publisher_confirms=False)))
    await server.declare(queue)
    async with rabbit.connect() as connection:
        for n in range(1200):
            await connection.publish(Message(b"%d" % n), RabbitTarget(queue))
        await connection.publish(Message(b""), RabbitTarget(f"{queue}.missing"))
        await connection.flush()

        assert await server.take_all(queue) == [b"%d" % n for n in range(1200)]
