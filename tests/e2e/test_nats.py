"""Services on a real NATS."""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path as File

import pytest
from anyio import create_task_group, fail_after, sleep

from callboard import AckPolicy, App, MemoryBroker, NackMessage, Path, RequestFailed
from callboard.nats import (
    ConsumerConfig,
    JStream,
    KvWatch,
    NatsBroker,
    NatsMessage,
    NatsNKey,
    NatsResponse,
    NatsSecurity,
    NatsUserPassword,
    ObjWatch,
    PullSub,
    Schedule,
)
from callboard.security import BaseSecurity, SASLPlaintext
from callboard_brokers import (
    AccessRefused,
    BatchMessage,
    MessageTooLarge,
    TopologyError,
    Unroutable,
)

from ..brokers.nats.conftest import name, server
from ..brokers.nats.server import Server
from ..brokers.nats.test_security import SEED
from .test_kafka import Heard

__all__ = ["name", "server"]

pytestmark = [pytest.mark.anyio, pytest.mark.broker("nats"), pytest.mark.slow]


@pytest.fixture
def address() -> str:
    return os.environ["CALLBOARD_NATS"]


@pytest.fixture
def nats(address: str) -> NatsBroker:
    return NatsBroker(address)


@pytest.fixture
def stream(name: str, server: Server) -> JStream:
    """A stream of one test, which ends with it."""
    server.made.add(name)
    return JStream(name, [f"{name}.>"], storage="memory", max_age=300)


async def test_a_pipeline_without_a_stream_keeps_the_order(nats: NatsBroker, name: str) -> None:
    heard = Heard[int](300)

    @nats.publisher(f"{name}.out")
    @nats.subscriber(f"{name}.in")
    async def double(number: int) -> int:
        return 2 * number

    @nats.subscriber(f"{name}.out")
    async def hear(number: int) -> None:
        heard.hear(number)

    async with nats:
        await nats.start()
        for number in range(300):
            await nats.publish(number, f"{name}.in")
        await heard.complete()

    assert heard == [2 * number for number in range(300)]


async def test_a_name_in_a_subject_is_a_parameter(nats: NatsBroker, name: str) -> None:
    heard = Heard[tuple[str, str]](1)

    @nats.subscriber(f"{name}.{{level}}.>")
    async def hear(body: str, message: NatsMessage, level: str = Path()) -> None:
        heard.hear((level, message.address))

    async with nats:
        await nats.start()
        await nats.publish("full", f"{name}.error.disk")
        await heard.complete()

    assert heard == [("error", f"{name}.error.disk")]


async def test_those_of_one_queue_share_and_others_get_a_copy(nats: NatsBroker, name: str) -> None:
    heard = Heard[tuple[str, int]](100)

    @nats.subscriber(name, "clerks")
    async def one(number: int) -> None:
        heard.hear(("clerks", number))

    @nats.subscriber(name, "clerks")
    async def two(number: int) -> None:
        heard.hear(("clerks", number))

    @nats.subscriber(name)
    async def all_of_them(number: int) -> None:
        heard.hear(("all", number))

    async with nats:
        await nats.start()
        for number in range(50):
            await nats.publish(number, name)
        await heard.complete()

    assert sorted(heard) == [(who, n) for who in ("all", "clerks") for n in range(50)]


async def test_a_durable_consumer_goes_on_where_the_last_service_was(
    address: str, name: str, stream: JStream
) -> None:
    heard: list[int] = []

    async def serve(last: int, wanted: int) -> None:
        nats, done = NatsBroker(address), Heard[int](wanted)

        @nats.subscriber(f"{name}.a", stream=stream, durable="billing")
        async def handle(number: int) -> None:
            heard.append(number)
            done.hear(number)

        async with nats:
            await nats.start()
            await nats.publish(last, f"{name}.a", stream=stream)
            await done.complete()

    async with NatsBroker(address) as outside:
        await serve(0, wanted=1)
        for number in (1, 2):
            await outside.publish(number, f"{name}.a", stream=name)
        await serve(3, wanted=3)

    assert heard == [0, 1, 2, 3]


async def test_a_graceful_stop_under_load_doubles_and_loses_nothing(
    address: str, name: str, stream: JStream
) -> None:
    done: list[int] = []
    heard = Heard[int](200)

    def service() -> NatsBroker:
        nats = NatsBroker(address)

        @nats.subscriber(f"{name}.a", stream=stream, durable="d", max_workers=8)
        async def handle(number: int) -> None:
            await sleep(0.005)
            done.append(number)
            if len(heard) < 200:
                heard.hear(number)

        return nats

    first = service()
    async with first:
        await first.start()
        async with create_task_group() as group:
            for number in range(1000):
                group.start_soon(partial(first.publish, number, f"{name}.a", stream=stream))
        await heard.complete()
    stopped = len(done)
    async with service() as second:
        await second.start()
        with fail_after(15):
            while len(done) < 1000:  # noqa: ASYNC110 - of a list
                await sleep(0.05)

    assert stopped < 1000
    assert sorted(done) == [*range(1000)]


async def test_a_batch_is_pulled_and_what_fails_of_it_comes_again(
    nats: NatsBroker, name: str, stream: JStream
) -> None:
    batches: list[list[int]] = []
    heard = Heard[int](21)

    @nats.subscriber(
        f"{name}.a",
        stream=stream,
        durable="d",
        pull_sub=PullSub(10, timeout=0.5, batch=True),
    )
    async def handle(numbers: list[int], message: BatchMessage) -> None:
        batches.append(numbers)
        for number in numbers:
            heard.hear(number)
        if len(batches) == 1:
            await message.parts[0].nack(delay=0.1)  # the others are settled as their handler ends

    async with nats:
        await nats.start()
        for number in range(20):
            await nats.publish(number, f"{name}.a", stream=stream)
        await heard.complete()

    assert sorted(heard) == sorted([*range(20), batches[0][0]])
    assert max(map(len, batches)) <= 10


async def test_order_by_subject_and_by_a_header_survives_many_workers(
    nats: NatsBroker, name: str, stream: JStream
) -> None:
    of_subjects = Heard[tuple[str, int]](90)
    of_headers = Heard[tuple[str, int]](90)

    @nats.subscriber(
        f"{name}.*", stream=stream, durable="subjects", max_workers=8, ordered_by="partition"
    )
    async def one(number: int, message: NatsMessage) -> None:
        await sleep(0.01 if number % 3 == 0 else 0)
        of_subjects.hear((message.address, number))

    @nats.subscriber(
        f"{name}.*", stream=stream, durable="headers", max_workers=8, key_header="customer"
    )
    async def two(number: int, message: NatsMessage) -> None:
        await sleep(0.01 if number % 3 == 0 else 0)
        of_headers.hear((str(message.headers["customer"]), number))

    async with nats:
        await nats.start()
        for number in range(90):
            subject, customer = f"{name}.{number % 5}", f"c{number % 7}"
            await nats.publish(number, subject, stream=stream, headers={"customer": customer})
        await of_subjects.complete()
        await of_headers.complete()

    for heard in (of_subjects, of_headers):
        for key in {key for key, _ in heard}:
            numbers = [number for each, number in heard if each == key]
            assert numbers == sorted(numbers)


async def test_a_nacked_message_comes_again_and_one_that_always_fails_is_buried(
    nats: NatsBroker, name: str, stream: JStream
) -> None:
    tried: list[int] = []
    buried = Heard[str](1)

    @nats.subscriber(f"{name}.a", stream=stream, durable="d", dead_letter=f"{name}.dead")
    async def fail(body: str) -> None:
        tried.append(len(tried))
        if len(tried) < 3:
            raise NackMessage(delay=0.05)
        raise ValueError(body)

    @nats.subscriber(f"{name}.dead", stream=stream, durable="graves")
    async def bury(body: str) -> None:
        buried.hear(body)

    async with nats:
        await nats.start()
        await nats.publish("x", f"{name}.a", stream=stream)
        await buried.complete()

    assert (len(tried), buried) == (3, ["x"])


@pytest.mark.parametrize("batch", [True, False])
async def test_what_is_delivered_no_more_is_a_dead_letter(
    nats: NatsBroker, stream: JStream, name: str, batch: bool
) -> None:
    heard = Heard[tuple[str, object, object]](1)

    @nats.subscriber(
        f"{name}.a",
        stream=stream,
        durable="d",
        max_deliver=2,
        batch=batch,
        ack_policy=AckPolicy.NACK_ON_ERROR,
        dead_letter=f"{name}.dead",
    )
    async def fail(body: object) -> None:
        raise ValueError(body)

    @nats.subscriber(f"{name}.dead", stream=stream, durable="graves")
    async def bury(text: str, message: NatsMessage) -> None:
        headers = message.headers
        heard.hear((text, headers["x-exception-type"], headers["x-deliveries"]))

    async with nats:
        await nats.start()
        await nats.publish("poison", f"{name}.a", stream=stream)
        await heard.complete()

    assert heard == [("poison", "DeliveriesExhausted", "2")]


async def test_a_message_that_is_acknowledged_and_confirmed_is_done(
    nats: NatsBroker, name: str, stream: JStream, server: Server
) -> None:
    heard = Heard[int](1)

    @nats.subscriber(f"{name}.a", stream=stream, durable="d", ack_policy=AckPolicy.MANUAL)
    async def handle(number: int, message: NatsMessage) -> None:
        await message.ack_sync()
        heard.hear((await server.consumer(name, "d"))["num_ack_pending"])

    async with nats:
        await nats.start()
        await nats.publish(1, f"{name}.a", stream=stream)
        await heard.complete()

    assert heard == [0]


async def test_a_stream_keeps_one_of_two_messages_with_one_id(
    nats: NatsBroker, name: str, stream: JStream
) -> None:
    nats.publisher(f"{name}.a", stream=stream)  # has it be there
    async with nats:
        await nats.start()
        first = await nats.publish(1, f"{name}.a", stream=stream, deduplication_id="order-1")
        second = await nats.publish(1, f"{name}.a", stream=stream, deduplication_id="order-1")

    assert first is not None
    assert second is not None
    assert (first.duplicate, second.duplicate) == (False, True)
    assert first.sequence == second.sequence


async def test_a_response_says_in_which_stream_it_is_kept(
    nats: NatsBroker, name: str, stream: JStream
) -> None:
    heard = Heard[str | None](1)

    @nats.publisher(f"{name}.b")
    @nats.subscriber(f"{name}_in")
    async def copy(body: str) -> NatsResponse:
        return NatsResponse(body, stream=stream, deduplication_id=body)

    @nats.subscriber(f"{name}.b", stream=stream)
    async def hear(body: str, message: NatsMessage) -> None:
        heard.hear(message.raw_message.said(b"Nats-Msg-Id"))

    async with nats:
        await nats.start()
        await nats.publish("x", f"{name}_in")
        await heard.complete()

    assert heard == ["x"]


async def test_a_scheduled_message_comes_at_its_time(
    nats: NatsBroker, name: str, server: Server
) -> None:
    if server.version < (2, 12):
        pytest.skip("schedules need NATS 2.12")
    server.made.add(name)
    timed = JStream(name, [f"{name}.>"], storage="memory", allow_msg_schedules=True)
    heard = Heard[datetime](1)

    @nats.subscriber(f"{name}.due", stream=timed)
    async def hear(number: int) -> None:
        heard.hear(datetime.now(UTC))

    async with nats:
        await nats.start()
        due = datetime.now(UTC) + timedelta(seconds=1)
        schedule = Schedule(due, f"{name}.due")
        await nats.publish(1, f"{name}.timer", stream=timed, schedule=schedule)
        await heard.complete()

    assert heard[0] >= due - timedelta(seconds=0.2)


async def test_requests_are_under_way_together_and_failures_are_answers(
    nats: NatsBroker, name: str
) -> None:
    answers: dict[int, object] = {}

    @nats.subscriber(name, max_workers=100)
    async def double(number: int) -> int:
        await sleep(0.2)
        if number == 13:
            raise ValueError(number)
        return 2 * number

    async def ask(number: int) -> None:
        try:
            answers[number] = await (await nats.request(number, name, timeout=15)).decode()
        except RequestFailed as error:
            answers[number] = error.kind

    async with nats:
        await nats.start()
        async with create_task_group() as group:
            for number in range(100):
                group.start_soon(ask, number)

    assert answers == {n: "ValueError" if n == 13 else 2 * n for n in range(100)}


async def test_a_request_that_nobody_answers_fails_at_once(nats: NatsBroker, name: str) -> None:
    async with nats:
        with fail_after(10), pytest.raises(Unroutable, match=name):
            await nats.request(1, name, timeout=30)


async def test_an_answer_may_be_sent_to_an_inbox(nats: NatsBroker, name: str) -> None:
    heard = Heard[int](1)
    inbox = await nats.new_inbox()

    @nats.subscriber(name)
    async def double(number: int) -> int:
        return 2 * number

    @nats.subscriber(inbox)
    async def hear(number: int) -> None:
        heard.hear(number)

    async with nats:
        await nats.start()
        await nats.publish(4, name, reply_to=inbox)
        await heard.complete()

    assert heard == [8]


async def test_changes_of_keys_are_heard_of_from_the_present_values_on(
    nats: NatsBroker, name: str, server: Server
) -> None:
    server.made.add(f"KV_{name}")
    heard = Heard[tuple[str, bytes]](3)

    @nats.subscriber("color.{room}", kv_watch=KvWatch(name, ignore_deletes=True))
    async def hear(value: bytes, room: str = Path()) -> None:
        heard.hear((room, value))

    async with nats:
        bucket = await nats.key_value(name, history=5)
        for room, color in (("attic", b"red"), ("cellar", b"grey"), ("attic", b"white")):
            await bucket.put(f"color.{room}", color)
        await nats.start()
        await bucket.delete("color.cellar")
        await bucket.put("color.cellar", b"black")
        await heard.complete()

    assert heard == [("cellar", b"grey"), ("attic", b"white"), ("cellar", b"black")]


async def test_changes_of_objects_are_heard_of_by_their_names(
    nats: NatsBroker, name: str, server: Server
) -> None:
    server.made.add(f"OBJ_{name}")
    heard = Heard[str](2)

    @nats.subscriber(name, obj_watch=ObjWatch(ignore_deletes=True))
    async def hear(file: str, message: NatsMessage) -> None:
        bucket = await nats.object_storage(message.address)
        heard.hear(f"{file}: {(await bucket.get(file)).data!r}")

    async with nats:
        bucket = await nats.object_storage(name)
        await bucket.put("a.txt", b"first")
        await nats.start()
        await bucket.put("b.txt", b"second")
        await heard.complete()

    assert heard == ["a.txt: b'first'", "b.txt: b'second'"]


async def test_a_bucket_that_is_not_declared_and_missing_is_told(
    nats: NatsBroker, name: str
) -> None:
    async with nats:
        for find in (nats.key_value, nats.object_storage):
            with pytest.raises(TopologyError, match=f"missing.*{name}"):
                await find(name, declare=False)


async def test_an_application_passes_from_memory_to_nats(nats: NatsBroker, name: str) -> None:
    memory = MemoryBroker()
    app = App(memory, nats)
    heard = Heard[int](100)

    @nats.publisher(name)
    @memory.subscriber("numbers", group="all")
    async def double(number: int) -> int:
        return 2 * number

    @nats.subscriber(name)
    async def hear(number: int) -> None:
        heard.hear(number)

    await app.start()
    for number in range(100):
        await memory.publish(number, "numbers")
    await heard.complete()
    await app.stop()

    assert heard == [2 * number for number in range(100)]


@pytest.mark.parametrize(
    "security",
    [
        NatsUserPassword("alice", "alice-secret"),
        SASLPlaintext("alice", "alice-secret"),
        NatsNKey.from_string(SEED),
    ],
    ids=["user", "plain", "key"],
)
async def test_whoever_proves_who_he_is_comes_in(address: str, security: BaseSecurity) -> None:
    async with NatsBroker(address, security=security) as nats:
        await nats.ping()


@pytest.mark.broker("nats_tls")
async def test_a_server_is_spoken_to_by_tls_and_one_without_jetstream_keeps_nothing(
    name: str,
) -> None:
    folder = File(os.environ["CALLBOARD_NATS_CERTIFICATES"])
    known = NatsSecurity(ssl_context=ssl.create_default_context(cafile=folder / "ca.crt"))
    nats = NatsBroker(os.environ["CALLBOARD_NATS_TLS"], security=known)

    @nats.subscriber(name, stream=name)
    async def handle(body: str) -> None: ...

    async with nats:
        await nats.publish(1, name)
        with fail_after(15), pytest.raises(TopologyError, match="no JetStream"):
            await nats.start()


async def test_whoever_does_not_prove_it_is_turned_away_at_once(address: str) -> None:
    with fail_after(15), pytest.raises(AccessRefused) as raised:
        await NatsBroker(address, security=NatsUserPassword("alice", "wrong-secret")).connect()

    assert "wrong-secret" not in str(raised.value)


async def test_a_stream_that_overlaps_another_is_told_with_its_name(
    nats: NatsBroker, name: str, stream: JStream
) -> None:
    nats.publisher(f"{name}.a", stream=stream)
    nats.publisher(f"{name}.a", stream=f"{name}_2")

    with pytest.raises(TopologyError, match=f"'{name}' reads"):
        async with nats:
            await nats.start()


async def test_a_consumer_that_is_there_and_differs_is_told_with_the_difference(
    address: str, name: str, stream: JStream
) -> None:
    def service(seconds: float) -> NatsBroker:
        nats = NatsBroker(address)
        config = ConsumerConfig(ack_wait=seconds)

        @nats.subscriber(f"{name}.a", stream=stream, durable="d", config=config)
        async def handle(body: str) -> None: ...

        return nats

    async with service(30) as nats:
        await nats.start()
    with pytest.raises(TopologyError, match="ack_wait is 30 s, and should be 20 s"):
        async with service(20) as nats:
            await nats.start()


async def test_what_is_too_large_for_the_server_is_told_and_publishing_goes_on(
    nats: NatsBroker, name: str
) -> None:
    async with nats:
        with pytest.raises(MessageTooLarge, match="max_payload"):
            await nats.publish(b"x" * (2**21 + 1), name)
        await nats.publish(b"x", name)


async def test_what_no_stream_takes_is_told(nats: NatsBroker, name: str) -> None:
    async with nats:
        with fail_after(15), pytest.raises(Unroutable, match="no stream"):
            await nats.publish(1, f"{name}.a", stream=JStream(name, declare=False))


async def test_a_stream_that_is_not_to_be_made_and_missing_is_told_at_once(
    nats: NatsBroker, name: str
) -> None:
    @nats.subscriber(name, stream=JStream(name, declare=False), durable="d")
    async def handle(body: str) -> None: ...

    with fail_after(15), pytest.raises(TopologyError, match=f"missing.*{name}"):
        async with nats:
            await nats.start()
