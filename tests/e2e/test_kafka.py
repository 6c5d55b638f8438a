"""Services on a real Kafka."""

from __future__ import annotations

import asyncio
import os
from time import monotonic
from typing import TypeVar

import pytest
from anyio import Event, create_task_group, fail_after, sleep, to_thread

from callboard import AckPolicy, App, Header, NackMessage, RequestFailed, SkipMessage
from callboard import Event as CallboardEvent
from callboard.events import PublicationFailed
from callboard.kafka import (
    KafkaBroker,
    KafkaMessage,
    KafkaPublishMessage,
    KafkaResponse,
    TopicPartition,
)
from callboard_brokers import BatchMessage

from ..brokers.kafka.cluster import client, cluster_at
from ..callboard.spans import SPAN, Spans
from ..proxy import proxy

pytestmark = [pytest.mark.anyio, pytest.mark.broker("kafka"), pytest.mark.slow]


T = TypeVar("T")


class Heard(list[T]):
    """What was handled, and when it is complete."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._complete = Event()

    def hear(self, what: T) -> None:
        self.append(what)
        if len(self) == self._count:
            self._complete.set()

    async def complete(self) -> None:
        with fail_after(45):
            await self._complete.wait()


async def test_a_pipeline_keeps_the_order_of_a_key_through_many_workers(
    kafka: KafkaBroker, topic: str
) -> None:
    heard = Heard[tuple[bytes | None, int]](200)

    @kafka.publisher(f"{topic}.out")
    @kafka.subscriber(topic, group_id=topic, max_workers=8, auto_offset_reset="earliest")
    async def double(number: int) -> int:
        return 2 * number

    @kafka.subscriber(
        f"{topic}.out", group_id=f"{topic}.out", max_workers=8, auto_offset_reset="earliest"
    )
    async def hear(number: int, message: KafkaMessage) -> None:
        heard.hear((message.key, number))

    async with kafka:
        await kafka.start()
        for number in range(200):
            await kafka.publish(number, topic, key=str(number % 7))
        await heard.complete()

    for key in range(7):
        mine = [number for name, number in heard if name == str(key).encode()]
        assert mine == [2 * number for number in range(key, 200, 7)]


@pytest.mark.parametrize("transactional", [False, True])
async def test_a_message_creates_no_topic_by_asking_for_an_answer_there(
    kafka: KafkaBroker, topic: str, transactional: bool, caplog: pytest.LogCaptureFixture
) -> None:
    heard, answered = Heard[int](3), Heard[int](1)

    @kafka.subscriber(
        topic, group_id=topic, auto_offset_reset="earliest", transactional=transactional
    )
    async def handle(number: int) -> int:
        heard.hear(number)
        return number

    @kafka.subscriber(f"{topic}.answers", group_id=topic, auto_offset_reset="earliest")
    async def hear(number: int) -> None:
        answered.hear(number)

    async with kafka:
        await kafka.start()
        await kafka.publish(1, topic, reply_to=f"{topic}.nowhere")
        await kafka.publish(2, topic, reply_to="no topic\r\n")
        await kafka.publish(3, topic, reply_to=f"{topic}.answers")
        await answered.complete()
        async with cluster_at(os.environ["CALLBOARD_KAFKA"]) as cluster:
            assert f"{topic}.nowhere" not in await cluster.topics()

    assert (heard, answered) == ([1, 2, 3], [3])
    assert f"no answer goes to '{topic}.nowhere': Kafka has no topic" in caplog.text
    assert r"no answer goes to 'no topic\r\n': " in caplog.text.replace("\\\\", "\\")


async def test_a_partition_that_is_not_there_fails_a_message_of_a_transaction_once(
    kafka: KafkaBroker, topic: str
) -> None:
    heard, collected = Heard[int](2), Heard[int](1)

    @kafka.publisher(f"{topic}.out")
    @kafka.subscriber(
        topic,
        group_id=topic,
        auto_offset_reset="earliest",
        transactional=True,
        dead_letter=f"{topic}.dead",
    )
    async def handle(number: int) -> KafkaResponse:
        heard.hear(number)
        return KafkaResponse(number, partition=99 if number == 1 else None)

    @kafka.subscriber(f"{topic}.dead", group_id=topic, auto_offset_reset="earliest")
    async def collect(number: int) -> None:
        collected.hear(number)

    async with kafka:
        await kafka.start()
        for number in (1, 2):
            await kafka.publish(number, topic)
        await heard.complete()
        await collected.complete()

    assert (heard, collected) == ([1, 2], [1])


def listen(kafka: KafkaBroker, topic: str) -> tuple[Heard[tuple[int, str]], Heard[str]]:
    """Hear one dead letter of *topic*, with why it is one, and two of its outputs."""
    collected, out = Heard[tuple[int, str]](1), Heard[str](2)

    @kafka.subscriber(f"{topic}.dead", group_id=topic, auto_offset_reset="earliest")
    async def collect(number: int, why: str = Header("x-exception-message")) -> None:
        collected.hear((number, why))

    # What an aborted transaction has left in the log is nobody's output.
    @kafka.subscriber(
        f"{topic}.out",
        group_id=topic,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    async def hear(text: str) -> None:
        out.hear(text)

    return collected, out


async def test_an_output_that_only_kafka_refuses_fails_a_message_of_a_transaction_once(
    kafka: KafkaBroker, topic: str
) -> None:
    heard, (collected, out) = Heard[int](4), listen(kafka, topic)

    @kafka.publisher(f"{topic}.out")
    @kafka.subscriber(
        topic,
        group_id=topic,
        auto_offset_reset="earliest",
        transactional=True,
        dead_letter=f"{topic}.dead",
    )
    async def handle(number: int) -> str:
        heard.hear(number)
        return str(number) * (2000 if number == 2 else 1)

    async with cluster_at(os.environ["CALLBOARD_KAFKA"]) as cluster:
        await cluster.create(f"{topic}.out", 1, {"max.message.bytes": "1000"})
    async with kafka:
        await kafka.start()
        for number in (1, 2, 3):
            await kafka.publish(number, topic)
        await out.complete()
        await collected.complete()

    assert (sorted(out), heard.count(2)) == (["1", "3"], 2)
    [(number, why)] = collected
    assert number == 2
    assert "max.message.bytes" in why


@pytest.mark.parametrize("transactional", [False, True])
async def test_an_output_whose_contents_kafka_refuses_fails_its_message_once(
    kafka: KafkaBroker, topic: str, transactional: bool
) -> None:
    collected, out = listen(kafka, topic)

    @kafka.publisher(f"{topic}.out")
    @kafka.subscriber(
        topic,
        group_id=topic,
        auto_offset_reset="earliest",
        transactional=transactional,
        dead_letter=f"{topic}.dead",
    )
    async def handle(number: int) -> KafkaResponse:
        return KafkaResponse(str(number), key=None if number == 2 else b"key")

    async with cluster_at(os.environ["CALLBOARD_KAFKA"]) as cluster:
        await cluster.create(f"{topic}.out", 1, {"cleanup.policy": "compact"})
    async with kafka:
        await kafka.start()
        await kafka.publish_batch(1, 2, 3, topic=topic)
        await out.complete()
        await collected.complete()

    assert {"1", "3"} <= {*out}
    [(number, why)] = collected
    assert number == 2
    assert "a compacted one, none without a key" in why


@pytest.mark.parametrize("batch", [False, True])
async def test_nothing_that_a_handler_returns_is_a_null_in_kafka_and_nothing_for_its_reader(
    kafka: KafkaBroker, topic: str, batch: bool
) -> None:
    typed, untyped, decoded = Heard[int | None](1), Heard[object](1), Heard[object](1)
    raw = Heard[KafkaMessage](1)

    @kafka.publisher(f"{topic}.out", batch=batch)
    @kafka.subscriber(topic, auto_offset_reset="earliest")
    async def forget(number: int) -> list[None] | None:
        return [None] if batch else None

    @kafka.subscriber(f"{topic}.out", auto_offset_reset="earliest")
    async def hear(number: int | None, message: KafkaMessage) -> None:
        typed.hear(number)
        raw.hear(message)

    @kafka.subscriber(f"{topic}.out", auto_offset_reset="earliest")
    async def hear_anything(body: object, message: KafkaMessage) -> None:
        untyped.hear(body)
        decoded.hear(await message.decode())

    async with kafka:
        await kafka.start()
        await kafka.publish(1, topic)
        for each in (typed, untyped, decoded):
            await each.complete()

    assert raw[0].raw_message.value is None
    assert (typed, untyped, decoded) == ([None], [None], [None])


async def test_a_dead_letter_is_the_record_with_all_its_headers_in_order(
    kafka: KafkaBroker, topic: str
) -> None:
    collected = Heard[KafkaMessage](2)
    headers = [("x", b"1"), ("null", None), ("raw", b"\xff"), ("x", b"2"), ("reply_to", b"me")]

    @kafka.subscriber(
        topic, group_id=topic, auto_offset_reset="earliest", dead_letter=f"{topic}.dead"
    )
    async def handle(message: KafkaMessage) -> None:
        raise ValueError("no")

    @kafka.subscriber(f"{topic}.dead", group_id=topic, auto_offset_reset="earliest")
    async def collect(message: KafkaMessage) -> None:
        collected.hear(message)

    async with (
        kafka,
        client.AIOKafkaProducer(bootstrap_servers=kafka.slot.around.kind.url) as producer,
    ):
        await kafka.start()
        for value in (b"body", None):
            await producer.send_and_wait(topic, value, key=b"k", headers=headers)
        await collected.complete()

    for message, value in zip(collected, (b"body", None), strict=True):
        record = message.raw_message
        assert (record.key, record.value) == (b"k", value)
        assert [*record.headers][:4] == headers[:4]
        assert message.headers["x-original-reply-to"] == "me"


async def test_what_fails_goes_to_the_dead_letters_and_the_others_go_on(
    kafka: KafkaBroker, topic: str
) -> None:
    heard, collected = Heard[int](2), Heard[tuple[int, str]](1)

    @kafka.subscriber(topic, group_id=topic, auto_offset_reset="earliest")
    async def handle(number: int) -> None:
        if number == 2:
            raise ValueError("no twos")
        heard.hear(number)

    @kafka.subscriber(f"{topic}.dead", auto_offset_reset="earliest")
    async def collect(number: int, reason: str = Header("x-exception-message")) -> None:
        collected.hear((number, reason))

    async with kafka:
        await kafka.start()
        for number in (1, 2, 3):
            await kafka.publish(number, topic)
        await heard.complete()
        await collected.complete()

    assert heard == [1, 3]
    assert collected == [(2, "no twos")]


async def test_a_graceful_stop_duplicates_nothing(kafka: KafkaBroker, topic: str) -> None:
    first, second = Heard[int](50), Heard[int](50)
    now = first

    @kafka.subscriber(topic, group_id=topic, max_workers=4, auto_offset_reset="earliest")
    async def handle(number: int) -> None:
        now.hear(number)

    async with kafka:
        await kafka.start()
        for number in range(50):
            await kafka.publish(number, topic)
        await first.complete()
    now = second
    async with kafka:
        await kafka.start()
        for number in range(50, 100):
            await kafka.publish(number, topic)
        await second.complete()

    assert sorted(first) == [*range(50)]
    assert sorted(second) == [*range(50, 100)]


@pytest.mark.parametrize("batch", [False, True])
async def test_one_worker_forwards_more_than_its_mailbox_holds_in_order_and_once(
    kafka: KafkaBroker, topic: str, batch: bool
) -> None:
    """It does not wait for confirmations, but a stop does."""
    handled, heard = Heard[int](300), Heard[tuple[bytes | None, int]](300)

    async def forward(number: int) -> int:
        handled.hear(number)
        return number

    async def forward_all(numbers: list[int]) -> list[int]:
        return [await forward(number) for number in numbers]

    reading = kafka.subscriber(
        topic, group_id=topic, mailbox=50, batch=batch, auto_offset_reset="earliest"
    )
    kafka.publisher(f"{topic}.out", batch=batch)(reading(forward_all if batch else forward))
    async with kafka:
        await kafka.publish_batch(
            *(KafkaPublishMessage(n, key=str(n % 3)) for n in range(300)), topic=topic
        )
        await kafka.start()
        await handled.complete()
        await kafka.stop()
        await kafka.start()
        await sleep(1)

    listening = KafkaBroker(os.environ["CALLBOARD_KAFKA"])

    @listening.subscriber(f"{topic}.out", group_id=f"{topic}.out", auto_offset_reset="earliest")
    async def hear(number: int, message: KafkaMessage) -> None:
        heard.hear((message.key, number))

    async with listening:
        await listening.start()
        await heard.complete()

    assert len(handled) == 300
    for key in range(3):
        mine = [number for name, number in heard if name == str(key).encode()]
        assert mine == [*range(key, 300, 3)]


async def test_a_request_is_answered_and_so_is_one_that_fails(
    kafka: KafkaBroker, topic: str
) -> None:
    @kafka.subscriber(topic, group_id=topic, auto_offset_reset="earliest")
    async def invert(number: int) -> float:
        return 1 / number

    async with kafka:
        await kafka.start()
        assert await (await kafka.request(4, topic)).decode() == 0.25
        with pytest.raises(RequestFailed, match="ZeroDivisionError"):
            await kafka.request(0, topic)


@pytest.mark.parametrize("transactional", [False, True])
async def test_whoever_asks_is_told_that_the_answer_can_never_be_sent(
    kafka: KafkaBroker, topic: str, transactional: bool
) -> None:
    @kafka.subscriber(
        topic, group_id=topic, auto_offset_reset="earliest", transactional=transactional
    )
    async def answer(number: int) -> KafkaResponse:
        return KafkaResponse("x" * 2_000_000)

    async with kafka:
        await kafka.start()
        with pytest.raises(RequestFailed, match="MessageTooLarge"):
            await kafka.request(1, topic, timeout=60)


async def test_a_response_chooses_its_partition_key_and_time(
    kafka: KafkaBroker, topic: str
) -> None:
    heard = Heard[tuple[bytes | None, int, int, int]](1)

    @kafka.publisher(f"{topic}.out")
    @kafka.subscriber(topic, auto_offset_reset="earliest")
    async def answer(number: int) -> KafkaResponse:
        return KafkaResponse(number, key="k", partition=0, timestamp_ms=1_000)

    @kafka.subscriber(partitions=[TopicPartition(f"{topic}.out", 0)], auto_offset_reset="earliest")
    async def hear(number: int, message: KafkaMessage) -> None:
        record = message.raw_message
        heard.hear((record.key, record.partition, record.timestamp, number))

    async with kafka:
        await kafka.start()
        await kafka.publish(5, topic)
        await heard.complete()

    assert heard == [(b"k", 0, 1_000, 5)]


async def test_a_nacked_record_comes_again_while_other_keys_go_on(
    kafka: KafkaBroker, topic: str
) -> None:
    heard = Heard[int](4)
    tries = 0

    @kafka.subscriber(
        topic,
        group_id=topic,
        max_workers=2,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.NACK_ON_ERROR,
    )
    async def handle(number: int) -> None:
        nonlocal tries
        heard.hear(number)
        if number == 1:
            tries += 1
            if tries == 1:
                raise ConnectionError("not yet")

    async with kafka:
        await kafka.start()
        for number in (1, 2, 3):
            await kafka.publish(number, topic, key=str(number))
        await heard.complete()

    assert sorted(heard) == [1, 1, 2, 3]


@pytest.mark.parametrize("max_workers", [1, 4])
async def test_the_key_of_a_nacked_record_waits_through_a_stop_and_a_start(
    kafka: KafkaBroker, topic: str, max_workers: int
) -> None:
    handled, waits = Heard[int](12), Heard[int](4)

    @kafka.subscriber(topic, group_id=topic, max_workers=max_workers, auto_offset_reset="earliest")
    async def handle(number: int) -> None:
        if number in {0, 1} and waits.count(number) < 2:
            waits.hear(number)
            raise NackMessage(delay=0.2 if waits.count(number) == 1 else 60)
        if number not in handled:
            handled.hear(number)

    async with kafka:
        for number in range(12):
            await kafka.publish(number, topic, key=str(number % 3))
        await kafka.start()
        await waits.complete()
    async with kafka:
        await kafka.start()
        await handled.complete()

    for key in range(3):
        assert [number for number in handled if number % 3 == key] == [*range(key, 12, 3)]


async def test_batches_are_published_and_handled_with_their_keys_in_order(
    kafka: KafkaBroker, topic: str
) -> None:
    heard = Heard[tuple[str, int]](300)

    @kafka.subscriber(
        topic,
        group_id=topic,
        batch=True,
        max_records=50,
        max_workers=3,
        auto_offset_reset="earliest",
    )
    async def handle(numbers: list[int], message: BatchMessage) -> None:
        for number, part in zip(numbers, message.parts, strict=True):
            heard.hear(((part.key or b"").decode(), number))

    async with kafka:
        await kafka.start()
        await kafka.publish_batch(
            *(KafkaPublishMessage(number, key=str(number % 5)) for number in range(300)),
            topic=topic,
        )
        await heard.complete()

    for key in range(5):
        assert [n for k, n in heard if k == str(key)] == [*range(key, 300, 5)]


async def test_a_broker_that_cannot_be_reached_is_waited_for_with_one_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kafka = KafkaBroker("127.0.0.1:1")
    lost = Event()
    kafka.events.subscribe(lambda event: lost.set() if event.name == "connection.lost" else None)

    async with create_task_group() as tasks:
        tasks.start_soon(kafka.start)
        with fail_after(45):
            await lost.wait()
        assert not kafka.ready
        tasks.cancel_scope.cancel()
    await kafka.stop()

    lines = [each for each in caplog.records if each.levelname in {"WARNING", "ERROR"}]
    ours = [each for each in lines if each.name == "callboard.kafka"]
    assert len(ours) == 1
    assert "can't reach 127.0.0.1:1, and tries again" in ours[0].getMessage()
    assert all(each.exc_info is None for each in lines)


async def until(ready: bool, app: App) -> None:
    """Wait until *app* is ready, or is not."""
    with fail_after(45):
        while app.ready is not ready:  # noqa: ASYNC110 - of a server
            await sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["refused", "swallowed"])
async def test_an_application_is_not_ready_while_kafka_is_away(topic: str, how: str) -> None:
    through = os.environ["CALLBOARD_KAFKA_PROXY"]
    async with proxy(through, os.environ["CALLBOARD_KAFKA_PROXIED"]) as network:
        kafka, heard = KafkaBroker(through), Heard[str](1)

        @kafka.subscriber(topic, group_id=topic, auto_offset_reset="earliest")
        async def handle(word: str) -> None:
            heard.hear(word)

        app = App(kafka, graceful_timeout=5)
        await app.start()
        assert app.unready == []

        if how == "swallowed":
            network.swallow()
        else:
            network.refuse = True
            network.cut()
        await until(False, app)
        (reason,) = app.unready
        assert reason.startswith(f"app/kafka has not reached {through} for ")

        network.restore()
        await until(True, app)
        await kafka.publish("back", topic)
        await heard.complete()
        await app.stop()


@pytest.mark.slow
@pytest.mark.parametrize("transactional", [False, True])
@pytest.mark.parametrize("seconds", [0.5, 4.0])
async def test_a_kafka_that_hangs_keeps_no_application_beyond_its_deadline(
    topic: str, transactional: bool, seconds: float
) -> None:
    through = os.environ["CALLBOARD_KAFKA_PROXY"]
    async with proxy(through, os.environ["CALLBOARD_KAFKA_PROXIED"]) as network:
        kafka, heard = KafkaBroker(through), Heard[str](1)

        @kafka.subscriber(
            topic,
            group_id=topic,
            auto_offset_reset="earliest",
            commit_interval=60,
            transactional=transactional,
        )
        async def handle(word: str) -> None:
            heard.hear(word)

        app = App(kafka, graceful_timeout=seconds)
        await app.start()
        await kafka.publish("settled, and not committed", topic)
        await heard.complete()
        network.swallow()
        began = monotonic()
        await app.stop()

    # What is cancelled at the deadline has some seconds to clean up; a request would be waited for 40.
    assert monotonic() - began < seconds + 20


async def test_outputs_and_positions_are_committed_together(kafka: KafkaBroker, topic: str) -> None:
    heard, collected = Heard[int](99), Heard[int](1)

    @kafka.publisher(f"{topic}.out")
    @kafka.subscriber(
        topic, group_id=topic, transactional=True, max_workers=4, auto_offset_reset="earliest"
    )
    async def double(number: int) -> int:
        if number == 50:
            raise ValueError("no fifties")
        return 2 * number

    @kafka.subscriber(
        f"{topic}.out", isolation_level="read_committed", auto_offset_reset="earliest"
    )
    async def hear(number: int) -> None:
        heard.hear(number)

    @kafka.subscriber(
        f"{topic}.dead", isolation_level="read_committed", auto_offset_reset="earliest"
    )
    async def collect(number: int) -> None:
        collected.hear(number)

    async with kafka:
        await kafka.start()
        await kafka.publish_batch(*range(100), topic=topic, key="k")
        await heard.complete()
        await collected.complete()

    assert heard == [2 * number for number in range(100) if number != 50]
    assert collected == [50]


@pytest.mark.parametrize("transactional", [False, True])
async def test_what_follows_from_a_record_carries_its_span(topic: str, transactional: bool) -> None:
    spans, ours, heard = Spans(), dict[int, int](), Heard[tuple[int, list[object]]](2)
    broker = KafkaBroker(
        os.environ["CALLBOARD_KAFKA"], instruments=[spans], dead_letter=f"{topic}.out"
    )

    @broker.publisher(f"{topic}.out")
    @broker.subscriber(
        topic, group_id=topic, transactional=transactional, auto_offset_reset="earliest"
    )
    async def forward(number: int) -> int:
        ours[number] = SPAN.get()
        if number == 2:
            raise LookupError("no twos")
        return number

    @broker.subscriber(
        f"{topic}.out", isolation_level="read_committed", auto_offset_reset="earliest"
    )
    async def hear(number: int, message: KafkaMessage) -> None:
        carried = [value for name, value in message.raw_message.headers if name == "span"]
        heard.hear((number, [*carried]))

    async with broker:
        await broker.start()
        await broker.publish_batch(1, 2, topic=topic, key="k")
        await heard.complete()

    # Also the dead letter, which else has every header as it came.
    assert sorted(heard) == [(n, [str(ours[n]).encode()]) for n in (1, 2)]
    assert [cause for cause, span in spans.links if span in ours.values()] == ["0", "0"]


async def test_a_rebalance_waits_for_what_is_in_hand_and_not_for_what_waits_in_the_mailbox(
    kafka: KafkaBroker, topic: str
) -> None:
    begun, gate, revoking = Event(), Event(), Event()
    in_hand: list[object] = []
    first, second = Heard[int](200), Heard[int](200)
    other = KafkaBroker(os.environ["CALLBOARD_KAFKA"])

    @kafka.subscriber(
        topic, group_id=topic, auto_offset_reset="earliest", heartbeat_interval_ms=200
    )
    async def slow(number: int) -> None:
        first.hear(number)
        begun.set()
        await gate.wait()

    @other.subscriber(
        topic, group_id=topic, auto_offset_reset="earliest", heartbeat_interval_ms=200
    )
    async def quick(number: int) -> None:
        second.hear(number)

    def note(event: CallboardEvent) -> None:
        if event.name == "partitions.revoking" and event.attributes["partitions"]:
            in_hand.append(event.attributes["in_hand"])
            revoking.set()

    kafka.events.subscribe(note)
    async with kafka, other:
        await kafka.start()
        await kafka.publish_batch(*range(100), topic=topic)
        with fail_after(45):
            await begun.wait()
        async with create_task_group() as tasks:
            tasks.start_soon(other.start)
            with fail_after(45):
                await revoking.wait()
            gate.set()

        with fail_after(45):
            while len(first) + len(second) < 100:  # noqa: ASYNC110 - of two lists
                await sleep(0.01)

    # The one in hand was finished and committed; what waited in the mailbox was given back.
    assert in_hand[0] == 1
    assert sorted({*first, *second}) == [*range(100)]
    assert len(first) + len(second) == 100


async def test_a_message_that_costs_its_member_the_membership_twice_is_dead_lettered(
    topic: str,
) -> None:
    tries, heard, collected = list[int](), Heard[int](1), Heard[str](1)
    kafka = KafkaBroker(os.environ["CALLBOARD_KAFKA"])

    @kafka.subscriber(
        topic,
        group_id=topic,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.NACK_ON_ERROR,
        dead_letter=f"{topic}.dead",
        max_poll_interval_ms=300,
        session_timeout_ms=1000,
        heartbeat_interval_ms=100,
    )
    async def handle(number: int) -> None:
        if number:
            heard.hear(number)
            return
        tries.append(number)
        until = monotonic() + 1.8
        while monotonic() < until:  # in the event loop
            pass
        raise ValueError

    @kafka.subscriber(f"{topic}.dead", group_id=topic, auto_offset_reset="earliest")
    async def collect(why: str = Header("x-exception-message")) -> None:
        collected.hear(why)

    async with kafka:
        await kafka.publish(0, topic)
        await kafka.publish(1, topic)
        await kafka.start()
        await collected.complete()
        await heard.complete()

    assert len(tries) in {2, 3}  # a try may come before the group tells that it has gone on
    assert "blocked the event loop" in collected[0]


async def test_a_subscriber_goes_back_to_where_it_is_told(kafka: KafkaBroker, topic: str) -> None:
    heard = Heard[int](5)

    @kafka.subscriber(topic, group_id=topic, auto_offset_reset="earliest")
    async def hear(number: int) -> None:
        heard.hear(number)

    subscriber = kafka.subscribers[0]
    async with kafka:
        await kafka.start()
        for number in range(3):
            await kafka.publish(number, topic, no_confirm=True)
        await kafka.flush()
        while len(heard) < 3:  # noqa: ASYNC110 - the event is for all five
            await sleep(0.01)
        subscriber.subscription.seek(TopicPartition(topic, 0), 1)
        await heard.complete()

    assert heard == [0, 1, 2, 1, 2]


@pytest.mark.parametrize("transactional", [False, True])
async def test_whoever_asks_hears_of_a_failure_that_is_dead_lettered(
    kafka: KafkaBroker, topic: str, transactional: bool
) -> None:
    @kafka.subscriber(
        topic, group_id=topic, transactional=transactional, auto_offset_reset="earliest"
    )
    async def handle(number: int) -> None:
        raise ValueError("no")

    async with kafka:
        await kafka.start()
        with pytest.raises(RequestFailed, match="ValueError"):
            await kafka.request(1, topic)


async def test_what_nobody_waits_for_is_told_if_it_fails_under_asyncios_own_run_too(
    kafka: KafkaBroker, topic: str
) -> None:
    told = list[CallboardEvent]()
    kafka.events.subscribe(told.append)

    async def publish() -> None:
        async with cluster_at(os.environ["CALLBOARD_KAFKA"]) as cluster:
            await cluster.create(topic, 1, {"max.message.bytes": "1000"})
        async with kafka:
            await kafka.connect()
            assert await kafka.publish("x" * 2000, topic, no_confirm=True) is None
            await kafka.flush()

    await to_thread.run_sync(asyncio.run, publish())

    assert [each.attributes["address"] for each in told if isinstance(each, PublicationFailed)] == [
        topic
    ]


async def test_a_transactional_handler_that_settles_by_hand_still_publishes(
    kafka: KafkaBroker, topic: str
) -> None:
    heard = Heard[int](1)

    @kafka.publisher(f"{topic}.out")
    @kafka.subscriber(topic, group_id=topic, transactional=True, auto_offset_reset="earliest")
    async def handle(number: int, message: KafkaMessage) -> int:
        await message.ack()
        return number

    @kafka.subscriber(f"{topic}.out", auto_offset_reset="earliest")
    async def hear(number: int) -> None:
        heard.hear(number)

    async with kafka:
        await kafka.start()
        await kafka.publish(1, topic)
        await heard.complete()


async def test_a_partition_that_an_unsettled_record_holds_is_named_in_the_log(
    kafka: KafkaBroker, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    held = Event()
    kafka.events.subscribe(lambda event: held.set() if event.name == "partition.held" else None)

    @kafka.subscriber(topic, group_id=topic, max_span=50, auto_offset_reset="earliest")
    async def handle(number: int) -> None:
        if number == 0:
            raise SkipMessage

    async with kafka:
        await kafka.start()
        await kafka.publish_batch(*range(400), topic=topic)
        for number in range(20):
            await kafka.publish(number + 400, topic)
        with fail_after(45):
            await held.wait()

    assert f"kafka reads no further in {topic}, partition 0, until 0 is settled" in caplog.text
