"""Settling on a real server: what is told, how often something comes, and where it goes at last."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal
from uuid import uuid4

import pytest
from anyio import current_time, fail_after, sleep

from callboard_brokers import Capacity, Message
from callboard_brokers.events import Event
from callboard_brokers.rabbit import (
    Channel,
    Rabbit,
    RabbitOptions,
    RabbitQueue,
    RabbitSource,
    RabbitTarget,
)
from callboard_brokers.rabbit import _subscription as subscription_module
from callboard_brokers.rabbit._waits import put_off
from callboard_brokers.rabbit.connection import RabbitConnection

from .server import Server, bodies, control, on_both, take

SLOW_DISK = (
    "Log = ra_log_wal, spawn(fun() -> sys:suspend(Log), timer:sleep(2500), sys:resume(Log) end)."
)
PATIENCE = (
    "application:set_env(rabbit, consumer_timeout, {}),"
    " application:set_env(rabbit, channel_tick_interval, {})."
)

pytestmark = [pytest.mark.anyio, pytest.mark.broker("rabbit"), pytest.mark.slow]


async def test_a_slow_one_does_not_withhold_the_credit_of_all_behind_it(
    connection: RabbitConnection, queue: str
) -> None:
    async with connection.subscribe(RabbitSource(queue), Capacity(20)) as subscription:
        for n in range(200):
            await connection.send(Message(b"%d" % n), RabbitTarget(queue))
        [slow] = await take(subscription, 1)
        for _ in range(199):
            (await take(subscription, 1))[0].ack()
        slow.ack()
    async with connection.subscribe(RabbitSource(queue), Capacity(20)) as subscription:
        assert await subscription.lag() == 0


@on_both
async def test_what_is_acknowledged_while_the_disk_is_slow_is_taken_before_the_reader_leaves(
    connection: RabbitConnection, server: Server, node: str
) -> None:
    queue = RabbitQueue(f"slow.{uuid4().hex}", "quorum")
    try:
        async with connection.subscribe(RabbitSource(queue), Capacity(100)) as subscription:
            for n in range(101):
                await connection.send(Message(b"%d" % n), RabbitTarget(queue))
            deliveries = await take(subscription, 100)
            await subscription.stop_intake()
            # More than 32 commands wait for the log by then, and those beyond for their turn.
            await control("eval", SLOW_DISK, node=node)
            for delivery in deliveries:
                delivery.ack()
                await sleep(0.001)  # each is told by itself
        async with connection.subscribe(RabbitSource(queue), Capacity(100)) as subscription:
            [last] = await take(subscription, 1)
            assert await subscription.lag() == 1
            assert (last.message.body, last.deliveries) == (b"100", 1)
            last.ack()
    finally:
        await server.delete(queue.name)


async def test_no_more_is_sent_ahead_than_the_channel_of_the_broker_says(
    url: str, server: Server, queue: str
) -> None:
    rabbit = Rabbit(url, RabbitOptions(default_channel=Channel(prefetch_count=3)))
    async with (
        rabbit.connect() as connection,
        connection.subscribe(RabbitSource(queue), Capacity(20)) as subscription,
    ):
        for _ in range(10):
            await connection.publish(Message(b""), RabbitTarget(queue))
        taken = await take(subscription, 3)

        assert len(await server.take_all(queue)) == 7
        for delivery in taken:
            delivery.ack()


@on_both
async def test_a_message_beyond_the_limit_goes_to_the_dead_letters(
    connection: RabbitConnection, server: Server, queue: str
) -> None:
    dead = f"{queue}.dead"
    await server.declare(dead)
    kind = RabbitQueue(
        queue, "quorum", delivery_limit=2, dead_letter_exchange="", dead_letter_routing_key=dead
    )
    counts: list[int | None] = []
    async with connection.subscribe(RabbitSource(kind), Capacity(10)) as subscription:
        await connection.publish(Message(b"poison"), RabbitTarget(queue))
        for _ in range(3):
            [delivery] = await take(subscription, 1)
            counts.append(delivery.deliveries)
            delivery.nack(0.01)
        found = await server.until_there(dead)
    await server.delete(dead)

    assert counts == [1, 2, 3]
    assert found == [b"poison"]


@on_both
async def test_to_leave_costs_what_waits_in_the_queue_nothing(
    connection: RabbitConnection, queue: str
) -> None:
    source = RabbitSource(RabbitQueue(queue, "quorum"))
    async with connection.subscribe(source, Capacity(10)) as subscription:
        for n in range(30):
            await connection.publish(Message(b"%d" % n), RabbitTarget(queue))
        taken = await take(subscription, 10)
        await subscription.stop_intake()
        for delivery in taken:
            delivery.ack()
    async with connection.subscribe(source, Capacity(20)) as subscription:
        rest = await take(subscription, 20)
        for delivery in rest:
            delivery.ack()

    assert [(each.message.body, each.deliveries) for each in rest] == [
        (b"%d" % n, 1) for n in range(10, 30)
    ]


@on_both
async def test_what_nobody_has_begun_is_given_back_and_counts_only_where_the_server_counts_it(
    connection: RabbitConnection, server: Server, queue: str
) -> None:
    dead = f"{queue}.dead"
    await server.declare(dead)
    kind = RabbitQueue(
        queue, "quorum", delivery_limit=2, dead_letter_exchange="", dead_letter_routing_key=dead
    )
    counts: list[int | None] = []
    async with connection.subscribe(RabbitSource(kind), Capacity(10)) as subscription:
        await connection.publish(Message(b"patient"), RabbitTarget(queue))
        for _ in range(3):
            [delivery] = await take(subscription, 1)
            counts.append(delivery.deliveries)
            delivery.release()
        if server.version >= (4, 3):
            [delivery] = await take(subscription, 1)
            delivery.ack()
        else:
            assert await server.until_there(dead) == [b"patient"]
    await server.delete(dead)

    assert counts == ([1, 1, 1] if server.version >= (4, 3) else [1, 2, 3])


@on_both
async def test_retries_are_delayed_by_the_queue_where_the_server_can_and_else_from_here(
    connection: RabbitConnection, server: Server, queue: str
) -> None:
    kind = RabbitQueue(
        queue, "quorum", delayed_retry_type="failed", delayed_retry_min=0.5, delayed_retry_max=5
    )
    waits: list[float] = []
    async with connection.subscribe(RabbitSource(kind), Capacity(10)) as subscription:
        await connection.publish(Message(b""), RabbitTarget(queue))
        for n in range(3):
            [delivery] = await take(subscription, 1)
            waits.append(current_time())
            assert delivery.deliveries == n + 1
            delivery.nack(0.1)
        [delivery] = await take(subscription, 1)
        delivery.ack()
    least = 0.45 if server.version >= (4, 3) else 0.1

    assert all(later - earlier >= least for earlier, later in pairwise(waits))


@on_both
@pytest.mark.parametrize("kind", ["classic", "quorum"])
async def test_long_bodies_come_in_order_and_once(
    connection: RabbitConnection, queue: str, kind: Literal["classic", "quorum"]
) -> None:
    taken: list[tuple[bytes, int | None, bool]] = []
    source = RabbitSource(RabbitQueue(queue, kind))
    async with connection.subscribe(source, Capacity(10, 5_000)) as subscription:
        for n in range(100):
            await connection.send(
                Message(b"%04d" % n * (1 if n < 20 else 500)), RabbitTarget(queue)
            )
        while len(taken) < 100:
            for delivery in await take(subscription, 1):
                body, record = delivery.message.body, delivery.message.raw_message
                taken.append((body[:4], delivery.deliveries or 1, record.redelivered))
                delivery.ack()

    assert taken == [(b"%04d" % n, 1, False) for n in range(100)]


@pytest.mark.parametrize("count", ["many", -1, b"\xff"])
async def test_a_count_that_is_none_stops_nobody(
    connection: RabbitConnection, queue: str, count: str | int | bytes
) -> None:
    source = RabbitSource(RabbitQueue(queue, "quorum"))
    async with connection.subscribe(source, Capacity(10)) as subscription:
        forged = Message(b"forged", headers={"callboard-deliveries": count})
        await connection.publish(forged, RabbitTarget(queue))
        [delivery] = await take(subscription, 1)
        delivery.ack()

    assert delivery.deliveries == 1


@on_both
async def test_what_its_reader_keeps_is_let_go_at_the_limit(
    connection: RabbitConnection, server: Server, queue: str
) -> None:
    dead = f"{queue}.dead"
    await server.declare(dead)
    kind = RabbitQueue(
        queue, "quorum", delivery_limit=2, dead_letter_exchange="", dead_letter_routing_key=dead
    )
    async with connection.subscribe(RabbitSource(kind), Capacity(10)) as subscription:
        await connection.publish(Message(b"poison"), RabbitTarget(queue))
        [delivery] = await take(subscription, 1)

        kept = [subscription.count_failure(delivery, 0.0) for _ in range(3)]
        assert kept == [0.0, 0.0, None]
        delivery.nack()
        found = await server.until_there(dead)
    await server.delete(dead)

    assert found == [b"poison"]


@pytest.mark.parametrize("kind", ["classic", "quorum"])
async def test_a_long_delay_is_spent_on_the_server_and_nothing_is_lost_by_it(
    connection: RabbitConnection,
    server: Server,
    queue: str,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscription_module, "SHORT", 0.5)
    source = RabbitSource(RabbitQueue(queue, "quorum" if kind == "quorum" else "classic"))
    async with connection.subscribe(source, Capacity(10)) as subscription:
        sent = Message(b"later", headers={"x": 1}, correlation_id="c", reply_to="r")
        await connection.publish(sent, RabbitTarget(queue, priority=3))
        [delivery] = await take(subscription, 1)
        delivery.nack(1.0)
        nacked_at = current_time()
        with fail_after(45):
            while await subscription.lag():  # noqa: ASYNC110 - a server tells nobody
                await sleep(0.05)
        [again] = await take(subscription, 1, patience=45)

        message = again.message
        assert current_time() - nacked_at >= 1.0
        assert (message.body, message.address, message.headers["x"]) == (b"later", queue, 1)
        assert (message.correlation_id, message.reply_to) == ("c", "r")
        assert message.raw_message.properties.priority == 3
        assert again.deliveries == 2
        again.ack()
    for name in (f"{queue}.wait.10",):
        await server.delete(name)


@on_both
async def test_a_channel_that_the_server_closes_is_opened_again_and_no_other(
    url: str, queue: str
) -> None:
    told: list[Event] = []
    async with (
        Rabbit(url, notify=told.append).connect() as connection,
        connection.subscribe(RabbitSource(queue), Capacity(10)) as one,
        connection.subscribe(RabbitSource(queue + ".other"), Capacity(10)) as other,
    ):
        await connection.publish(Message(b"one"), RabbitTarget(queue))
        await connection.publish(Message(b"other"), RabbitTarget(queue + ".other"))
        [delivery], [kept] = await take(one, 1), await take(other, 1)
        assert one.at is not None
        _, channel, _ = one.at
        await channel.basic_ack(99)  # a tag that nobody knows
        [again] = await take(one, 1)
        again.ack()
        delivery.ack()
        kept.ack()

        assert again.message.body == b"one"
        assert (one.epoch, other.epoch) == (2, 1)
    assert [each.name for each in told] == ["fetch.failed", "settle.stale"]
    assert "unknown delivery tag 99" in str(told[0])


@pytest.mark.broker("rabbit_node")
@on_both
async def test_a_handler_slower_than_the_server_waits_gets_its_message_again(
    node: str, url: str, queue: str
) -> None:
    told: list[Event] = []
    await control("eval", PATIENCE.format(500, 500), node=node)
    try:
        async with (
            Rabbit(url, notify=told.append).connect() as connection,
            connection.subscribe(
                RabbitSource(RabbitQueue(queue, "quorum")), Capacity(10)
            ) as subscription,
        ):
            await connection.publish(Message(b"slow"), RabbitTarget(queue))
            [slow] = await take(subscription, 1)
            [again] = await take(subscription, 1)
            slow.ack()
            again.ack()
    finally:
        await control("eval", PATIENCE.format(1_800_000, 60_000), node=node)

    assert bodies([slow, again]) == [b"slow", b"slow"]
    assert [each.name for each in told] == ["fetch.failed", "settle.stale"]
    assert "timed out" in str(told[0]) or "cancelled" in str(told[0]), "the latter from 4.3 on"


@on_both
@pytest.mark.parametrize("kind", ["classic", "quorum"])
async def test_what_waits_long_on_the_server_keeps_the_count_of_its_tries(
    connection: RabbitConnection, server: Server, queue: str, kind: Literal["classic", "quorum"]
) -> None:
    waiting, _ = put_off(queue, 61.0)
    tries: list[int] = []
    source = RabbitSource(RabbitQueue(queue, kind))
    async with connection.subscribe(source, Capacity(10)) as subscription:
        await connection.publish(Message(b"late"), RabbitTarget(queue))
        for _ in range(3):
            [delivery] = await take(subscription, 1)
            tries.append(delivery.deliveries or 1)
            delivery.nack(61.0)
            await server.move(waiting, queue)  # as if its time were over
        await server.delete(waiting)

    assert tries == [1, 2, 3]
