"""`callboard.redis` as it is declared and tested; on a real server: tests/e2e/test_redis.py."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import sleep

from callboard import AckPolicy, BaseMiddleware, DeclarationError, NackMessage, Path, RequestFailed
from callboard.redis import (
    ListSub,
    PubSub,
    RedisBroker,
    RedisMessage,
    RedisPublishCommand,
    RedisPublisher,
    RedisResponse,
    RedisRoute,
    RedisRouter,
    StreamSub,
    TestRedisBroker,
)
from callboard.redis.parser import JSONMessageFormat
from callboard_brokers import TopologyError, Unpublishable

pytestmark = pytest.mark.anyio


@pytest.fixture
def redis() -> RedisBroker:
    return RedisBroker()


def workers(name: str = "one", group: str = "workers", **more: Any) -> StreamSub:
    return StreamSub("orders", group=group, consumer=name, **more)


async def test_patterns_of_channels_span_dots_and_names_in_braces_do_not(
    redis: RedisBroker,
) -> None:
    heard: list[tuple[str, object]] = []

    @redis.subscriber(PubSub("logs.*", pattern=True))
    async def all_of_them(body: object) -> None:
        heard.append(("*", body))

    @redis.subscriber("logs.{level}")
    async def level(body: object, level: str = Path()) -> None:
        heard.append((level, body))

    async with TestRedisBroker(redis):
        await redis.publish(1, "logs.error")
        await redis.publish(2, "logs.error.disk")
        await redis.publish(3, "log")

    assert sorted(heard, key=str) == [("*", 1), ("*", 2), ("error", 1)]


async def test_a_channel_is_for_all_and_a_list_for_one(redis: RedisBroker) -> None:
    heard: list[str] = []

    def listen(name: str, **where: Any) -> None:
        @redis.subscriber(**where)
        async def handle(number: int) -> None:
            heard.append(name)

    for name in "ab":
        listen(f"channel {name}", channel="news")
        listen(f"list {name}", list="news")
    async with TestRedisBroker(redis):
        await redis.publish(1, "news")
        await redis.publish(2, list="news")

    assert sorted(heard)[:2] == ["channel a", "channel b"]
    assert len(heard) == 3


async def test_those_of_a_group_share_a_stream_and_others_get_it_all(redis: RedisBroker) -> None:
    heard: list[tuple[str, int]] = []

    def listen(name: str, stream: StreamSub | str) -> None:
        @redis.subscriber(stream=stream)
        async def handle(number: int) -> None:
            heard.append((name, number))

    listen("a", workers("a"))
    listen("b", workers("b"))
    listen("c", workers("c", "clerks"))
    listen("d", "orders")
    async with TestRedisBroker(redis):
        for number in range(4):
            await redis.publish(number, stream="orders")

    for names in ("ab", "c", "d"):
        assert sorted(number for name, number in heard if name in names) == [0, 1, 2, 3]


async def test_a_list_keeps_what_comes_before_its_reader(redis: RedisBroker) -> None:
    heard: list[int] = []
    reading = redis.subscriber(list="jobs")

    @reading
    async def handle(number: int) -> None:
        heard.append(number)

    async with TestRedisBroker(redis, connect_only=True):
        for number in range(3):
            await redis.publish(number, list="jobs")
        await redis.start()
        await sleep(1)

    assert heard == [0, 1, 2]


@pytest.mark.parametrize(("last_id", "found"), [(None, []), ("$", []), ("0", [1, 2])])
async def test_a_new_group_begins_where_it_is_told(
    redis: RedisBroker, last_id: str | None, found: list[int]
) -> None:
    heard: list[int] = []
    reading = redis.subscriber(stream=workers(last_id=last_id))

    @reading
    async def handle(number: int) -> None:
        heard.append(number)

    async with TestRedisBroker(redis, connect_only=True):
        await redis.publish(1, stream="orders")
        await redis.publish(2, stream="orders")
        await redis.start()
        await sleep(1)

    assert heard == found


async def test_a_nacked_message_of_a_stream_comes_again(redis: RedisBroker) -> None:
    runs: list[int] = []

    @redis.subscriber(stream=workers())
    async def handle(number: int, message: RedisMessage) -> None:
        runs.append(message.attempt)
        if len(runs) < 3:
            raise NackMessage(delay=5)

    async with TestRedisBroker(redis):
        await redis.publish(1, stream="orders")
        await sleep(11)

    assert runs == [1, 2, 3]


async def test_a_message_of_a_stream_says_its_id(redis: RedisBroker) -> None:
    ids: list[bytes | None] = []

    @redis.subscriber(stream="orders")
    async def handle(number: int, message: RedisMessage) -> None:
        ids.append(message.raw_message.id)

    async with TestRedisBroker(redis):
        for number in range(2):
            await redis.publish(number, stream="orders")

    assert len({*ids}) == 2
    assert None not in ids


async def test_a_batch_has_as_many_as_its_list_says(redis: RedisBroker) -> None:
    batches: list[list[int]] = []

    @redis.subscriber(list=ListSub("jobs", batch=True, max_records=3))
    async def handle(numbers: list[int]) -> None:
        batches.append(numbers)

    async with TestRedisBroker(redis):
        await redis.publish_batch(*range(7), list="jobs")

    assert [number for batch in batches for number in batch] == [*range(7)]
    assert max(map(len, batches)) <= 3


@pytest.mark.parametrize("where", ["channel", "list", "stream"])
async def test_a_request_gets_its_answer_or_its_failure(redis: RedisBroker, where: str) -> None:
    there: dict[str, Any] = {where: "halve"}

    @redis.subscriber(**there)
    async def halve(number: int) -> int:
        if number % 2:
            raise ValueError("odd")
        return number // 2

    async with TestRedisBroker(redis):
        answer = await redis.request(4, **there)
        assert await answer.decode() == 2
        with pytest.raises(RequestFailed):
            await redis.request(3, **there)


async def test_what_is_for_later_comes_then(redis: RedisBroker) -> None:
    heard: list[int] = []

    @redis.subscriber(stream=workers())
    async def handle(number: int) -> None:
        heard.append(number)

    async with TestRedisBroker(redis):
        await redis.publish(1, stream="orders", delay=60)
        assert heard == []
        await sleep(61)

    assert heard == [1]


async def test_routes_are_declared_by_a_router_with_a_prefix(redis: RedisBroker) -> None:
    heard: list[int] = []

    async def double(number: int) -> int:
        return 2 * number

    route = RedisRoute(double, list="in", publishers=[RedisPublisher(stream="out")])
    redis.include_router(RedisRouter(prefix="shop.", handlers=[route]))

    @redis.subscriber(stream="shop.out")
    async def listen(number: int) -> None:
        heard.append(number)

    async with TestRedisBroker(redis):
        await redis.publish(2, list="shop.in")

    assert heard == [4]


async def test_a_response_says_how_it_is_written(redis: RedisBroker) -> None:
    heard: list[bytes] = []

    @redis.publisher(list="out")
    @redis.subscriber("in")
    async def handle(number: int) -> RedisResponse:
        return RedisResponse(number, message_format=JSONMessageFormat)

    @redis.subscriber(list="out")
    async def listen(number: int, message: RedisMessage) -> None:
        heard.append(message.raw_message.data[:9])

    async with TestRedisBroker(redis):
        await redis.publish(1, "in")

    assert heard == [b'{"data": ']


async def test_a_middleware_may_send_a_message_elsewhere(redis: RedisBroker) -> None:
    heard: list[tuple[str, int]] = []

    class Elsewhere(BaseMiddleware):
        async def publish_scope(self, call_next: Any, cmd: Any) -> Any:
            assert isinstance(cmd, RedisPublishCommand)
            heard.append((cmd.destination_type, cmd.body))
            cmd.set_destination(list="jobs")
            return await call_next(cmd)

    @redis.subscriber(list="jobs")
    async def handle(number: int) -> None:
        heard.append(("handled", number))

    redis.add_middleware(Elsewhere)
    async with TestRedisBroker(redis):
        await redis.publish(1, "news")

    assert heard == [("channel", 1), ("handled", 1)]


async def test_dead_letters_go_where_they_are_kept(redis: RedisBroker) -> None:
    buried: list[tuple[object, ...]] = []

    @redis.subscriber(
        stream=workers(), dead_letter="orders.dead", ack_policy=AckPolicy.REJECT_ON_ERROR
    )
    async def handle(number: int) -> None:
        raise ValueError(number)

    @redis.subscriber(stream="orders.dead")
    async def bury(number: int, message: RedisMessage) -> None:
        said = message.headers
        buried.append((number, said["x-original-kind"], said["x-group"]))

    async with TestRedisBroker(redis):
        with pytest.raises(ValueError, match="7"):
            await redis.publish(7, stream="orders")

    assert buried == [(7, "stream", "workers")]


async def test_a_text_that_json_cannot_carry_is_refused_under_test_too() -> None:
    redis = RedisBroker(message_format=JSONMessageFormat)
    async with TestRedisBroker(redis):
        with pytest.raises(Unpublishable, match="texts only"):
            await redis.publish(b"\xff", "news")


async def test_a_group_that_is_not_to_be_made_has_to_be_there(redis: RedisBroker) -> None:
    @redis.subscriber(stream=workers(declare=False))
    async def handle(number: int) -> None: ...

    with pytest.raises(TopologyError, match="workers"):
        async with TestRedisBroker(redis):
            pass


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "exactly one"),
        ({"channel": "a", "list": "b"}, "exactly one"),
        ({"list": ""}, "exactly one"),
        ({"channel": "logs.{level}.{level}"}, "each once"),
    ],
)
def test_a_mistake_is_told_where_it_is_made(
    redis: RedisBroker, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(DeclarationError, match=why):
        redis.subscriber(**options)


@pytest.mark.parametrize(
    "options",
    [{"group": "g"}, {"consumer": "c"}, {"no_ack": True}, {"min_idle_time": 1000}],
)
def test_a_group_is_named_with_its_consumer(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="consumer="):
        StreamSub("orders", **options)


def test_two_subscribers_are_not_one_consumer(redis: RedisBroker) -> None:
    redis.subscriber(stream=workers())

    with pytest.raises(DeclarationError, match="another name"):
        redis.subscriber(stream=workers())


def test_dead_letters_are_not_read_by_whoever_gave_them_up(redis: RedisBroker) -> None:
    with pytest.raises(DeclarationError, match="would be read by its subscriber"):

        @redis.subscriber(list="jobs", dead_letter="jobs")
        async def handle(number: int) -> None: ...


async def test_the_client_is_of_a_server(redis: RedisBroker) -> None:
    async with TestRedisBroker(redis):
        with pytest.raises(DeclarationError, match="under a test broker"):
            _ = redis.client
