"""Services on a real RabbitMQ."""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncGenerator
from uuid import uuid4

import pytest
from anyio import create_task_group, sleep

from callboard import (
    AckPolicy,
    App,
    Header,
    MemoryBroker,
    NackMessage,
    Path,
    RejectMessage,
    RequestFailed,
)
from callboard.dead import Letter
from callboard.rabbit import (
    ExchangeType,
    QueueType,
    RabbitBroker,
    RabbitExchange,
    RabbitExternalAuth,
    RabbitMessage,
    RabbitQueue,
    TestRabbitBroker,
)
from callboard_brokers import AccessRefused, TopologyError, Unroutable

from ..brokers.rabbit.server import on_both, server_at, trusting, url_of
from .test_kafka import Heard

pytestmark = [pytest.mark.anyio, pytest.mark.broker("rabbit"), pytest.mark.slow]

KINDS = [QueueType.CLASSIC, QueueType.QUORUM]


@pytest.fixture
def node(request: pytest.FixtureRequest) -> str:
    return str(getattr(request, "param", "rabbit"))


@pytest.fixture
def url(node: str) -> str:
    return url_of(node)


@pytest.fixture
def rabbit(url: str) -> RabbitBroker:
    return RabbitBroker(url)


@pytest.fixture
async def name(url: str) -> AsyncGenerator[str]:
    """A name that no queue has, nor with .out or .dead behind it; such are deleted in the end."""
    name = f"e2e.{uuid4().hex}"
    yield name
    async with server_at(url) as server:
        for queue in (name, f"{name}.out", f"{name}.dead"):
            await server.delete(queue)


def exchange_of(name: str) -> RabbitExchange:
    return RabbitExchange(name, ExchangeType.TOPIC, auto_delete=True)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_pipeline_with_one_worker_keeps_the_order(
    rabbit: RabbitBroker, name: str, kind: QueueType
) -> None:
    heard = Heard[int](300)

    @rabbit.publisher(f"{name}.out")
    @rabbit.subscriber(RabbitQueue(name, kind))
    async def double(number: int) -> int:
        return 2 * number

    @rabbit.subscriber(RabbitQueue(f"{name}.out", kind))
    async def hear(number: int) -> None:
        heard.hear(number)

    async with rabbit:
        await rabbit.start()
        for number in range(300):
            await rabbit.publish(number, name)
        await heard.complete()

    assert heard == [2 * number for number in range(300)]


async def test_a_hundred_requests_are_under_way_at_once(rabbit: RabbitBroker, name: str) -> None:
    answers: dict[int, object] = {}

    @rabbit.subscriber(name, max_workers=100)
    async def double(number: int) -> int:
        await sleep(0.2)
        if number == 13:
            raise ValueError(number)
        return 2 * number

    async def ask(number: int) -> None:
        try:
            answers[number] = await (await rabbit.request(number, name, timeout=60)).decode()
        except RequestFailed as error:
            answers[number] = error.kind

    async with rabbit:
        await rabbit.start()
        async with create_task_group() as group:
            for number in range(100):
                group.start_soon(ask, number)

    assert answers == {n: "ValueError" if n == 13 else 2 * n for n in range(100)}


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_rejected_goes_to_the_queue_of_the_dead(
    rabbit: RabbitBroker, name: str, kind: QueueType
) -> None:
    heard = Heard[tuple[int, str]](1)
    dead = f"{name}.dead"

    @rabbit.subscriber(
        RabbitQueue(name, kind, dead_letter_exchange="", dead_letter_routing_key=dead)
    )
    async def refuse(number: int) -> None:
        raise RejectMessage

    @rabbit.subscriber(RabbitQueue(dead, kind))
    async def bury(number: int, reason: str = Header("x-first-death-reason")) -> None:
        heard.hear((number, reason))

    async with rabbit:
        await rabbit.start()
        await rabbit.publish(1, name)
        await heard.complete()

    assert heard == [(1, "rejected")]


@on_both
async def test_a_letter_of_what_has_waited_names_the_queue_that_it_died_in(
    rabbit: RabbitBroker, name: str
) -> None:
    heard, seen = Heard[object](1), Heard[object](1)
    dead = f"{name}.dead"

    @rabbit.subscriber(
        RabbitQueue(name, dead_letter_exchange="", dead_letter_routing_key=dead, auto_delete=True)
    )
    async def refuse(number: int, message: RabbitMessage) -> None:
        seen.hear([each for each in message.headers if "death" in each])
        raise RejectMessage

    @rabbit.subscriber(dead)
    async def bury(message: RabbitMessage) -> None:
        said = message.headers
        letter = Letter(message, dead)
        heard.hear((letter.origin, letter.exception, len(json.loads(str(said["x-death"])))))

    async with rabbit:
        await rabbit.start()
        await rabbit.publish(1, name, delay=0.2)
        await seen.complete()
        await heard.complete()

    assert seen == [[]]
    assert heard == [(name, "rejected", 1)]


@on_both
async def test_what_is_due_for_a_queue_that_is_gone_takes_the_way_that_its_exchange_has_left(
    rabbit: RabbitBroker, url: str, name: str
) -> None:
    heard = Heard[int](1)
    lost = RabbitExchange(f"{name}.lost", ExchangeType.FANOUT, auto_delete=True)
    otherwise = {"alternate-exchange": lost.name}
    work = RabbitExchange(f"{name}.work", arguments=otherwise)

    @rabbit.subscriber(RabbitQueue(f"{name}.dead"), lost)
    async def keep(number: int) -> None:
        heard.hear(number)

    async with rabbit, server_at(url) as server:
        await rabbit.declare_queue(RabbitQueue(name), work)
        await rabbit.start()
        await rabbit.publish(1, name, work, delay=0.5)
        await server.delete(name)
        await heard.complete()
        await server.delete_exchange(work.name)

    assert heard == [1]


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_nacked_comes_again(rabbit: RabbitBroker, name: str, kind: QueueType) -> None:
    heard = Heard[int](3)

    @rabbit.subscriber(RabbitQueue(name, kind))
    async def handle(number: int) -> None:
        heard.hear(number)
        if len(heard) < 3:
            raise NackMessage

    async with rabbit:
        await rabbit.start()
        await rabbit.publish(1, name)
        await heard.complete()

    assert heard == [1, 1, 1]


@on_both
async def test_a_delivery_limit_ends_a_message_that_always_fails(
    rabbit: RabbitBroker, name: str
) -> None:
    tried: list[int] = []
    heard = Heard[str](1)
    dead = f"{name}.dead"

    @rabbit.subscriber(
        RabbitQueue(
            name,
            QueueType.QUORUM,
            delivery_limit=3,
            delayed_retry_type="failed",
            delayed_retry_min=0.05,
            delayed_retry_max=0.2,
            dead_letter_exchange="",
            dead_letter_routing_key=dead,
        ),
        ack_policy=AckPolicy.NACK_ON_ERROR,
    )
    async def fail(number: int) -> None:
        tried.append(number)
        raise ValueError(number)

    @rabbit.subscriber(dead)
    async def bury(number: int, reason: str = Header("x-first-death-reason")) -> None:
        heard.hear(reason)

    async with rabbit:
        await rabbit.start()
        await rabbit.publish(1, name)
        await heard.complete()

    assert (tried, heard) == ([1] * 4, ["rejected"])


@pytest.mark.parametrize("there", [None, {"x-queue-type": "quorum"}])
async def test_dead_letter_of_a_plain_queue_needs_no_queue_and_takes_one_as_it_is(
    url: str, name: str, there: dict[str, str] | None
) -> None:
    rabbit = RabbitBroker(url, dead_letter="{address}.dead")
    heard = Heard[int](1)
    exchange = exchange_of(name)

    @rabbit.subscriber(RabbitQueue(name, routing_key="order.{kind}"), exchange)
    async def refuse(number: int, kind: str = Path()) -> None:
        heard.hear(number)
        raise ValueError(kind)

    async with server_at(url) as server:
        if there is not None:
            await server.declare(f"{name}.dead", there)
        async with rabbit:
            await rabbit.start()
            await rabbit.publish(5, exchange=exchange, routing_key="order.new")
            await heard.complete()
        assert await server.take_all(f"{name}.dead") == [b"5"]


@on_both
async def test_a_graceful_stop_under_load_doubles_and_loses_nothing(url: str, name: str) -> None:
    done: list[int] = []
    heard = Heard[int](200)

    def service() -> RabbitBroker:
        broker = RabbitBroker(url)

        @broker.subscriber(RabbitQueue(name, QueueType.QUORUM), max_workers=8)
        async def handle(number: int) -> None:
            await sleep(0.005)
            done.append(number)
            if len(heard) < 200:
                heard.hear(number)

        return broker

    first = service()
    async with first:
        await first.start()
        async with create_task_group() as group:
            for number in range(1000):
                group.start_soon(first.publish, number, name)
        await heard.complete()
    stopped = len(done)
    async with service() as second:
        await second.start()
        for _ in range(900):
            if len(done) >= 1000:
                break
            await sleep(0.05)

    assert stopped < 1000
    assert sorted(done) == [*range(1000)]


async def test_an_application_passes_from_memory_to_rabbit(rabbit: RabbitBroker, name: str) -> None:
    memory = MemoryBroker()
    app = App(memory, rabbit)
    heard = Heard[int](100)

    @rabbit.publisher(name)
    @memory.subscriber("numbers", group="all")
    async def double(number: int) -> int:
        return 2 * number

    @rabbit.subscriber(name)
    async def hear(number: int) -> None:
        heard.hear(number)

    await app.start()
    for number in range(100):
        await memory.publish(number, "numbers")
    await heard.complete()
    await app.stop()

    assert heard == [2 * number for number in range(100)]


async def test_messages_are_addressed_by_their_queue_and_keep_their_routing_key(
    rabbit: RabbitBroker, name: str
) -> None:
    heard = Heard[tuple[str, str, int | None]](1)
    exchange = exchange_of(name)

    @rabbit.subscriber(RabbitQueue(name, routing_key="logs.#"), exchange)
    async def handle(body: str, message: RabbitMessage) -> None:
        raw = message.raw_message
        heard.hear((message.address, raw.routing_key, raw.properties.priority))

    async with rabbit:
        await rabbit.start()
        await rabbit.publish("x", exchange=exchange, routing_key="logs.a.b", priority=3)
        await heard.complete()

    assert heard == [(name, "logs.a.b", 3)]


@pytest.mark.parametrize("under_test", [False, True], ids=["real", "under test"])
async def test_what_is_published_to_nobody_is_the_same_error_with_a_server_and_without(
    rabbit: RabbitBroker, name: str, under_test: bool
) -> None:
    @rabbit.subscriber(name)
    async def hear(number: int) -> None: ...

    async with TestRabbitBroker(rabbit) if under_test else rabbit:
        await rabbit.start()
        for queue, exchange, mandatory, error in [
            (f"{name}.out", None, True, f"nobody gets what is published to '{name}.out'"),
            ("key", "amq.topic", True, "nobody gets what is published to 'key'"),
            (name, f"{name}.no", True, f"there is no exchange '{name}.no'; declare it"),
            (name, f"{name}.no", False, f"there is no exchange '{name}.no'"),
        ]:
            with pytest.raises(Unroutable, match=re.escape(error)):
                await rabbit.publish(1, queue, exchange, mandatory=mandatory)
        with pytest.raises(Unroutable, match="nobody gets what is published to"):
            await rabbit.request(1, f"{name}.out", timeout=60)
        await rabbit.publish(1, f"{name}.out", mandatory=False)
        await rabbit.publish(1, "key", "amq.match", mandatory=False)
        await rabbit.publish(1, name)


async def test_a_body_of_an_unknown_content_type_is_dead_with_what_to_do(
    url: str, name: str
) -> None:
    rabbit, heard = RabbitBroker(url, dead_letter="{address}.dead"), Heard[object](1)

    @rabbit.subscriber(name)
    async def handle(number: int) -> None: ...

    @rabbit.subscriber(f"{name}.dead")
    async def bury(body: bytes, message: RabbitMessage) -> None:
        heard.hear(message.headers["x-exception-message"])

    async with rabbit:
        await rabbit.start()
        await rabbit.publish(b"\x00", name, content_type="application/avro")
        await heard.complete()

    assert "type 'application/avro' cannot be decoded" in str(heard[0])
    assert "add it with Codec()" in str(heard[0])


async def test_a_queue_that_is_there_with_other_arguments_is_told_with_the_servers_reason(
    rabbit: RabbitBroker, url: str, name: str
) -> None:
    @rabbit.subscriber(RabbitQueue(name, max_length=5))
    async def handle(body: str) -> None: ...

    async with server_at(url) as server:
        await server.declare(name)

    with pytest.raises(TopologyError, match="x-max-length"):
        async with rabbit:
            await rabbit.start()


async def test_a_passive_queue_that_is_missing_is_told(rabbit: RabbitBroker, name: str) -> None:
    @rabbit.subscriber(RabbitQueue(name, declare=False))
    async def handle(body: str) -> None: ...

    with pytest.raises(TopologyError, match=name):
        async with rabbit:
            await rabbit.start()


async def test_a_wrong_password_and_a_missing_virtual_host_are_told_at_once(url: str) -> None:
    wrong = RabbitBroker(url.replace(":guest@", ":wrong-secret@"))
    with pytest.raises(AccessRefused, match="password") as raised:
        await wrong.connect()
    assert "wrong-secret" not in str(raised.value)

    with pytest.raises(AccessRefused, match="vhost nowhere"):
        await RabbitBroker(url, virtualhost="nowhere").connect()


@pytest.mark.broker("rabbit_tls")
async def test_a_service_is_known_by_its_certificate(name: str) -> None:
    host, _, port = os.environ["CALLBOARD_RABBIT_TLS"].partition(":")
    security = RabbitExternalAuth(ssl_context=trusting(client=True))
    rabbit = RabbitBroker(host=host, port=int(port), security=security)

    @rabbit.subscriber(name)
    async def double(number: int) -> int:
        return 2 * number

    async with rabbit:
        await rabbit.start()
        answer = await rabbit.request(21, name, timeout=15)

        assert await answer.decode() == 42


async def test_an_exchange_without_its_plugin_is_told(rabbit: RabbitBroker, name: str) -> None:
    later = RabbitExchange(name, ExchangeType.X_DELAYED_MESSAGE)

    async with rabbit:
        with pytest.raises(TopologyError, match="rabbitmq_delayed_message_exchange"):
            await rabbit.declare_exchange(later)
