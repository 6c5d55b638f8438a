"""A result that can never be sent is a failure of its message, once, by its policy."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import wait_all_tasks_blocked

from callboard import DeclarationError, MemoryBroker, RequestFailed
from callboard.kafka import KafkaBroker, KafkaMessage, KafkaResponse, KafkaRouter, TestKafkaBroker
from callboard_brokers import MessageTooLarge, Unpublishable

pytestmark = pytest.mark.anyio

HEADER_OF_A_LIST: Any = {"n": []}


@pytest.fixture
def kafka() -> KafkaBroker:
    return KafkaBroker(dead_letter="dead")


def letters(broker: KafkaBroker) -> list[KafkaMessage]:
    """Return the list to which the dead letters are added."""
    received: list[KafkaMessage] = []

    @broker.subscriber("dead", group_id="readers")
    async def collect(message: KafkaMessage) -> None:
        received.append(message)

    return received


async def fail_once(broker: KafkaBroker, **options: Any) -> None:
    """Publish a 1, whose result can't be sent, then a 2, whose result can."""
    async with TestKafkaBroker(broker):
        with pytest.raises(Unpublishable, match=r"the header 'n' for '.*': list is none"):
            await broker.publish(1, "in", **options)
        await broker.publish(2, "in")


async def test_of_a_function(kafka: KafkaBroker) -> None:
    collected, calls, heard = letters(kafka), list[int](), list[int]()

    @kafka.publisher("out")
    @kafka.subscriber("in", group_id="g")
    async def handle(number: int) -> KafkaResponse:
        calls.append(number)
        return KafkaResponse(number, headers=HEADER_OF_A_LIST if number == 1 else None)

    @kafka.subscriber("out")
    async def hear(number: int) -> None:
        heard.append(number)

    await fail_once(kafka)

    assert (calls, heard) == ([1, 2], [2])
    assert [(each.body, each.headers["x-exception-type"]) for each in collected] == [
        (b"1", "Unpublishable")
    ]


async def test_of_an_actor(kafka: KafkaBroker) -> None:
    collected, calls = letters(kafka), list[int]()

    @kafka.publisher("out")
    @kafka.subscriber("in", group_id="g")
    class Clerk:
        async def receive(self, number: int) -> KafkaResponse:
            calls.append(number)
            return KafkaResponse(number, headers=HEADER_OF_A_LIST if number == 1 else None)

    await fail_once(kafka)

    assert calls == [1, 2]
    assert [each.body for each in collected] == [b"1"]


async def test_of_a_batch(kafka: KafkaBroker) -> None:
    collected, calls = letters(kafka), list[list[int]]()

    @kafka.publisher("out", batch=True)
    @kafka.subscriber("in", group_id="g", batch=True)
    async def handle(numbers: list[int]) -> list[KafkaResponse]:
        calls.append(numbers)
        return [
            KafkaResponse(each, headers=HEADER_OF_A_LIST if each == 1 else None) for each in numbers
        ]

    await fail_once(kafka)

    assert calls == [[1], [2]]
    assert [each.body for each in collected] == [b"1"]


async def test_of_one_message_in_a_batch(kafka: KafkaBroker) -> None:
    collected, calls, heard = letters(kafka), list[list[int]](), list[int]()

    @kafka.publisher("out", batch=True)
    @kafka.subscriber("in", group_id="g", batch=True, batch_timeout=0.1)
    async def handle(numbers: list[int]) -> list[KafkaResponse]:
        calls.append(numbers)
        return [
            KafkaResponse(each, headers=HEADER_OF_A_LIST if each == 2 else None) for each in numbers
        ]

    @kafka.subscriber("out")
    async def hear(number: int) -> None:
        heard.append(number)

    async with TestKafkaBroker(kafka):
        with pytest.raises(Unpublishable, match="the header 'n' for 'out': list is none"):
            await kafka.publish_batch(1, 2, 3, topic="in")

    assert (calls, heard) == ([[1, 2, 3]], [1, 3])
    assert [each.body for each in collected] == [b"2"]


async def test_of_an_answer(kafka: KafkaBroker) -> None:
    collected, calls = letters(kafka), list[int]()

    @kafka.subscriber("answers")
    async def hear(answer: object) -> None: ...

    @kafka.subscriber("in", group_id="g")
    async def handle(number: int) -> KafkaResponse:
        calls.append(number)
        return KafkaResponse(number, headers=HEADER_OF_A_LIST)

    await fail_once(kafka, reply_to="answers")

    assert calls == [1, 2]
    assert [each.body for each in collected] == [b"1"]


async def test_whoever_waits_for_an_answer_that_can_never_be_sent_is_told_so(
    kafka: KafkaBroker,
) -> None:
    collected = letters(kafka)

    @kafka.subscriber("in", group_id="g")
    async def handle(number: int) -> KafkaResponse:
        return KafkaResponse(number, headers=HEADER_OF_A_LIST)

    async with TestKafkaBroker(kafka):
        with pytest.raises(RequestFailed, match=r"Unpublishable: .*the header 'n'"):
            await kafka.request(1, "in")

    assert [each.body for each in collected] == [b"1"]


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"headers": HEADER_OF_A_LIST}, "the header 'n' for 'orders': list is none"),
        ({"headers": {"n": "\udcff"}}, "can't encode"),
        ({"correlation_id": 5}, "'correlation_id' for 'orders': it is a int"),
        ({"key": 5}, "the key for 'orders' is a int"),
        ({"timestamp_ms": 2**80}, "timestamp_ms"),
    ],
)
async def test_the_test_broker_refuses_what_kafka_refuses(
    kafka: KafkaBroker, options: dict[str, Any], wrong: str
) -> None:
    async with TestKafkaBroker(kafka):
        with pytest.raises(Unpublishable, match=wrong):
            await kafka.publish(1, "orders", **options)


async def test_what_is_more_than_the_broker_was_told_to_send_is_refused_under_test_too() -> None:
    kafka = KafkaBroker(max_request_size=1000)
    async with TestKafkaBroker(kafka):
        with pytest.raises(MessageTooLarge, match="max_request_size is 1000"):
            await kafka.publish(b"x" * 1000, "orders")


async def test_a_dead_letter_for_a_name_that_has_become_impossible_goes_to_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kafka, topic = KafkaBroker(dead_letter="dead.{address}"), 249 * "x"
    heard: list[int] = []

    @kafka.subscriber(topic, group_id="g")
    async def handle(number: int) -> None:
        heard.append(number)
        raise ValueError("no")

    async with TestKafkaBroker(kafka):
        for number in (1, 2):
            with pytest.raises(ValueError, match="no"):
                await kafka.publish(number, topic)

    assert heard == [1, 2]
    assert "no dead letter can be made of message" in caplog.text


async def test_a_dead_letter_is_made_of_whatever_an_error_says(kafka: KafkaBroker) -> None:
    collected = letters(kafka)

    @kafka.subscriber("in", group_id="g")
    async def handle(number: int) -> None:
        raise FileNotFoundError("no file \udcff.txt\x1b[2J")

    async with TestKafkaBroker(kafka):
        with pytest.raises(FileNotFoundError):
            await kafka.publish(1, "in")

    [letter] = collected
    assert letter.headers["x-exception-message"] == r"no file \udcff.txt\x1b[2J"
    assert r"\udcff.txt\x1b[2J" in str(letter.headers["x-exception-stacktrace"])


@pytest.mark.parametrize("address", ["dead letters of {address}", "", "x" * 250, "dead/{address}"])
def test_a_dead_letter_address_that_is_no_topic_is_refused_where_it_is_declared(
    kafka: KafkaBroker, address: str
) -> None:
    with pytest.raises(DeclarationError, match=r"name of a topic|is no address"):
        kafka.subscriber("orders", dead_letter=address)
    with pytest.raises(DeclarationError, match=r"name of a topic|is no address"):
        KafkaRouter(dead_letter=address)
    with pytest.raises(DeclarationError, match=r"name of a topic|is no address"):
        KafkaBroker(dead_letter=address)


def test_an_address_for_answers_that_is_no_topic_is_refused_where_it_is_declared(
    kafka: KafkaBroker,
) -> None:
    with pytest.raises(DeclarationError, match="'a b' cannot be the name of a topic"):
        kafka.publisher("orders", reply_to="a b")
    with pytest.raises(DeclarationError, match=r"cannot publish to '\{x\}'"):
        MemoryBroker().publisher("orders", reply_to="{x}")


def test_a_prefix_that_makes_an_impossible_topic_is_refused(kafka: KafkaBroker) -> None:
    router = KafkaRouter("no good ")
    router.publisher("orders")
    kafka.include_router(router)

    with pytest.raises(DeclarationError, match="'no good orders' cannot be the name of a topic"):
        assert kafka.publishers


async def test_a_tombstone_arrives_as_one_and_so_does_its_dead_letter(kafka: KafkaBroker) -> None:
    collected, heard = letters(kafka), list[tuple[bytes | None, bytes | None, bool]]()

    @kafka.subscriber("in", group_id="g")
    async def handle(message: KafkaMessage) -> None:
        heard.append((message.key, message.raw_message.value, message.tombstone))
        raise ValueError("no")

    async with TestKafkaBroker(kafka):
        with pytest.raises(ValueError, match="no"):
            await kafka.publish(None, "in", key="k", tombstone=True)
        await wait_all_tasks_blocked()

    assert heard == [(b"k", None, True)]
    assert [(each.key, each.raw_message.value, each.tombstone) for each in collected] == heard


async def test_a_publisher_of_batches_publishes_nothing_of_none(kafka: KafkaBroker) -> None:
    heard: list[object] = []

    @kafka.publisher("out", batch=True)
    @kafka.subscriber("in", group_id="g")
    async def handle(number: int) -> list[int | None] | None:
        return [1, None] if number else None

    @kafka.subscriber("out")
    async def hear(message: KafkaMessage) -> None:
        heard.append(message.body)

    async with TestKafkaBroker(kafka):
        await kafka.publish(0, "in")
        await kafka.publish(1, "in")

    assert heard == [b"1", b""]
