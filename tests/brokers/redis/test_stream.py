"""Streams on a real Redis: what is pending, whose it is, and what becomes of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from anyio import create_task_group, current_time, fail_after, sleep

from callboard_brokers import (
    Capacity,
    DestinationError,
    Message,
    StoppingIntake,
    Subscription,
    TopologyError,
)
from callboard_brokers.events import FetchFailed, MessagesTrimmed
from callboard_brokers.redis import Redis, RedisSource, RedisTarget, StreamSub
from callboard_brokers.redis.connection import RedisConnection

from .server import Events, Server, bodies, take

pytestmark = [pytest.mark.anyio, pytest.mark.broker("redis"), pytest.mark.slow]

ROOM = Capacity(100)


def workers(name: str, consumer: str = "one", **more: Any) -> RedisSource:
    return RedisSource(stream=StreamSub(name, group="workers", consumer=consumer, **more))


@asynccontextmanager
async def dying(redis: Redis, source: RedisSource) -> AsyncGenerator[Subscription]:
    """Read in a way that ends as a killed process does: nothing is settled or given back."""
    async with redis.connect() as connection, connection.subscribe(source, ROOM) as reading:
        yield reading
        connection._link.close()  # pyright: ignore[reportPrivateUsage] - nothing that is public is so rude


async def publish(connection: RedisConnection, name: str, *contents: bytes) -> None:
    for body in contents:
        await connection.publish(Message(body), RedisTarget(stream=name))


async def test_what_is_pending_by_its_name_comes_first_when_a_consumer_starts_again(
    redis: Redis, connection: RedisConnection, name: str
) -> None:
    await connection.prepare([workers(name)], [])
    await publish(connection, name, b"in hand", b"waiting")
    async with dying(redis, workers(name)) as reading:
        await take(reading, 1)
    await publish(connection, name, b"new")

    async with connection.subscribe(workers(name), ROOM) as reading:
        taken = await take(reading, 3)

        assert bodies(taken) == [b"in hand", b"waiting", b"new"]
        assert [each.deliveries for each in taken] == [2, 2, 1]


async def test_what_a_silent_consumer_had_is_claimed_by_another_of_the_group(
    redis: Redis, connection: RedisConnection, name: str
) -> None:
    await connection.prepare([workers(name)], [])
    await publish(connection, name, b"orphan")
    async with dying(redis, workers(name, "old name")) as reading:
        await take(reading, 1)

    async with connection.subscribe(workers(name, "new name", min_idle_time=500), ROOM) as reading:
        (delivery,) = await take(reading, 1)

        assert (delivery.message.body, delivery.deliveries) == (b"orphan", 2)


async def test_a_message_that_is_held_for_three_times_its_time_stays_ours(
    redis: Redis, connection: RedisConnection, name: str
) -> None:
    await connection.prepare([workers(name)], [])
    await publish(connection, name, b"slow")
    mine, theirs = (workers(name, who, min_idle_time=600) for who in ("mine", "theirs"))
    async with (
        connection.subscribe(mine, ROOM) as first,
        redis.connect() as other,
    ):
        (delivery,) = await take(first, 1)
        async with other.subscribe(theirs, ROOM) as second:
            with pytest.raises(TimeoutError), fail_after(1.8):
                await second.receive(1)
        assert delivery.ack()


async def test_what_is_given_back_at_a_stop_is_claimed_at_once_and_not_counted(
    connection: RedisConnection, name: str, server: Server
) -> None:
    await connection.prepare([workers(name)], [])
    await publish(connection, name, b"handled", b"given back")
    async with connection.subscribe(workers(name), ROOM) as reading:
        (await take(reading, 2))[0].ack()
    assert [who for who, _ in (await server.pending(name, "workers")).values()] == [
        "callboard.released"
    ]

    began = current_time()
    async with connection.subscribe(workers(name, "two"), ROOM) as reading:
        (delivery,) = await take(reading, 1)

    assert (delivery.message.body, delivery.deliveries) == (b"given back", 1)
    assert current_time() - began < 15


async def test_what_came_while_nobody_listened_is_given_back_too(
    connection: RedisConnection, name: str, server: Server
) -> None:
    async with connection.subscribe(workers(name), ROOM) as reading:
        assert isinstance(reading, StoppingIntake)
        await reading.stop_intake()
        await publish(connection, name, b"unseen")
        await server.ask("XREADGROUP", "GROUP", "workers", "one", "STREAMS", name, ">")

    [(who, times)] = (await server.pending(name, "workers")).values()
    assert (who, times) == ("callboard.released", 0)


async def test_a_connection_that_is_left_is_not_told_as_lost(redis: Redis, events: Events) -> None:
    async with redis.connect() as connection:
        await connection.ping()

    assert events == []


async def test_a_blocked_read_ends_at_once_when_it_is_stopped(
    connection: RedisConnection, name: str
) -> None:
    async with connection.subscribe(workers(name), ROOM) as reading:
        await sleep(1.2)
        assert isinstance(reading, StoppingIntake)
        began = current_time()
        await reading.stop_intake()

        assert current_time() - began < 0.9, "it would wait for a second by itself"


async def test_how_often_a_message_was_nacked_outlives_its_reader(
    redis: Redis, connection: RedisConnection, name: str, server: Server
) -> None:
    await connection.prepare([workers(name)], [])
    await publish(connection, name, b"hard")
    async with dying(redis, workers(name)) as reading:
        for _ in range(3):
            (delivery,) = await take(reading, 1)
            delivery.nack(0.0)
        await server.until(
            lambda found: found[0][3] == 4, "XPENDING", name, "workers", "-", "+", 10
        )

    async with connection.subscribe(workers(name), ROOM) as reading:
        assert [each.deliveries for each in await take(reading, 1)] == [5]


async def test_entries_that_were_trimmed_in_hand_are_told_and_forgotten(
    redis: Redis, connection: RedisConnection, name: str, server: Server, events: Events
) -> None:
    await connection.prepare([workers(name)], [])
    await publish(connection, name, b"gone", b"gone too", b"there")
    async with dying(redis, workers(name)) as reading:
        await take(reading, 3)
    await server.ask("XTRIM", name, "MAXLEN", 1)

    async with connection.subscribe(workers(name), ROOM) as reading:
        (delivery,) = await take(reading, 1)
        delivery.ack()

    assert delivery.message.body == b"there"
    assert [each.trimmed for each in events if isinstance(each, MessagesTrimmed)] == [2]
    assert await server.pending(name, "workers") == {}


async def test_a_group_that_was_deleted_is_made_again_from_the_beginning(
    connection: RedisConnection, name: str, server: Server, events: Events
) -> None:
    async with connection.subscribe(workers(name), ROOM) as reading:
        await server.ask("DEL", name)
        await publish(connection, name, b"after")

        assert bodies(await take(reading, 1)) == [b"after"]
    assert all("NOGROUP" in each.error for each in events if isinstance(each, FetchFailed))


async def test_acknowledgements_go_out_together(
    connection: RedisConnection, name: str, server: Server
) -> None:
    await connection.prepare([workers(name)], [])
    await publish(connection, name, *[b"x"] * 100)
    async with connection.subscribe(workers(name), ROOM) as reading:
        taken = await take(reading, 100)
        before = await calls_of(server, "xack")
        for delivery in taken:
            delivery.ack()
        await server.until(lambda found: found[0] == 0, "XPENDING", name, "workers")

        assert await calls_of(server, "xack") - before <= 2


async def test_a_consumer_is_never_deleted(
    connection: RedisConnection, name: str, server: Server
) -> None:
    async with connection.subscribe(workers(name), ROOM):
        pass

    found = await server.ask("XINFO", "CONSUMERS", name, "workers")

    assert [each[1] for each in found] in ([b"one"], [])
    assert await calls_of(server, "xgroup|delconsumer") == 0


async def test_a_key_of_another_type_is_told_and_is_not_tried_for_ever(
    connection: RedisConnection, name: str, server: Server
) -> None:
    await server.ask("SET", name, "a text")

    with pytest.raises(DestinationError, match=r"WRONGTYPE.*another"):
        await publish(connection, name, b"x")
    with pytest.raises(DestinationError, match="WRONGTYPE"):
        async with connection.subscribe(workers(name), ROOM) as reading:
            await reading.receive(1)


async def test_a_group_that_is_not_to_be_made_has_to_be_there(
    connection: RedisConnection, name: str
) -> None:
    with pytest.raises(TopologyError, match="declare=True"):
        await connection.prepare([workers(name, declare=False)], [])


async def test_five_hundred_at_once_share_one_connection(
    connection: RedisConnection, name: str, server: Server
) -> None:
    async with create_task_group() as tasks:
        for n in range(500):
            tasks.start_soon(publish, connection, name, b"%d" % n)

    assert await server.ask("XLEN", name) == 500


async def calls_of(server: Server, command: str) -> int:
    """Return how often a command was called."""
    text = (await server.ask("INFO", "commandstats")).decode()
    lines = [line for line in text.splitlines() if line.startswith(f"cmdstat_{command}:")]
    return int(lines[0].partition("calls=")[2].partition(",")[0]) if lines else 0
