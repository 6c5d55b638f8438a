"""A server that goes away, as a program meets it: where no test has said which loop it runs on."""

from __future__ import annotations

import asyncio
import os

import pytest
from anyio import fail_after, sleep

from callboard_brokers import Capacity, Message
from callboard_brokers.events import ServerFound
from callboard_brokers.redis import Redis, RedisSource, RedisTarget, StreamSub

from ...proxy import proxy
from .server import Events, bodies, server_at, take

pytestmark = [pytest.mark.broker("redis"), pytest.mark.slow]


def test_a_connection_that_is_cut_is_mended_and_what_is_read_goes_on() -> None:
    through, address = os.environ["CALLBOARD_REDIS_PROXY"], os.environ["CALLBOARD_REDIS"]
    end, events = StreamSub("test.outage", group="g", consumer="c", last_id="0"), Events()

    async def main() -> list[bytes]:
        redis = Redis(f"redis://{through}", notify=events.append)
        async with (
            server_at(address) as server,
            proxy(through, address) as network,
            redis.connect() as connection,
            connection.subscribe(RedisSource(stream=end), Capacity(10)) as reading,
        ):
            network.cut()
            await events.until(ServerFound)
            with fail_after(30):
                await connection.publish(Message(b"after"), RedisTarget(stream=end))
            taken = await take(reading, 1)
            await server.forget("test.outage")
            return bodies(taken)

    assert asyncio.run(main()) == [b"after"]


def test_what_a_channel_drops_is_told_there_too() -> None:
    async def main() -> int:
        redis = Redis(f"redis://{os.environ['CALLBOARD_REDIS']}")
        source = RedisSource("test.outage.channel", pending_msgs_limit=1)
        async with redis.connect() as connection, connection.subscribe(source, Capacity(1)):
            for _ in range(5):
                await connection.publish(Message(b"x"), RedisTarget("test.outage.channel"))
            await sleep(0.1)
        return redis.counts["dropped"]

    assert asyncio.run(main()) == 5
