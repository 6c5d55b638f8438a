"""`callboard.rabbit` as it is declared and tested; on a real server: tests/e2e/test_rabbit.py."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from anyio import create_task_group, current_time, sleep

from callboard import (
    AckPolicy,
    App,
    DeclarationError,
    Header,
    MemoryBroker,
    NackMessage,
    Path,
    RejectMessage,
    RequestFailed,
)
from callboard.rabbit import (
    ExchangeType,
    QueueType,
    RabbitBroker,
    RabbitExchange,
    RabbitExternalAuth,
    RabbitMessage,
    RabbitPublisher,
    RabbitQueue,
    RabbitResponse,
    RabbitRoute,
    RabbitRouter,
    TestRabbitBroker,
)
from callboard.security import SASLPlaintext, SASLScram256
from callboard.specification import AsyncAPI
from callboard_brokers import TopologyError, Unpublishable, Unroutable
from callboard_brokers.rabbit import RabbitSource

pytestmark = pytest.mark.anyio

TOPICS = RabbitExchange("logs", ExchangeType.TOPIC)


@pytest.fixture
def rabbit() -> RabbitBroker:
    return RabbitBroker()


class Heard:
    """What the queues of a broker have brought, by their names."""

    def __init__(self, broker: RabbitBroker) -> None:
        self._broker = broker
        self.all: list[tuple[str, object]] = []

    def by(self, queue: str | RabbitQueue, exchange: str | RabbitExchange | None = None) -> None:
        name = queue if isinstance(queue, str) else queue.name

        @self._broker.subscriber(queue, exchange)
        async def handle(body: object) -> None:
            self.all.append((name, body))


@pytest.fixture
def heard(rabbit: RabbitBroker) -> Heard:
    return Heard(rabbit)


# Routing


async def test_a_message_goes_to_the_queue_of_its_name(rabbit: RabbitBroker, heard: Heard) -> None:
    heard.by("orders")
    heard.by("parcels")

    async with TestRabbitBroker(rabbit):
        await rabbit.publish(1, "orders")
        await rabbit.publish(2, queue=RabbitQueue("parcels"))
        await rabbit.publish(3, routing_key="orders")

    assert heard.all == [("orders", 1), ("parcels", 2), ("orders", 3)]


async def test_readers_of_one_queue_compete_and_queues_each_get_their_copy(
    rabbit: RabbitBroker,
) -> None:
    heard: list[str] = []

    def listen(name: str, queue: str) -> None:
        @rabbit.subscriber(queue, RabbitExchange("news", ExchangeType.FANOUT))
        async def handle(number: int) -> None:
            heard.append(name)

    for name, queue in (("a", "one"), ("b", "one"), ("c", "two")):
        listen(name, queue)
    async with TestRabbitBroker(rabbit):
        await rabbit.publish(1, exchange="news")

    assert len(heard) == 2
    assert "c" in heard


async def test_a_direct_exchange_compares_the_routing_key(
    rabbit: RabbitBroker, heard: Heard
) -> None:
    heard.by(RabbitQueue("errors", routing_key="error"), "levels")
    heard.by("warning", "levels")

    async with TestRabbitBroker(rabbit):
        await rabbit.publish(1, "error", "levels")
        await rabbit.publish(2, exchange="levels", routing_key="warning")
        await rabbit.publish(3, RabbitQueue("errors", routing_key="error"), "levels")

    assert heard.all == [("errors", 1), ("warning", 2), ("errors", 3)]


async def test_a_topic_exchange_compares_words(rabbit: RabbitBroker, heard: Heard) -> None:
    heard.by(RabbitQueue("one", routing_key="logs.*"), TOPICS)
    heard.by(RabbitQueue("many", routing_key="logs.#"), TOPICS)

    async with TestRabbitBroker(rabbit):
        for number, key in enumerate(["logs.error", "logs.error.disk", "logs"]):
            await rabbit.publish(number, exchange=TOPICS, routing_key=key)

    assert sorted(heard.all, key=str) == [("many", 0), ("many", 1), ("many", 2), ("one", 0)]


async def test_names_in_the_routing_key_are_the_path(rabbit: RabbitBroker) -> None:
    heard: list[str] = []

    @rabbit.subscriber(RabbitQueue("errors", routing_key="logs.{level}.{place}"), TOPICS)
    async def handle(line: str, level: str = Path(), place: str = Path()) -> None:
        heard.append(f"{level} in {place}: {line}")

    async with TestRabbitBroker(rabbit):
        await rabbit.publish("full", exchange=TOPICS, routing_key="logs.error.disk")

    assert heard == ["error in disk: full"]


@pytest.mark.parametrize(
    ("bound", "headers", "gets"),
    [
        ({"kind": "pdf", "pages": 3}, {"kind": "pdf", "pages": 3, "more": 1}, True),
        ({"kind": "pdf", "pages": 3}, {"kind": "pdf"}, False),
        ({"kind": "pdf", "pages": 3, "x-match": "any"}, {"kind": "pdf"}, True),
        ({"kind": "pdf", "x-match": "any"}, {"kind": "doc"}, False),
        ({"kind": None}, {"kind": "doc"}, True),
        ({"x-kind": "pdf"}, {}, True),
        ({"x-kind": "pdf", "x-match": "all-with-x"}, {}, False),
    ],
)
async def test_a_headers_exchange_compares_headers(
    rabbit: RabbitBroker, heard: Heard, bound: dict[str, Any], headers: dict[str, Any], gets: bool
) -> None:
    exchange = RabbitExchange("papers", ExchangeType.HEADERS)
    heard.by(RabbitQueue("q", bind_arguments=bound), exchange)

    async with TestRabbitBroker(rabbit):
        await rabbit.publish(1, exchange=exchange, headers=headers, mandatory=False)

    assert heard.all == ([("q", 1)] if gets else [])


async def test_an_exchange_passes_on_to_those_that_are_bound_to_it(
    rabbit: RabbitBroker, heard: Heard
) -> None:
    disk = RabbitExchange("disk", "fanout", bind_to=TOPICS, routing_key="#.disk")
    heard.by("disk", disk)
    heard.by(RabbitQueue("all", routing_key="#"), TOPICS)

    async with TestRabbitBroker(rabbit):
        await rabbit.publish(1, exchange="logs", routing_key="error.disk")
        await rabbit.publish(2, exchange="logs", routing_key="error.net")
        await rabbit.publish(3, exchange="disk")

    assert sorted(heard.all, key=str) == [("all", 1), ("all", 2), ("disk", 1), ("disk", 3)]


async def test_a_hash_exchange_gives_a_routing_key_to_one_queue(
    rabbit: RabbitBroker, heard: Heard
) -> None:
    exchange = RabbitExchange("shards", ExchangeType.X_CONSISTENT_HASH)
    for name in ("one", "two"):
        heard.by(RabbitQueue(name, routing_key="1"), exchange)

    async with TestRabbitBroker(rabbit):
        for number in range(40):
            await rabbit.publish(number % 10, exchange=exchange, routing_key=str(number % 10))

    shards = {body: queue for queue, body in heard.all}
    assert heard.all == [(shards[number % 10], number % 10) for number in range(40)]
    assert {*shards.values()} == {"one", "two"}


async def test_what_nobody_gets_is_an_error_unless_it_may_be_lost(
    rabbit: RabbitBroker, heard: Heard
) -> None:
    heard.by("orders", "shop")

    async with TestRabbitBroker(rabbit) as broker:
        with pytest.raises(Unroutable, match="nobody gets what is published to 'nowhere'"):
            await broker.publish(1, "nowhere")
        with pytest.raises(Unroutable, match="'parcels'"):
            await broker.publish(1, "parcels", "shop")
        with pytest.raises(Unroutable, match="there is no exchange 'market'"):
            await broker.publish(1, "orders", "market", mandatory=False)
        with pytest.raises(Unroutable):
            await broker.request(1, "nowhere")
        await broker.publish(1, "nowhere", mandatory=False)

    assert heard.all == []


async def test_where_a_declared_publisher_leads_is_somebody_though_not_in_this_test(
    rabbit: RabbitBroker,
) -> None:
    invoices = rabbit.publisher("invoices")
    journal = rabbit.publisher(exchange="journal", routing_key="booked")

    @journal
    @invoices
    @rabbit.subscriber("orders")
    async def bill(number: int) -> int:
        return 2 * number

    async with TestRabbitBroker(rabbit):
        await rabbit.publish(4, "orders")

        invoices.mock.assert_called_once_with(8)
        journal.mock.assert_called_once_with(8)


# Topology


async def test_a_passive_queue_that_is_missing_is_told_and_found_once_it_was_declared(
    rabbit: RabbitBroker, heard: Heard
) -> None:
    heard.by(RabbitQueue("orders", declare=False), RabbitExchange("shop", declare=False))

    with pytest.raises(TopologyError, match=r"the queue 'orders', the exchange 'shop': not there"):
        async with TestRabbitBroker(rabbit):
            pytest.fail("it has started")
    async with TestRabbitBroker(rabbit, connect_only=True):
        await rabbit.declare_queue(RabbitQueue("orders"))
        await rabbit.declare_exchange(RabbitExchange("shop"))
        await rabbit.start()
        await rabbit.publish(1, "orders", "shop")

    assert heard.all == [("orders", 1)]


async def test_a_declared_queue_keeps_what_is_published_until_it_is_read(
    rabbit: RabbitBroker,
) -> None:
    subscriber = rabbit.subscriber("orders", persistent=False)

    async with TestRabbitBroker(rabbit):
        await rabbit.declare_queue(RabbitQueue("orders", routing_key="order.*"), TOPICS)
        await rabbit.publish(1, exchange="logs", routing_key="order.new")
        async with subscriber:
            message = await subscriber.get_one()
            assert message is not None
            assert (message.body, message.address) == (b"1", "orders")
            await message.ack()


async def test_a_publisher_of_another_kind_of_queue_than_is_read_is_told(
    rabbit: RabbitBroker, heard: Heard
) -> None:
    heard.by(RabbitQueue("orders", QueueType.QUORUM))
    rabbit.publisher(RabbitQueue("orders", durable=False))

    with pytest.raises(TopologyError, match=r"durable=False, not True; x-queue-type='classic'"):
        async with TestRabbitBroker(rabbit):
            pytest.fail("it has started")


# Settlement and dead letters


@pytest.mark.parametrize("key", [None, "buried"])
async def test_what_is_rejected_goes_to_the_dead_letter_exchange_of_its_queue(
    rabbit: RabbitBroker, key: str | None
) -> None:
    heard: list[tuple[int, str, str, int]] = []
    graves = RabbitExchange("graves")

    @rabbit.subscriber(
        RabbitQueue("orders", dead_letter_exchange="graves", dead_letter_routing_key=key)
    )
    async def refuse(number: int) -> None:
        raise RejectMessage

    @rabbit.subscriber(RabbitQueue("dead", routing_key=key or "orders"), graves)
    async def bury(number: int, message: RabbitMessage) -> None:
        raw = message.raw_message
        death = raw.headers["x-death"][0]
        first = message.headers["x-first-death-queue"]
        heard.append((number, str(first), death["reason"], raw.properties.priority or 0))

    async with TestRabbitBroker(rabbit) as broker:
        await broker.publish(1, "orders", priority=3)

    assert heard == [(1, "orders", "rejected", 3)]


async def test_a_delivery_limit_ends_with_the_dead_letters(rabbit: RabbitBroker) -> None:
    heard: list[str] = []

    @rabbit.subscriber(
        RabbitQueue(
            "orders",
            QueueType.QUORUM,
            delivery_limit=3,
            dead_letter_exchange="",
            dead_letter_routing_key="dead",
        ),
        ack_policy=AckPolicy.NACK_ON_ERROR,
    )
    async def fail(number: int) -> None:
        heard.append("tried")
        raise NackMessage

    @rabbit.subscriber("dead")
    async def bury(number: int, reason: str = Header("x-first-death-reason")) -> None:
        heard.append(reason)

    async with TestRabbitBroker(rabbit):
        await rabbit.publish(1, "orders")
        await sleep(60)

    assert heard == ["tried"] * 4 + ["rejected"]


async def test_a_nack_comes_again_after_its_delay(rabbit: RabbitBroker) -> None:
    heard: list[bool] = []

    @rabbit.subscriber("orders")
    async def handle(number: int, message: RabbitMessage) -> None:
        heard.append(message.raw_message.redelivered)
        if len(heard) == 1:
            raise NackMessage(delay=30)

    async with TestRabbitBroker(rabbit):
        await rabbit.publish(1, "orders")
        assert heard == [False]
        await sleep(31)

    assert len(heard) == 2


@pytest.mark.parametrize(
    ("offset", "seen"),
    [
        ("first", [0, 1, 2, 3]),
        ("last", [2, 3]),
        (1, [1, 2, 3]),
        ("1h", [0, 1, 2, 3]),
        ("next", [3]),
    ],
)
async def test_a_stream_is_read_from_where_its_reader_says(
    rabbit: RabbitBroker, offset: str | int, seen: list[int]
) -> None:
    log = RabbitQueue("log", QueueType.STREAM)
    heard: list[int] = []

    @rabbit.subscriber(log, consume_args={"x-stream-offset": offset})
    async def handle(number: int) -> None:
        heard.append(number)

    async with TestRabbitBroker(rabbit, connect_only=True):
        await rabbit.declare_queue(log)
        for number in range(3):
            await rabbit.publish(number, "log")
        await rabbit.start()
        await rabbit.publish(3, "log")
        await sleep(1)

    assert heard == seen


@pytest.mark.parametrize(("ttl", "expiration"), [(5, None), (None, 5), (5, 60), (60, 5)])
async def test_what_has_waited_for_too_long_goes_to_the_dead_letters(
    rabbit: RabbitBroker, ttl: float | None, expiration: float | None
) -> None:
    heard: list[tuple[int, str, int]] = []
    waiting = RabbitQueue(
        "waiting", message_ttl=ttl, dead_letter_exchange="", dead_letter_routing_key="again"
    )

    @rabbit.subscriber("again")
    async def handle(number: int, message: RabbitMessage) -> None:
        reason = str(message.headers["x-first-death-reason"])
        heard.append((number, reason, round(current_time() - began)))

    async with TestRabbitBroker(rabbit):
        await rabbit.declare_queue(waiting)
        began = current_time()
        await rabbit.publish(1, "waiting", expiration=expiration)
        await sleep(6)

    assert heard == [(1, "expired", 5)]


async def test_what_is_taken_in_time_does_not_expire(rabbit: RabbitBroker) -> None:
    heard: list[int] = []

    @rabbit.subscriber(RabbitQueue("q", message_ttl=1), max_workers=1, mailbox=1)
    async def handle(number: int) -> None:
        await sleep(0.7)
        heard.append(number)

    async with TestRabbitBroker(rabbit), create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(rabbit.publish, number, "q")

    # One is handled and one is in the mailbox at once, and a third fits there after 0.7 seconds.
    assert len(heard) == 3


async def test_a_delayed_exchange_brings_a_message_when_its_time_has_come(
    rabbit: RabbitBroker,
) -> None:
    later = RabbitExchange("later", ExchangeType.X_DELAYED_MESSAGE, delayed_type=ExchangeType.TOPIC)
    heard: list[tuple[str, float]] = []

    @rabbit.subscriber(RabbitQueue("q", routing_key="#"), later)
    async def handle(text: str) -> None:
        heard.append((text, current_time() - began))

    async with TestRabbitBroker(rabbit):
        began = current_time()
        await rabbit.publish("second", exchange=later, routing_key="k", headers={"x-delay": 5000})
        await rabbit.publish("first", exchange=later, routing_key="k")
        await sleep(6)

    assert [(text, round(at)) for text, at in heard] == [("first", 0), ("second", 5)]


@pytest.mark.parametrize("address", ["dead", "{address}.dead"])
async def test_dead_letter_of_a_plain_queue_makes_the_queue_it_names(address: str) -> None:
    rabbit = RabbitBroker(dead_letter=address)

    @rabbit.subscriber(RabbitQueue("orders", routing_key="order.*"), TOPICS)
    async def refuse(number: int) -> None:
        raise ValueError(number)

    async with TestRabbitBroker(rabbit):
        with pytest.raises(ValueError, match="1"):
            await rabbit.publish(1, exchange=TOPICS, routing_key="order.new")
        await rabbit.publish(2, address.replace("{address}", "orders"))


async def test_a_dead_letter_says_how_it_was_routed_and_keeps_its_properties() -> None:
    rabbit, heard = RabbitBroker(dead_letter="dead"), list[RabbitMessage]()

    @rabbit.subscriber(RabbitQueue("orders", routing_key="order.*"), TOPICS)
    async def refuse(number: int) -> None:
        raise RejectMessage

    @rabbit.subscriber("dead")
    async def bury(message: RabbitMessage) -> None:
        heard.append(message)

    async with TestRabbitBroker(rabbit):
        routed = {"exchange": TOPICS, "routing_key": "order.new"}
        await rabbit.publish(1, **routed, priority=3, content_encoding="gzip", persist=False)  # type: ignore[arg-type] # as they are

    [letter] = heard
    assert letter.headers["x-original-address"] == "orders"
    assert letter.headers["x-original-exchange"] == TOPICS.name
    assert letter.headers["x-original-routing-key"] == "order.new"
    kept = letter.raw_message.properties
    assert (kept.priority, kept.content_encoding, kept.delivery_mode) == (3, "gzip", 2)


# Publishing and answers


async def test_a_result_says_where_it_goes_and_how(rabbit: RabbitBroker) -> None:
    heard: list[tuple[Any, ...]] = []

    @rabbit.publisher("invoices", priority=1, message_type="invoice")
    @rabbit.subscriber("orders")
    async def bill(number: int) -> RabbitResponse:
        return RabbitResponse(
            number,
            headers={"kind": b"\x01"},
            exchange=TOPICS,
            routing_key="bill.new",
            expiration=timedelta(seconds=1.5),
            persist=False,
        )

    @rabbit.subscriber(RabbitQueue("bills", routing_key="bill.*"), TOPICS)
    async def read(number: int, message: RabbitMessage, kind: bytes = Header()) -> None:
        given = message.raw_message.properties
        heard.append((number, kind, given.priority, given.type, given.expiration))
        heard.append((message.raw_message.exchange, given.delivery_mode, given.app_id))

    async with TestRabbitBroker(rabbit):
        await rabbit.publish(1, "orders")

    assert heard == [(1, b"\x01", 1, "invoice", "1500"), ("logs", 1, None)]


async def test_what_amqp_can_not_carry_is_refused(rabbit: RabbitBroker, heard: Heard) -> None:
    heard.by("orders")

    async with TestRabbitBroker(rabbit) as broker:
        with pytest.raises(Unpublishable, match="255 is the most"):
            await broker.publish(1, "orders", headers={"x" * 300: 1})
        with pytest.raises(Unpublishable, match="priority=300"):
            await broker.publish(1, "orders", priority=300)


async def test_a_request_is_answered_and_a_failure_is_an_answer(rabbit: RabbitBroker) -> None:
    @rabbit.subscriber(RabbitQueue("double", routing_key="math.double"), TOPICS)
    async def double(number: int) -> int:
        if number < 0:
            raise ValueError(number)
        return 2 * number

    async with TestRabbitBroker(rabbit):
        answer = await rabbit.request(4, exchange=TOPICS, routing_key="math.double")
        assert await answer.decode() == 8
        with pytest.raises(RequestFailed, match="ValueError"):
            await rabbit.request(-1, exchange=TOPICS, routing_key="math.double")


@pytest.mark.parametrize("reply_to", ["answers", "answer.new|logs"])
async def test_an_answer_goes_to_a_queue_or_through_an_exchange(
    rabbit: RabbitBroker, heard: Heard, reply_to: str
) -> None:
    @rabbit.subscriber("double")
    async def double(number: int) -> int:
        return 2 * number

    heard.by(RabbitQueue("answers", routing_key="answer.*"), TOPICS)

    async with TestRabbitBroker(rabbit):
        await rabbit.publish(4, "double", reply_to=reply_to)

    assert heard.all == [("answers", 8)]


async def test_messages_of_a_key_in_a_header_keep_their_order(rabbit: RabbitBroker) -> None:
    heard: list[int] = []

    @rabbit.subscriber("orders", max_workers=8, key_header="x-customer")
    async def handle(number: int) -> None:
        await sleep(1 / (1 + number))
        heard.append(number)

    async with TestRabbitBroker(rabbit, connect_only=True):
        await rabbit.start()
        for number in range(8):
            await rabbit.publish(number, "orders", headers={"x-customer": "ann"})

    assert heard == [*range(8)]


# Routers and applications


async def test_a_prefix_goes_before_queues_and_routing_keys_of_routes_too(
    rabbit: RabbitBroker, heard: Heard
) -> None:
    async def double(number: int) -> int:
        return 2 * number

    router = RabbitRouter(
        "eu.",
        [
            RabbitRoute(
                double,
                RabbitQueue("orders", routing_key="order.*"),
                TOPICS,
                publishers=[RabbitPublisher("invoices")],
                max_workers=2,
            )
        ],
    )
    rabbit.include_router(router)
    heard.by("eu.invoices")

    async with TestRabbitBroker(rabbit):
        await rabbit.publish(4, exchange=TOPICS, routing_key="eu.order.new")

    assert heard.all == [("eu.invoices", 8)]
    assert await double(2) == 4


async def test_an_application_passes_from_memory_to_rabbit(rabbit: RabbitBroker) -> None:
    memory = MemoryBroker()
    heard: list[int] = []

    @rabbit.publisher("doubled")
    @memory.subscriber("numbers")
    async def double(number: int) -> int:
        return 2 * number

    @rabbit.subscriber("doubled")
    async def hear(number: int) -> None:
        heard.append(number)

    App(memory, rabbit)
    async with TestRabbitBroker(memory), TestRabbitBroker(rabbit):
        await memory.publish(4, "numbers")
        await sleep(1)

    assert heard == [8]


# Declarations


def wrongly(declare: Any, *arguments: Any, **options: Any) -> None:
    declare(*arguments, **options)


WRONG: list[tuple[Callable[[RabbitBroker], Any], str]] = [
    (
        lambda rabbit: rabbit.subscriber(RabbitQueue("q", routing_key="{b}"), "e"),
        "a topic exchange",
    ),
    (lambda rabbit: rabbit.subscriber("q", consume_args={"x-stream-offset": 1}), "only a stream"),
    (lambda rabbit: rabbit.subscriber(""), "cannot be the name of a queue"),
    (lambda rabbit: wrongly(rabbit.subscriber), "missing a required argument: 'queue'"),
    (
        lambda rabbit: wrongly(rabbit.subscriber, "q", "e", "r"),
        "by position it takes queue, exchange",
    ),
    (lambda rabbit: wrongly(rabbit.subscriber, "q", prefetch=1), "'prefetch'"),
    (lambda rabbit: rabbit.publisher("a", routing_key="b"), "routing_key='b': without"),
    (lambda rabbit: rabbit.publisher(), "give a queue, or an exchange"),
    (lambda rabbit: rabbit.publisher("logs.{level}"), "none with braces"),
    (lambda _: RabbitBroker([]), "amqp://user:password@host:5672"),
    (lambda _: RabbitBroker("localhost:5672"), "amqp://user:password@host:5672"),
    (lambda _: RabbitBroker("amqp://guest:secret@host:port/"), "amqp://user:password@host:5672"),
    (lambda _: RabbitBroker(security=SASLScram256("ann", "secret")), "is not for RabbitMQ"),
]


@pytest.mark.parametrize(("declare", "why"), WRONG, ids=[why for _, why in WRONG])
def test_what_can_not_work_is_refused_where_it_is_declared(
    rabbit: RabbitBroker, declare: Callable[[RabbitBroker], Any], why: str
) -> None:
    with pytest.raises(DeclarationError, match=why) as raised:
        declare(rabbit)

    assert "secret" not in str(raised.value)


def test_one_queue_is_declared_in_one_way(rabbit: RabbitBroker) -> None:
    rabbit.subscriber(RabbitQueue("q", max_length=5), "e")
    rabbit.subscriber(RabbitQueue("q", max_length=5, routing_key="other"), "e")

    with pytest.raises(DeclarationError, match=r"the queue 'q'.*x-max-length=None, not 5"):
        rabbit.subscriber("q")
    with pytest.raises(DeclarationError, match=r"the exchange 'e'.*type='topic', not 'direct'"):
        rabbit.subscriber("other", RabbitExchange("e", "topic"))


def test_the_path_of_a_handler_is_that_of_its_routing_key(rabbit: RabbitBroker) -> None:
    with pytest.raises(DeclarationError, match=r"'logs.\{level\}' has no \{place\}"):

        @rabbit.subscriber(RabbitQueue("q", routing_key="logs.{level}"), TOPICS)
        async def handle(body: str, place: str = Path()) -> None: ...


def test_one_function_handles_a_queue_by_two_routing_keys(rabbit: RabbitBroker) -> None:
    @rabbit.subscriber(RabbitQueue("q", routing_key="a"), "e")
    @rabbit.subscriber(RabbitQueue("q", routing_key="b"), "e")
    async def handle(body: str) -> None: ...

    assert [each.source for each in rabbit.subscribers] == [
        RabbitSource(RabbitQueue("q", routing_key=key), "e") for key in "ab"
    ]


@pytest.mark.parametrize(
    ("broker", "host", "protocol"),
    [
        (RabbitBroker(), "localhost:5672", "amqp"),
        (RabbitBroker("amqp://ann:secret@one:1/shop", host="two", port=2), "two:2", "amqp"),
        (RabbitBroker("amqps://ann:secret@one"), "one", "amqps"),
        (
            RabbitBroker(
                "amqp://one",
                security=SASLPlaintext("ann", "se/cret", ssl_context=ssl.create_default_context()),
            ),
            "one",
            "amqps",
        ),
        (
            RabbitBroker(
                host="::1", security=RabbitExternalAuth(ssl_context=ssl.create_default_context())
            ),
            "[::1]:5672",
            "amqps",
        ),
    ],
)
def test_documents_say_where_the_server_is_and_no_password(
    broker: RabbitBroker, host: str, protocol: str
) -> None:
    specification = AsyncAPI(broker).to_specification()

    server = next(iter(specification.document["servers"].values()))
    assert (server["host"], server["protocol"]) == (host, protocol)
    assert "secret" not in specification.to_json()


def test_documents_show_the_routing_key_that_messages_have(rabbit: RabbitBroker) -> None:
    @rabbit.subscriber(RabbitQueue("q", routing_key="logs.{level}"), TOPICS)
    async def handle(body: str, level: str = Path()) -> None: ...

    channels = AsyncAPI(rabbit).to_specification().document["channels"].values()

    assert [each["address"] for each in channels] == ["logs.{level}"]
