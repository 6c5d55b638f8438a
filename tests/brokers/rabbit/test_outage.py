"""A RabbitMQ that is away: a state, told once, that mends itself."""

from __future__ import annotations

import pytest
from anyio import create_task_group, current_time, fail_after, move_on_after, sleep
from anyio.abc import TaskStatus

from callboard_actors.testing import virtual_backend
from callboard_brokers import BrokerError, Capacity, ConnectionLost, Message, Subscription
from callboard_brokers.events import Event
from callboard_brokers.kit import Journal
from callboard_brokers.rabbit import Rabbit, RabbitOptions, RabbitQueue, RabbitSource, RabbitTarget
from callboard_brokers.rabbit._publishing import Publishing
from callboard_brokers.rabbit.connection import RabbitConnection

from ...proxy import Proxy
from .server import proxied, take

pytestmark = [pytest.mark.anyio, pytest.mark.broker("rabbit"), pytest.mark.slow]


async def publish_until_it_is_there(connection: RabbitConnection, queue: str, body: bytes) -> None:
    while True:
        try:
            await connection.publish(Message(body), RabbitTarget(queue))
        except BrokerError:
            await sleep(0.02)
        else:
            return


async def test_many_cuts_lose_nothing(network: Proxy, queue: str) -> None:
    came: set[bytes] = set()
    told: list[Event] = []
    rabbit = Rabbit(proxied(), notify=told.append)

    async def publish(connection: RabbitConnection, first: int) -> None:
        for n in range(first, first + 500):
            await publish_until_it_is_there(connection, queue, b"%d" % n)

    async def read(subscription: Subscription) -> None:
        while len(came) < 2000:
            for delivery in await subscription.receive(10):
                came.add(delivery.message.body)
                delivery.ack()

    with fail_after(50):
        async with (
            rabbit.connect() as connection,
            connection.subscribe(
                RabbitSource(RabbitQueue(queue, "quorum")), Capacity(100)
            ) as subscription,
            create_task_group() as tasks,
        ):
            for first in range(0, 2000, 500):
                tasks.start_soon(publish, connection, first)
            tasks.start_soon(read, subscription)
            for _ in range(5):
                await sleep(0.4)
                network.cut()

    assert came == {b"%d" % n for n in range(2000)}
    assert {each.name for each in told} <= {
        "connection.lost",
        "connection.restored",
        "fetch.failed",
        "settle.stale",
    }


async def test_the_next_message_is_handled_soon_after_a_cut(network: Proxy, queue: str) -> None:
    async with (
        Rabbit(proxied()).connect() as connection,
        connection.subscribe(RabbitSource(queue), Capacity(10)) as subscription,
    ):
        network.cut()
        cut_at = current_time()
        with fail_after(30):
            await publish_until_it_is_there(connection, queue, b"next")
            (await take(subscription, 1))[0].ack()

        assert current_time() - cut_at < 15, "3 seconds on a machine that is not slow"


async def test_of_several_servers_another_one_takes_over(
    network: Proxy, url: str, queue: str
) -> None:
    nowhere = "amqp://guest:guest@127.0.0.1:1/"
    async with (
        Rabbit([nowhere, proxied(), url]).connect() as connection,
        connection.subscribe(RabbitSource(queue), Capacity(10)) as subscription,
    ):
        assert network.connections
        network.refuse = True
        network.cut()
        with fail_after(30):
            await publish_until_it_is_there(connection, queue, b"over there")
            (await take(subscription, 1))[0].ack()


async def test_a_silent_server_is_taken_for_dead(network: Proxy, queue: str) -> None:
    rabbit = Rabbit(proxied(), RabbitOptions(heartbeat=1, timeout=1.0))
    async with (
        rabbit.connect() as connection,
        connection.subscribe(RabbitSource(queue), Capacity(10)) as subscription,
    ):
        network.swallow()
        with fail_after(30):
            while connection.lost_at is None:  # noqa: ASYNC110 - it tells nobody
                await sleep(0.1)
        network.cut()
        network.restore()
        with fail_after(30):
            await publish_until_it_is_there(connection, queue, b"again")
            (await take(subscription, 1))[0].ack()


async def test_a_server_that_only_delivers_is_not_taken_for_dead(url: str, queue: str) -> None:
    told: list[Event] = []
    rabbit = Rabbit(url, RabbitOptions(heartbeat=1), notify=told.append)

    async def feed(*, task_status: TaskStatus[None]) -> None:
        async with Rabbit(url).connect() as connection:
            task_status.started()
            while True:
                await connection.publish(Message(b""), RabbitTarget(queue))
                await sleep(0.01)

    async with (
        rabbit.connect() as connection,
        connection.subscribe(RabbitSource(queue), Capacity(10)) as subscription,
        create_task_group() as tasks,
    ):
        await tasks.start(feed)
        with move_on_after(9):
            while True:
                for delivery in await subscription.receive(10):
                    delivery.ack()
        tasks.cancel_scope.cancel()

    assert told == []


async def test_a_stream_is_read_on_from_where_it_was(network: Proxy, queue: str) -> None:
    seen: list[bytes] = []
    source = RabbitSource(RabbitQueue(queue, "stream"), consume_args={"x-stream-offset": "first"})
    async with Rabbit(proxied()).connect() as connection:
        await connection.prepare([source], [])
        for n in range(10):
            await connection.publish(Message(b"%d" % n), RabbitTarget(queue))
        async with connection.subscribe(source, Capacity(10)) as subscription:
            for delivery in await take(subscription, 10):
                delivery.ack()
            network.cut()
            with fail_after(30):
                await publish_until_it_is_there(connection, queue, b"10")
            while b"10" not in seen:
                for delivery in await take(subscription, 1):
                    seen.append(delivery.message.body)
                    delivery.ack()

    assert set(seen) == {b"10"}, "once, unless its confirm was lost"


async def test_a_connection_that_cannot_be_had_says_so(network: Proxy) -> None:
    told: list[Event] = []
    network.refuse = True

    async def connect() -> None:
        async with Rabbit(proxied(), notify=told.append).connect():
            pass

    async with create_task_group() as tasks:
        tasks.start_soon(connect)
        with fail_after(45):
            while network.refused < 3:  # noqa: ASYNC110 - it tells nobody
                await sleep(0.05)
        tasks.cancel_scope.cancel()

    assert [each.name for each in told] == ["connection.lost"]
    assert "guest" not in str(told)


@pytest.mark.parametrize("anyio_backend", [virtual_backend("asyncio")])
async def test_publishing_does_not_wait_for_ever(anyio_backend: object) -> None:
    began = current_time()
    with pytest.raises(ConnectionLost, match="no RabbitMQ at nowhere"):
        await Publishing("nowhere", 10, Journal(None)).opened()

    assert 10 < current_time() - began < 30
