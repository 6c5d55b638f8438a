"""Lists and channels on a real Redis."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import create_task_group, move_on_after

from callboard_brokers import Capacity, Message
from callboard_brokers.events import MessagesDropped
from callboard_brokers.redis import ListSub, Redis, RedisSource, RedisTarget
from callboard_brokers.redis.connection import RedisConnection

from .server import Events, Server, bodies, take
from .test_stream import dying

pytestmark = [pytest.mark.anyio, pytest.mark.broker("redis"), pytest.mark.slow]

ROOM = Capacity(100)


def soon(name: str) -> RedisSource:
    return RedisSource(list=ListSub(name, min_idle_time=500))


async def push(connection: RedisConnection, name: str, *contents: bytes) -> None:
    await connection.publish_batch([Message(each) for each in contents], RedisTarget(list=name))


async def test_what_a_dead_reader_had_is_put_back_in_front_and_in_order(
    redis: Redis, connection: RedisConnection, name: str
) -> None:
    await push(connection, name, b"1", b"2", b"3")
    async with dying(redis, soon(name)) as reading:
        await take(reading, 2)
    await push(connection, name, b"4")

    async with connection.subscribe(soon(name), ROOM) as reading:
        assert sorted(bodies(await take(reading, 4))) == [b"1", b"2", b"3", b"4"]


async def test_a_reader_that_leaves_puts_back_what_is_not_settled(
    connection: RedisConnection, name: str, server: Server
) -> None:
    await push(connection, name, b"1", b"2", b"3")
    async with connection.subscribe(soon(name), ROOM) as reading:
        (await take(reading, 3))[1].ack()

    assert await server.ask("LLEN", name) == 2
    assert await server.ask("KEYS", f"*{name}*taken*") == []


async def test_equal_messages_are_settled_each_for_itself(
    connection: RedisConnection, name: str, server: Server
) -> None:
    for _ in range(3):
        await server.ask("RPUSH", name, "the same")
    async with connection.subscribe(soon(name), ROOM) as reading:
        (await take(reading, 3))[2].ack()

    assert await server.ask("LRANGE", name, 0, -1) == [b"the same"] * 2


async def test_a_list_is_handed_out_while_two_wait_for_it(
    redis: Redis, connection: RedisConnection, name: str
) -> None:
    async with (
        redis.connect() as other,
        connection.subscribe(soon(name), ROOM) as one,
        other.subscribe(soon(name), ROOM) as two,
    ):
        await push(connection, name, b"1")
        taken: list[Any] = []

        async def read(reading: Any) -> None:
            with move_on_after(2):
                while True:
                    taken.extend(await reading.receive(1))

        async with create_task_group() as tasks:
            tasks.start_soon(read, one)
            tasks.start_soon(read, two)

        assert bodies(taken) == [b"1"]


async def test_what_is_too_much_for_a_channel_is_dropped_and_told(
    connection: RedisConnection, name: str, redis: Redis, events: Events
) -> None:
    source = RedisSource(name, pending_msgs_limit=10)
    async with connection.subscribe(source, ROOM) as reading:
        for n in range(30):
            await connection.publish(Message(b"%d" % n), RedisTarget(name))

        assert bodies(await take(reading, 10)) == [b"%d" % n for n in range(10)]
    assert redis.counts["dropped"] == 20
    assert sum(each.dropped for each in events if isinstance(each, MessagesDropped)) == 20
