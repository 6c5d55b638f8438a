"""`callboard.kafka` as it is declared and tested; on a real server: tests/e2e/test_kafka.py."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import pytest

from callboard import DeclarationError, Header, Path, RejectMessage, SetupError
from callboard.instruments import Instrument, Output, Place, Send
from callboard.kafka import (
    KafkaBroker,
    KafkaMessage,
    KafkaPublishMessage,
    KafkaResponse,
    KafkaRouter,
    TestKafkaBroker,
    TopicPartition,
)
from callboard.specification import AsyncAPI
from callboard_brokers import BatchMessage, Confirmation, Delivery, Message
from callboard_brokers.kafka import KafkaTarget

pytestmark = pytest.mark.anyio


@pytest.fixture
def kafka() -> KafkaBroker:
    return KafkaBroker()


async def test_a_handler_of_several_topics_gets_the_records_of_each(kafka: KafkaBroker) -> None:
    heard: list[tuple[str, int]] = []

    @kafka.subscriber("orders", "parcels", group_id="clerks")
    async def handle(number: int, message: KafkaMessage) -> None:
        heard.append((message.raw_message.topic, number))

    async with TestKafkaBroker(kafka):
        await kafka.publish(1, "orders")
        await kafka.publish(2, topic="parcels", key="k")

    assert heard == [("orders", 1), ("parcels", 2)]


async def test_members_of_a_group_share_and_groups_each_get_all(kafka: KafkaBroker) -> None:
    heard: list[str] = []

    def listen(name: str, group: str | None) -> None:
        @kafka.subscriber("orders", group_id=group)
        async def handle(number: int) -> None:
            heard.append(name)

    for name, group in (("a", "one"), ("b", "one"), ("c", "two"), ("d", None)):
        listen(name, group)
    async with TestKafkaBroker(kafka):
        await kafka.publish(1, "orders")

    assert len(heard) == 3
    assert {"c", "d"} < set(heard)


async def test_the_parameters_of_a_pattern_are_the_path(kafka: KafkaBroker) -> None:
    heard: list[str] = []

    @kafka.subscriber(pattern=r"logs\.{level}")
    async def handle(line: str, level: str = Path()) -> None:
        heard.append(f"{level}: {line}")

    async with TestKafkaBroker(kafka):
        await kafka.publish("broken", "logs.error")
        await kafka.publish("unread", "logs.error.disk")

    assert heard == ["error: broken"]


async def test_a_result_says_its_key_headers_and_time(kafka: KafkaBroker) -> None:
    heard: list[tuple[bytes | None, str | bytes, int]] = []

    @kafka.publisher("invoices", key="of the publisher")
    @kafka.subscriber("orders")
    async def bill(number: int) -> KafkaResponse:
        return KafkaResponse(number, key="k", headers={"kind": b"\x01"}, timestamp_ms=5)

    @kafka.subscriber("invoices")
    async def read(number: int, message: KafkaMessage, kind: bytes = Header()) -> None:
        heard.append((message.key, kind, number))

    async with TestKafkaBroker(kafka):
        await kafka.publish(1, "orders")

    assert heard == [(b"k", b"\x01", 1)]


async def test_a_request_is_answered(kafka: KafkaBroker) -> None:
    @kafka.subscriber("double")
    async def double(number: int) -> int:
        return 2 * number

    async with TestKafkaBroker(kafka):
        answer = await kafka.request(4, "double")

    assert await answer.decode() == 8


def test_a_group_can_not_share_partitions_out_and_have_explicit_ones(kafka: KafkaBroker) -> None:
    kafka.subscriber("orders", group_id="billing")
    kafka.subscriber(partitions=[TopicPartition("parcels", 0)], group_id="shipping")
    kafka.subscriber(partitions=[TopicPartition("parcels", 0)])

    with pytest.raises(DeclarationError, match="the group 'billing' reads the explicit partitions"):
        kafka.subscriber(partitions=[TopicPartition("parcels", 0)], group_id="billing")
    with pytest.raises(DeclarationError, match=r"shares out 'parcels'.*another group_id"):
        kafka.subscriber("parcels", group_id="shipping")


@pytest.mark.anyio
async def test_a_router_can_not_bring_explicit_partitions_of_a_group_either(
    kafka: KafkaBroker,
) -> None:
    router = KafkaRouter()

    @router.subscriber(partitions=[TopicPartition("parcels", 0)], group_id="billing")
    @kafka.subscriber("orders", group_id="billing")
    async def handle(body: str) -> None: ...

    kafka.include_router(router)

    with pytest.raises(DeclarationError, match="the group 'billing'"):
        async with TestKafkaBroker(kafka):
            pytest.fail("it has started")


def test_the_signature_shows_topics_and_options(kafka: KafkaBroker) -> None:
    signature = inspect.signature(KafkaBroker.subscriber)

    assert [*signature.parameters][:4] == ["self", "topics", "pattern", "partitions"]
    assert signature.parameters["group_id"].default is None
    assert "topics" in str(inspect.signature(kafka.subscriber))


@pytest.mark.parametrize(
    ("topics", "options", "message"),
    [
        ((), {}, "give exactly one of the three"),
        (("orders",), {"pattern": "o.*"}, "give exactly one of the three"),
        (("orders",), {"partitions": [TopicPartition("orders", 0)]}, "exactly one of the three"),
        (("orders",), {"topics": ("parcels",)}, "topics are given twice"),
        (("no spaces",), {}, "'no spaces' cannot be the name of a topic"),
        ((), {"pattern": "("}, "is no pattern of topics"),
        (("orders",), {"group_instance_id": "a"}, "names a member of no group"),
        (("orders",), {"group": "a"}, "do you mean 'group_id'"),
        (
            ("orders",),
            {"group_id": "g", "transactional": True, "batch": True},
            "no single position",
        ),
        ((), {"topics": "orders"}, "topics='orders' is one name"),
        ((["a", "b"],), {}, "cannot be the name of a topic"),
        (("orders",), {"auto_offset_reset": "newest"}, "is none of .*'latest', 'earliest', 'none'"),
        (("orders",), {"partition_assignment_strategy": "coop"}, "'coop' of a Kafka source"),
        (("orders",), {"max_span": 0}, "max_span=0 of a Kafka source"),
        (("orders",), {"transactional": True}, "needs a group_id"),
        (("orders",), {"max_workers": 0}, "max_workers=0 of a subscriber"),
    ],
)
def test_what_cannot_work_is_refused_at_the_declaration(
    kafka: KafkaBroker, topics: tuple[str, ...], options: dict[str, object], message: str
) -> None:
    subscriber: object = kafka.subscriber

    with pytest.raises(SetupError, match=message):
        subscriber(*topics, **options)  # type: ignore[operator] # pyright: ignore[reportCallIssue] - wrong on purpose


def test_a_topic_that_cannot_be_is_refused_by_a_publisher(kafka: KafkaBroker) -> None:
    with pytest.raises(DeclarationError, match="cannot be the name of a topic"):
        kafka.publisher("")


def test_the_document_names_the_server_and_the_protocol(kafka: KafkaBroker) -> None:
    @kafka.subscriber("orders", group_id="clerks")
    async def handle(number: int) -> None: ...

    document = AsyncAPI(kafka).to_specification().to_jsonable()

    assert document["servers"]["development"]["protocol"] == "kafka"
    assert document["servers"]["development"]["host"] == "localhost:9092"
    assert [each["address"] for each in document["channels"].values()] == ["orders"]


async def test_a_batch_is_published_at_once_and_handled_as_one(kafka: KafkaBroker) -> None:
    batches: list[list[tuple[str, bytes | None]]] = []

    @kafka.subscriber("orders", batch=True)
    async def handle(texts: list[str], message: BatchMessage) -> None:
        batches.append([*zip(texts, [part.key for part in message.parts], strict=True)])
        assert [headers.get("kind") for headers in message.batch_headers] == ["x", "y"]

    async with TestKafkaBroker(kafka):
        second = KafkaPublishMessage("b", key="own", headers={"kind": "y"})
        await kafka.publish_batch("a", second, topic="orders", key="k", headers={"kind": "x"})

    assert batches == [[("a", b"k"), ("b", b"own")]]


class _Marks(Instrument):
    """Gives each output of a batch a header with its number."""

    def around_send(self, send: Send, place: Place, /) -> Send:
        async def marked(outputs: Sequence[Output], cause: Delivery | None) -> Confirmation:
            for number, each in enumerate(outputs):
                each.carry({"number": number})
            assert {each.target.address for each in outputs} == {"orders"}
            return await send(outputs, cause)

        return marked


async def test_an_instrument_sees_each_message_of_a_batch_and_gives_it_headers() -> None:
    kafka, heard = KafkaBroker(instruments=[_Marks()]), list[tuple[str, object]]()

    @kafka.subscriber("orders")
    async def handle(text: str, message: KafkaMessage) -> None:
        heard.append((text, message.header("number")))

    async with TestKafkaBroker(kafka):
        await kafka.publish_batch("a", "b", topic="orders")
        await kafka.publish_batch(topic="orders")

    assert heard == [("a", "0"), ("b", "1")]


async def test_a_publisher_of_batches_publishes_the_elements_with_the_keys_of_their_causes(
    kafka: KafkaBroker,
) -> None:
    heard: list[tuple[bytes | None, int]] = []

    @kafka.publisher("out", batch=True)
    @kafka.subscriber("in", batch=True)
    async def double(numbers: list[int]) -> list[int | Exception]:
        return [ValueError("no") if number == 2 else 2 * number for number in numbers]

    @kafka.subscriber("out")
    async def hear(number: int, message: KafkaMessage) -> None:
        heard.append((message.key, number))

    messages = [KafkaPublishMessage(number, key=str(number)) for number in (1, 2, 3)]
    async with TestKafkaBroker(kafka):
        with pytest.raises(ValueError, match="no"):
            await kafka.publish_batch(*messages, topic="in")

    assert heard == [(b"1", 2), (b"3", 6)]


async def test_a_publisher_of_batches_publishes_nothing_of_none(kafka: KafkaBroker) -> None:
    heard: list[int] = []

    @kafka.publisher("out", batch=True)
    @kafka.subscriber("in")
    async def handle(number: int) -> list[int] | None:
        return [number] if number > 1 else None

    @kafka.subscriber("out")
    async def hear(number: int) -> None:
        heard.append(number)

    async with TestKafkaBroker(kafka):
        await kafka.publish(1, "in")
        await kafka.publish(2, "in")

    assert heard == [2]


async def test_a_publisher_of_batches_needs_a_list(kafka: KafkaBroker) -> None:
    @kafka.publisher("out", batch=True)
    @kafka.subscriber("in")
    async def handle(number: int) -> str:
        return "text"

    async with TestKafkaBroker(kafka):
        with pytest.raises(TypeError, match="publishes the elements of a list, not 'text'"):
            await kafka.publish(1, "in")


async def test_none_travels_as_a_tombstone_and_is_none_again(kafka: KafkaBroker) -> None:
    seen: list[object] = []

    @kafka.publisher("out")
    @kafka.subscriber("in")
    async def forget(number: int) -> None:
        del number

    @kafka.subscriber("out", group_id="raw")
    async def raw(message: KafkaMessage) -> None:
        seen.append((message.tombstone, message.key, await message.decode()))

    @kafka.subscriber("out", group_id="typed")
    async def typed(body: bytes | None) -> None:
        seen.append(body)

    async with TestKafkaBroker(kafka):
        await kafka.publish(1, "in", key="k")

    assert sorted(seen, key=str) == [(True, b"k", None), None]


async def test_the_tombstone_of_another_client_is_none(kafka: KafkaBroker) -> None:
    seen: list[object] = []

    @kafka.subscriber("in", group_id="a")
    async def untyped(body: Any) -> None:
        seen.append(body)

    @kafka.subscriber("in", group_id="b", batch=True)
    async def batch(bodies: list[str | None]) -> None:
        seen.append(bodies)

    async with TestKafkaBroker(kafka) as broker:
        await broker.slot.connection.publish(Message(None, key=b"k"), KafkaTarget("in"))

    assert sorted(seen, key=str) == [None, [None]]


async def test_a_subscriber_takes_milliseconds_where_the_clients_do(kafka: KafkaBroker) -> None:
    declared = kafka.subscriber(
        "orders", group_id="g", batch=True, batch_timeout_ms=200, auto_commit_interval_ms=500
    )

    assert (declared.options.batch_timeout, declared.source.commit_interval) == (0.2, 0.5)


@pytest.mark.parametrize(
    ("seconds", "milliseconds"),
    [
        ({"batch_timeout": 1}, {"batch_timeout_ms": 1}),
        ({"commit_interval": 1}, {"auto_commit_interval_ms": 1}),
        ({"commit_interval": 0.0}, {"auto_commit_interval_ms": 1}),
    ],
)
async def test_a_time_is_said_once(
    kafka: KafkaBroker, seconds: dict[str, Any], milliseconds: dict[str, Any]
) -> None:
    with pytest.raises(DeclarationError, match="in seconds, and in milliseconds too; give one"):
        kafka.subscriber("orders", group_id="g", batch=True, **seconds, **milliseconds)


@pytest.mark.parametrize("never", [{"commit_interval": 0}, {"auto_commit_interval_ms": 0}])
async def test_a_subscriber_that_would_do_nothing_but_commit_is_refused(
    kafka: KafkaBroker, never: dict[str, Any]
) -> None:
    with pytest.raises(DeclarationError, match=r"commit_interval=0.* must be more than 0 seconds"):
        kafka.subscriber("orders", group_id="g", **never)


async def test_a_dead_letter_says_which_record_it_was() -> None:
    kafka, heard = KafkaBroker(dead_letter="{address}.dead"), list[KafkaMessage]()

    @kafka.subscriber("orders", group_id="clerks")
    async def refuse(number: int) -> None:
        raise RejectMessage

    @kafka.subscriber("orders.dead", group_id="clerks")
    async def bury(message: KafkaMessage) -> None:
        heard.append(message)

    async with TestKafkaBroker(kafka):
        await kafka.publish(1, "orders", timestamp_ms=1_700_000_000_000)

    said = heard[0].headers
    assert said["x-group"] == "clerks"
    assert (said["x-original-partition"], said["x-original-offset"]) == ("0", "1")
    assert said["x-original-timestamp"] == "1700000000000"
