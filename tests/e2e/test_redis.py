"""Services on a real Redis."""

from __future__ import annotations

import os
from typing import Any

import pytest
from anyio import sleep
from pydantic import BaseModel

from callboard import NackMessage, Path, RequestFailed
from callboard.redis import ListSub, PubSub, RedisBroker, RedisMessage, RedisResponse, StreamSub
from callboard.redis.parser import JSONMessageFormat
from callboard_brokers import Unroutable

from ..brokers.redis.conftest import name, server
from ..brokers.redis.server import Server
from .test_kafka import Heard

__all__ = ["name", "server"]

pytestmark = [pytest.mark.anyio, pytest.mark.broker("redis"), pytest.mark.slow]


class Order(BaseModel):
    id: int
    customer: str


@pytest.fixture
def address() -> str:
    return os.environ["CALLBOARD_REDIS"]


@pytest.fixture
def redis(address: str) -> RedisBroker:
    return RedisBroker(f"redis://{address}")


def workers(name: str, **more: Any) -> StreamSub:
    return StreamSub(name, group="workers", consumer="one", last_id="0", **more)


async def test_a_stream_goes_through_a_handler_and_is_settled(
    redis: RedisBroker, name: str, server: Server
) -> None:
    heard = Heard[int](300)

    @redis.publisher(stream=f"{name}.out")
    @redis.subscriber(stream=workers(name))
    async def double(order: Order) -> int:
        return 2 * order.id

    @redis.subscriber(stream=workers(f"{name}.out"))
    async def hear(number: int) -> None:
        heard.hear(number)

    async with redis:
        await redis.start()
        for number in range(300):
            await redis.publish(Order(id=number, customer="alice"), stream=name)
        await heard.complete()

    assert heard == [2 * number for number in range(300)]
    assert await server.pending(name, "workers") == {}


async def test_a_list_goes_through_a_handler_and_leaves_nothing(
    redis: RedisBroker, name: str, server: Server
) -> None:
    heard = Heard[int](100)

    @redis.subscriber(list=name)
    async def hear(number: int) -> None:
        heard.hear(number)

    async with redis:
        await redis.start()
        await redis.publish_batch(*range(100), list=name)
        await heard.complete()

    assert heard == [*range(100)]
    assert await server.ask("KEYS", f"*{name}*") == []


async def test_a_name_in_a_channel_is_a_parameter(redis: RedisBroker, name: str) -> None:
    heard = Heard[tuple[str, str]](1)

    @redis.subscriber(f"{name}.{{level}}")
    async def hear(body: str, message: RedisMessage, level: str = Path()) -> None:
        heard.hear((level, message.address))

    async with redis:
        await redis.start()
        await redis.publish("not this one", f"{name}.error.disk")
        await redis.publish("full", f"{name}.error")
        await heard.complete()

    assert heard == [("error", f"{name}.error")]


async def test_a_pattern_is_the_servers(redis: RedisBroker, name: str) -> None:
    heard = Heard[str](1)

    @redis.subscriber(PubSub(f"{name}.*", pattern=True))
    async def hear(body: str, message: RedisMessage) -> None:
        heard.hear(message.address)

    async with redis:
        await redis.start()
        assert await redis.publish("full", f"{name}.error.disk") == 1
        await heard.complete()

    assert heard == [f"{name}.error.disk"]


@pytest.mark.parametrize("where", ["channel", "list", "stream"])
async def test_a_request_gets_its_answer_or_its_failure(
    redis: RedisBroker, name: str, where: str
) -> None:
    there: dict[str, Any] = {where: name}

    @redis.subscriber(**there)
    async def halve(number: int) -> int:
        if number % 2:
            raise ValueError("odd")
        return number // 2

    async with redis:
        await redis.start()
        answer = await redis.request(4, **there)

        assert await answer.decode() == 2
        with pytest.raises(RequestFailed):
            await redis.request(3, **there)


async def test_a_request_to_a_channel_that_nobody_hears_fails_at_once(
    redis: RedisBroker, name: str
) -> None:
    async with redis:
        await redis.start()
        with pytest.raises(Unroutable, match="nobody"):
            await redis.request(1, name)


async def test_a_nacked_message_comes_again_from_here_and_is_counted(
    redis: RedisBroker, name: str, server: Server
) -> None:
    heard = Heard[int](3)

    @redis.subscriber(stream=workers(name))
    async def handle(number: int, message: RedisMessage) -> None:
        heard.hear(message.attempt)
        if len(heard) < 3:
            raise NackMessage(delay=0.1)

    async with redis:
        await redis.start()
        await redis.publish(1, stream=name)
        await heard.complete()

    assert heard == [1, 2, 3]
    assert await server.pending(name, "workers") == {}


@pytest.mark.parametrize("kind", ["list", "stream"])
async def test_a_batch_is_handled_as_one(redis: RedisBroker, name: str, kind: str) -> None:
    heard = Heard[int](20)
    ends: dict[str, Any] = {
        "list": ListSub(name, batch=True, max_records=7),
        "stream": workers(name, batch=True, max_records=7),
    }

    @redis.subscriber(**{kind: ends[kind]})
    async def handle(numbers: list[int]) -> None:
        assert len(numbers) <= 7
        for number in numbers:
            heard.hear(number)

    async with redis:
        await redis.start()
        for number in range(20):
            await redis.publish(number, **{kind: name})  # type: ignore[arg-type] # whichever
        await heard.complete()

    assert heard == [*range(20)]


async def test_what_is_for_later_comes_then(redis: RedisBroker, name: str) -> None:
    heard = Heard[str](2)

    @redis.subscriber(stream=workers(name))
    async def handle(body: str) -> None:
        heard.hear(body)

    async with redis:
        await redis.start()
        await redis.publish("later", stream=name, delay=0.5)
        await redis.publish("now", stream=name)
        await heard.complete()

    assert heard == ["now", "later"]


async def test_a_pipeline_of_the_client_collects(
    redis: RedisBroker, name: str, server: Server
) -> None:
    async with redis:
        await redis.start()
        async with redis.client.pipeline() as pipeline:
            for number in range(3):
                await redis.publish(number, list=name, pipeline=pipeline)
            assert await server.ask("LLEN", name) == 0
            await pipeline.execute()

    assert await server.ask("LLEN", name) == 3


async def test_both_formats_and_foreign_octets_are_read(
    redis: RedisBroker, name: str, server: Server
) -> None:
    heard = Heard[tuple[object, str | None]](4)

    @redis.subscriber(stream=workers(name))
    async def handle(body: object, message: RedisMessage) -> None:
        heard.hear((body, message.correlation_id))

    async with redis:
        await redis.start()
        await redis.publish({"n": 1}, stream=name, correlation_id="a")
        await redis.publish(
            {"n": 2}, stream=name, correlation_id="b", message_format=JSONMessageFormat
        )
        await server.ask("XADD", name, "*", "n", "3")
        await server.ask("XADD", name, "*", "__data__", b'{"n": 4}')
        await heard.complete()

    assert heard == [({"n": 1}, "a"), ({"n": 2}, "b"), ({"n": "3"}, None), ({"n": 4}, None)]


async def test_a_response_says_how_many_entries_are_kept(
    redis: RedisBroker, name: str, server: Server
) -> None:
    heard = Heard[int](300)

    @redis.publisher(stream=f"{name}.out")
    @redis.subscriber(list=name)
    async def handle(number: int) -> RedisResponse:
        heard.hear(number)
        return RedisResponse(number, maxlen=10)

    async with redis:
        await redis.start()
        await redis.publish_batch(*range(300), list=name)
        await heard.complete()
        await sleep(0.1)

    assert await server.ask("XLEN", f"{name}.out") < 300
