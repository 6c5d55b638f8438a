"""`callboard.nats` as it is declared and tested; on a real server: tests/e2e/test_nats.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from anyio import fail_after, sleep

from callboard import AckPolicy, DeclarationError, NackMessage, Path, RequestFailed
from callboard.nats import (
    DeliverPolicy,
    JStream,
    KvWatch,
    NatsBroker,
    NatsMessage,
    NatsPublisher,
    NatsResponse,
    NatsRoute,
    NatsRouter,
    ObjWatch,
    PullSub,
    RetentionPolicy,
    Schedule,
    StorageType,
    TestNatsBroker,
)
from callboard_actors.testing import idle
from callboard_brokers import Unpublishable, Unroutable

pytestmark = pytest.mark.anyio

ORDERS = JStream("ORDERS", ["orders.>"])


@pytest.fixture
def nats() -> NatsBroker:
    return NatsBroker()


async def test_subjects_match_by_tokens(nats: NatsBroker) -> None:
    heard: list[tuple[str, object]] = []

    @nats.subscriber("logs.*")
    async def one(body: object) -> None:
        heard.append(("*", body))

    @nats.subscriber("logs.>")
    async def rest(body: object) -> None:
        heard.append((">", body))

    @nats.subscriber("logs.{level}")
    async def level(body: object, level: str = Path()) -> None:
        heard.append((level, body))

    async with TestNatsBroker(nats):
        await nats.publish(1, "logs.error")
        await nats.publish(2, "logs.error.disk")
        await nats.publish(3, "logs")

    assert sorted(heard, key=str) == [("*", 1), (">", 1), (">", 2), ("error", 1)]


async def test_those_of_one_queue_share_and_others_each_get_a_copy(nats: NatsBroker) -> None:
    heard: list[str] = []

    def listen(name: str, queue: str) -> None:
        @nats.subscriber("news", queue)
        async def handle(number: int) -> None:
            heard.append(name)

    for name, queue in (("a", "one"), ("b", "one"), ("c", "two"), ("d", "")):
        listen(name, queue)
    async with TestNatsBroker(nats):
        await nats.publish(1, "news")

    assert len(heard) == 3
    assert {"c", "d"} < set(heard)


@pytest.mark.parametrize("push", [False, True])
async def test_those_of_one_queue_share_a_stream_too(nats: NatsBroker, push: bool) -> None:
    heard: list[str] = []

    def listen(name: str, queue: str) -> None:
        @nats.subscriber("orders.*", queue, stream=ORDERS, pull_sub=not push)
        async def handle(number: int) -> None:
            heard.append(name)

    for name, queue in (("a", "one"), ("b", "one"), ("c", "two")):
        listen(name, queue)
    async with TestNatsBroker(nats):
        await nats.publish(1, "orders.new")

    assert len(heard) == 2
    assert "c" in heard


async def test_a_stream_keeps_what_comes_before_its_reader(nats: NatsBroker) -> None:
    heard: list[int] = []

    @nats.subscriber("orders.*", stream=ORDERS, durable="billing")
    async def handle(number: int) -> None:
        heard.append(number)

    async with TestNatsBroker(nats):
        await nats.publish(1, "orders.1", stream=ORDERS)

    assert heard == [1]


async def test_a_message_of_a_stream_says_where_it_stands(nats: NatsBroker) -> None:
    places: list[tuple[str, str, int]] = []

    @nats.subscriber("orders.*", stream=ORDERS, durable="billing")
    async def handle(number: int, message: NatsMessage) -> None:
        place = message.raw_message.metadata
        assert place is not None
        places.append((place.stream, place.consumer, place.sequence))

    async with TestNatsBroker(nats):
        for number in range(2):
            await nats.publish(number, "orders.1", stream=ORDERS)

    assert places == [("ORDERS", "billing", 1), ("ORDERS", "billing", 2)]


async def test_a_nacked_message_of_a_stream_comes_again(nats: NatsBroker) -> None:
    runs: list[int] = []

    @nats.subscriber("orders.*", stream=ORDERS)
    async def handle(number: int) -> None:
        runs.append(number)
        if len(runs) < 3:
            raise NackMessage(delay=5)

    async with TestNatsBroker(nats):
        await nats.publish(1, "orders.1", stream=ORDERS)
        await sleep(11)

    assert runs == [1, 1, 1]


async def test_a_request_without_a_reader_fails_at_once(nats: NatsBroker) -> None:
    async with TestNatsBroker(nats):
        with fail_after(1), pytest.raises(Unroutable, match="nobody"):
            await nats.request(1, "nowhere")


async def test_a_request_gets_its_answer_or_its_failure(nats: NatsBroker) -> None:
    @nats.subscriber("halve")
    async def halve(number: int) -> int:
        if number % 2:
            raise ValueError("odd")
        return number // 2

    async with TestNatsBroker(nats):
        answer = await nats.request(4, "halve")
        assert await answer.decode() == 2
        with pytest.raises(RequestFailed):
            await nats.request(3, "halve")


async def test_a_batch_is_pulled_and_settled_message_by_message(nats: NatsBroker) -> None:
    batches: list[list[int]] = []

    @nats.subscriber("orders.*", stream=ORDERS, durable="b", pull_sub=PullSub(3, batch=True))
    async def handle(numbers: list[int]) -> None:
        batches.append(numbers)

    async with TestNatsBroker(nats):
        for number in range(5):
            await nats.publish(number, "orders.1", stream=ORDERS)

    assert [number for batch in batches for number in batch] == [*range(5)]
    assert max(map(len, batches)) <= 3


async def test_a_scheduled_message_comes_at_its_time(nats: NatsBroker) -> None:
    heard: list[int] = []

    @nats.subscriber("later", stream=JStream("LATER", allow_msg_schedules=True))
    async def handle(number: int) -> None:
        heard.append(number)

    async with TestNatsBroker(nats):
        due = datetime.now(UTC) + timedelta(seconds=60)
        await nats.publish(1, "timer", stream="LATER", schedule=Schedule(due, "later"))
        assert heard == []
        await sleep(61)

    assert heard == [1]


async def test_a_response_says_more_than_its_publisher(nats: NatsBroker) -> None:
    heard: list[str | None] = []

    @nats.publisher("out", stream="OUT")
    @nats.subscriber("in")
    async def handle(number: int) -> NatsResponse:
        return NatsResponse(number, headers={"kind": "odd"}, deduplication_id="1")

    @nats.subscriber("out", stream="OUT")
    async def listen(number: int, message: NatsMessage) -> None:
        heard.append(message.raw_message.said(b"Nats-Msg-Id"))

    async with TestNatsBroker(nats):
        await nats.publish(1, "in")

    assert heard == ["1"]


async def test_routes_are_declared_by_a_router_with_a_prefix(nats: NatsBroker) -> None:
    heard: list[int] = []

    async def double(number: int) -> int:
        return 2 * number

    route = NatsRoute(double, "in", publishers=[NatsPublisher("out")])
    nats.include_router(NatsRouter(prefix="shop.", handlers=[route]))

    @nats.subscriber("shop.out")
    async def listen(number: int) -> None:
        heard.append(number)

    async with TestNatsBroker(nats):
        await nats.publish(2, "shop.in")

    assert heard == [4]


async def test_what_a_server_would_refuse_is_refused_under_test_too(nats: NatsBroker) -> None:
    async with TestNatsBroker(nats):
        with pytest.raises(Unpublishable, match="1048576"):
            await nats.publish(b"x" * (2**20 + 1), "big")
        with pytest.raises(Unpublishable, match="names are ASCII"):
            await nats.publish(1, "a", headers={"a b": "c"})


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"subject": "a b"}, "a b"),
        ({"subject": "a", "durable": "d"}, "durable"),
        ({"subject": "a", "stream": "S", "queue": "q.r"}, "q.r"),
        ({"subject": "a", "stream": "S", "queue": "q", "ordered_consumer": True}, "nobody else's"),
        ({"subject": "a", "stream": "S", "kv_watch": "b"}, "one of the three"),
        ({"subject": "a", "stream": "S.x"}, "S.x"),
    ],
)
def test_a_mistake_is_told_where_it_is_made(
    nats: NatsBroker, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(DeclarationError, match=why):
        nats.subscriber(**options)


def test_one_consumer_reads_one_thing(nats: NatsBroker) -> None:
    nats.subscriber("orders.a", stream=ORDERS, durable="same")

    with pytest.raises(DeclarationError, match="another durable="):
        nats.subscriber("orders.b", stream=ORDERS, durable="same")


def test_dead_letters_are_not_read_by_whoever_gave_them_up(nats: NatsBroker) -> None:
    with pytest.raises(DeclarationError, match="would be read by its subscriber"):

        @nats.subscriber("orders.>", dead_letter="orders.dead")
        async def handle(number: int) -> None:
            raise AssertionError(number)


async def test_dead_letters_go_where_they_are_kept(nats: NatsBroker) -> None:
    buried: list[tuple[int, object, object, object]] = []

    @nats.subscriber("orders.new", stream="ORDERS", durable="d", dead_letter="graves.orders")
    async def handle(number: int) -> None:
        raise ValueError(number)

    @nats.subscriber("graves.orders", stream="ORDERS", durable="graves")
    async def bury(number: int, message: NatsMessage) -> None:
        said = message.headers
        names = "x-original-stream", "x-original-sequence", "x-group"
        buried.append((number, *(said[name] for name in names)))  # type: ignore[arg-type] # three

    async with TestNatsBroker(nats):
        with pytest.raises(ValueError, match="7"):
            await nats.publish(7, "orders.new", stream="ORDERS")

    assert buried == [(7, "ORDERS", "1", "d")]


async def test_a_watch_of_keys_hears_of_changes(nats: NatsBroker) -> None:
    heard: list[tuple[str, bytes]] = []

    @nats.subscriber("*", kv_watch=KvWatch("settings"))
    async def handle(value: bytes, message: NatsMessage) -> None:
        heard.append((message.address, value))

    async with TestNatsBroker(nats):
        await nats.publish(b"dark", "$KV.settings.theme")

    assert heard == [("theme", b"dark")]


async def test_buckets_are_on_a_server(nats: NatsBroker) -> None:
    async with TestNatsBroker(nats):
        with pytest.raises(DeclarationError, match="under a test broker"):
            await nats.key_value("settings")


@pytest.mark.parametrize(
    ("history", "found"),
    [(False, [b"white", b"grey"]), (True, [b"red", b"white", b"grey"])],
)
async def test_a_watch_begins_with_what_is_there(
    nats: NatsBroker, history: bool, found: list[bytes]
) -> None:
    heard: list[bytes] = []

    watching = nats.subscriber("*", kv_watch=KvWatch("colors", include_history=history))

    @watching
    async def handle(value: bytes) -> None:
        heard.append(value)

    async with TestNatsBroker(nats):
        await watching.stop()
        for key, color in (("attic", b"red"), ("attic", b"white"), ("cellar", b"grey")):
            await nats.publish(color, f"$KV.colors.{key}")
        await watching.start()
        await idle()

    assert heard == found


@pytest.mark.parametrize(("ignore", "names"), [(False, [b"a", b"a"]), (True, [b"a"])])
async def test_a_watch_of_objects_hears_of_what_is_deleted_unless_it_is_not_to(
    nats: NatsBroker, ignore: bool, names: list[bytes]
) -> None:
    heard: list[bytes] = []

    @nats.subscriber("files", obj_watch=ObjWatch(ignore_deletes=ignore))
    async def handle(name: bytes) -> None:
        heard.append(name)

    async with TestNatsBroker(nats):
        for deleted in (b"false", b"true"):
            await nats.publish(b'{"name": "a", "deleted": %b}' % deleted, "$O.files.M.a")

    assert heard == names


async def test_consumers_of_one_name_share_what_their_stream_has(nats: NatsBroker) -> None:
    heard: list[tuple[str, int]] = []

    def listen(name: str, durable: str | None) -> None:
        @nats.subscriber("orders.*", stream=ORDERS, durable=durable)
        async def handle(number: int) -> None:
            heard.append((name, number))

    for name, durable in (("a", "one"), ("b", "one"), ("c", "two"), ("d", None)):
        listen(name, durable)
    async with TestNatsBroker(nats):
        for number in range(4):
            await nats.publish(number, "orders.1", stream=ORDERS)

    for names in ("ab", "c", "d"):
        assert sorted(number for name, number in heard if name in names) == [0, 1, 2, 3]


async def test_what_is_published_to_a_stream_is_not_for_readers_of_another(
    nats: NatsBroker,
) -> None:
    heard: list[str] = []

    @nats.subscriber(stream="OTHER", filter_subjects=["orders.new", "orders.paid"])
    async def other(body: str) -> None:
        heard.append(f"other: {body}")

    @nats.subscriber(stream="ORDERS", filter_subjects=["orders.paid", "orders.sent"])
    async def ours(body: str, message: NatsMessage) -> None:
        heard.append(f"{message.address}: {body}")

    async with TestNatsBroker(nats):
        await nats.publish("1", "orders.paid", stream="ORDERS")
        await nats.publish("2", "orders.new", stream="ORDERS")

    assert heard == ["orders.paid: 1"]


async def test_confirmed_acknowledgements_are_settlements_under_test(nats: NatsBroker) -> None:
    runs: list[bool] = []

    @nats.subscriber("orders.*", stream=ORDERS, ack_policy=AckPolicy.MANUAL)
    async def handle(number: int, message: NatsMessage) -> None:
        await message.ack_sync()
        runs.append(message.processed)

    async with TestNatsBroker(nats):
        await nats.publish(1, "orders.1", stream=ORDERS)

    assert runs == [True]


def test_policies_have_the_names_that_the_client_has_for_them() -> None:
    broker = NatsBroker()
    stream = JStream("jobs", retention=RetentionPolicy.WORK_QUEUE, storage=StorageType.MEMORY)
    broker.subscriber("jobs.*", stream=stream, deliver_policy=DeliverPolicy.LAST_PER_SUBJECT)

    assert (stream.retention, stream.storage) == ("workqueue", "memory")
    assert broker.subscribers[0].source.deliver_policy == "last_per_subject"
