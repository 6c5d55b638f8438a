"""What handlers return, on its way to other subscribers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from anyio import wait_all_tasks_blocked
from pydantic import BaseModel

from callboard import (
    App,
    DeclarationError,
    EncodeError,
    Header,
    MemoryBroker,
    Message,
    NotRunning,
    Publisher,
    Response,
    TestBroker,
)

pytestmark = pytest.mark.anyio


class Order(BaseModel):
    id: int


class Rush(Order):
    hours: int


def listen(broker: MemoryBroker, *addresses: str) -> list[Message]:
    """Return the list to which everything sent to *addresses* is added."""
    heard: list[Message] = []

    async def hear(message: Message) -> None:
        heard.append(message)

    for address in addresses:
        broker.subscriber(address)(hear)
    return heard


def addressed(messages: Sequence[Message]) -> list[tuple[str, bytes]]:
    return [(message.address, message.body) for message in messages]


async def test_publishers_stand_above_or_below_the_subscriber(broker: MemoryBroker) -> None:
    heard = listen(broker, "out.{place}")

    @broker.publisher("out.above")
    @broker.subscriber("in")
    @broker.publisher("out.below")
    async def handle(number: int) -> int:
        return number + 1

    async with TestBroker(broker):
        await broker.publish(1, "in")

    assert addressed(heard) == [("out.below", b"2"), ("out.above", b"2")]


async def test_the_publisher_nearest_to_the_function_publishes_first(broker: MemoryBroker) -> None:
    heard = listen(broker, "out.{number}")

    @broker.publisher("out.3")
    @broker.publisher("out.2")
    @broker.publisher("out.1")
    @broker.subscriber("in")
    async def handle(number: int) -> int:
        return number

    async with TestBroker(broker):
        await broker.publish(1, "in")

    assert [message.address for message in heard] == ["out.1", "out.2", "out.3"]


async def test_one_publisher_serves_several_handlers(broker: MemoryBroker) -> None:
    heard = listen(broker, "out")
    out = broker.publisher("out")

    @out
    @broker.subscriber("one")
    async def one(number: int) -> int:
        return number

    @out
    @broker.subscriber("two")
    async def two(number: int) -> int:
        return number

    async with TestBroker(broker):
        await broker.publish(1, "one")
        await broker.publish(2, "two")

    assert [message.body for message in heard] == [b"1", b"2"]


async def test_one_function_on_two_subscribers_publishes_from_both(broker: MemoryBroker) -> None:
    heard = listen(broker, "out")

    @broker.publisher("out")
    @broker.subscriber("one")
    @broker.subscriber("two")
    async def handle(number: int) -> int:
        return number

    async with TestBroker(broker):
        await broker.publish(1, "one")
        await broker.publish(2, "two")

    assert [message.body for message in heard] == [b"1", b"2"]


async def test_an_actor_class_publishes_what_receive_returns(broker: MemoryBroker) -> None:
    heard = listen(broker, "sums")

    @broker.publisher("sums")
    @broker.subscriber("numbers")
    class Sum:
        def __init__(self) -> None:
            self.total = 0

        async def receive(self, number: int) -> int:
            self.total += number
            return self.total

    async with TestBroker(broker):
        await broker.publish(1, "numbers")
        await broker.publish(2, "numbers")

    assert [message.body for message in heard] == [b"1", b"3"]


async def test_a_result_of_none_is_published_too(broker: MemoryBroker) -> None:
    heard = listen(broker, "out")

    @broker.publisher("out")
    @broker.subscriber("in")
    async def handle(number: int) -> None: ...

    async with TestBroker(broker):
        await broker.publish(1, "in")

    assert addressed(heard) == [("out", b"")]


async def test_a_result_keeps_the_key_and_the_correlation_of_its_cause(
    broker: MemoryBroker,
) -> None:
    heard = listen(broker, "out")

    @broker.publisher("out")
    @broker.subscriber("in")
    async def handle(number: int) -> int:
        return number

    async with TestBroker(broker):
        await broker.publish(1, "in", key="k", correlation_id="c", message_id="m")

    [message] = heard
    assert (message.key, message.correlation_id) == (b"k", "c")
    assert message.message_id not in (None, "m")


async def test_a_publisher_may_have_a_key_of_its_own(broker: MemoryBroker) -> None:
    heard = listen(broker, "out")

    @broker.publisher("out", key="own")
    @broker.subscriber("in")
    async def handle(number: int) -> int:
        return number

    async with TestBroker(broker):
        await broker.publish(1, "in", key="k")

    assert heard[0].key == b"own"


async def test_a_response_adds_headers_and_a_correlation_id(broker: MemoryBroker) -> None:
    heard = listen(broker, "out")

    @broker.publisher("out")
    @broker.subscriber("in")
    async def handle(number: int) -> Response:
        return Response(Order(id=number), headers={"x-n": "1"}, correlation_id="mine")

    async with TestBroker(broker):
        await broker.publish(5, "in", key="k", correlation_id="c")

    [message] = heard
    assert message.body == b'{"id":5}'
    assert message.headers == {"x-n": "1"}
    assert (message.correlation_id, message.key) == ("mine", b"k")


async def test_a_response_without_a_correlation_id_keeps_that_of_its_cause(
    broker: MemoryBroker,
) -> None:
    heard = listen(broker, "out")

    @broker.publisher("out")
    @broker.subscriber("in")
    async def handle(number: int) -> Response | None:
        return Response(number)

    async with TestBroker(broker):
        await broker.publish(5, "in", correlation_id="c")

    assert heard[0].correlation_id == "c"


@pytest.mark.parametrize(
    ("annotation", "result", "body", "content_type"),
    [
        (int, "5", b"5", "application/json"),
        (Order, {"id": "5"}, b'{"id":5}', "application/json"),
        (Order, Rush(id=5, hours=1), b'{"id":5,"hours":1}', "application/json"),
        (list[Order], ({"id": 5},), b'[{"id":5}]', "application/json"),
        (str, "text", b"text", "text/plain"),
        (bytes, b"raw", b"raw", None),
        (Any, {"a": 1}, b'{"a":1}', "application/json"),
        (None, None, b"", "application/json"),
    ],
)
async def test_a_result_is_cast_to_the_return_annotation(
    broker: MemoryBroker, annotation: Any, result: object, body: bytes, content_type: str | None
) -> None:
    heard = listen(broker, "out")

    async def handle(number: int) -> object:
        return result

    handle.__annotations__["return"] = annotation
    broker.publisher("out")(broker.subscriber("in")(handle))
    async with TestBroker(broker):
        await broker.publish(1, "in")

    assert [(message.body, message.content_type) for message in heard] == [(body, content_type)]


async def test_the_schema_of_a_publisher_beats_the_return_annotation(broker: MemoryBroker) -> None:
    heard = listen(broker, "out")

    @broker.publisher("out", schema=Order)
    @broker.subscriber("in")
    async def handle(number: int) -> dict[str, Any]:
        return {"id": str(number), "more": True}

    async with TestBroker(broker):
        await broker.publish(1, "in")

    assert heard[0].body == b'{"id":1}'


async def test_a_publisher_of_another_broker_publishes_there() -> None:
    source, sink = MemoryBroker(), MemoryBroker()
    app = App(source, sink)
    heard = listen(sink, "out")

    @sink.publisher("out")
    @source.publisher("out")
    @source.subscriber("in")
    async def handle(number: int) -> int:
        return number

    apart = listen(source, "out")
    await app.start()
    await source.publish(1, "in")
    await wait_all_tasks_blocked()
    await app.stop()

    assert addressed(heard) == addressed(apart) == [("out", b"1")]


async def test_each_handler_of_a_subscriber_has_its_own_publishers(broker: MemoryBroker) -> None:
    heard = listen(broker, "small", "large")
    subscriber = broker.subscriber("in", max_workers=2)

    @broker.publisher("small")
    @subscriber(filter=lambda message: len(message.body) < 2)
    async def small(number: int) -> int:
        return number

    @broker.publisher("large")
    @subscriber
    async def large(number: int) -> str:
        return f"<{number}>"

    async with TestBroker(broker):
        await broker.publish(10, "in")
        await broker.publish(1, "in")

    assert addressed(heard) == [("large", b"<10>"), ("small", b"1")]


async def test_a_publisher_publishes_by_itself(broker: MemoryBroker) -> None:
    heard = listen(broker, "out")
    out = broker.publisher("out", key="k")
    async with TestBroker(broker):
        await out.publish(Order(id=1), headers={"a": "b"}, correlation_id="c")

    [message] = heard
    assert (message.body, message.key, message.correlation_id) == (b'{"id":1}', b"k", "c")
    assert message.headers == {"a": "b"}


async def test_a_publisher_of_a_broker_that_does_not_run_says_so(broker: MemoryBroker) -> None:
    out: Publisher[Any] = broker.publisher("out")

    with pytest.raises(NotRunning, match="memory is not running"):
        await out.publish(1)


async def test_every_message_has_an_id_and_a_correlation_id(broker: MemoryBroker) -> None:
    heard = listen(broker, "out")
    async with TestBroker(broker):
        await broker.publish(1, "out")
        await broker.publish(2, "out")

    ids = [message.message_id for message in heard]
    assert len({*ids} - {None}) == 2
    assert [message.correlation_id for message in heard] == ids


async def test_a_result_of_the_wrong_type_is_not_published(broker: MemoryBroker) -> None:
    heard = listen(broker, "out")

    @broker.publisher("out")
    @broker.subscriber("in")
    async def handle(number: int) -> Order:
        return {"id": "x"}  # type: ignore[return-value] # wrong on purpose

    async with TestBroker(broker):
        with pytest.raises(EncodeError, match=r"it was to be Order: .*id = 'x'"):
            await broker.publish(1, "in")

    assert heard == []


async def test_the_same_publisher_stacked_twice_publishes_twice(broker: MemoryBroker) -> None:
    heard: list[int] = []

    @broker.publisher("out")
    @broker.publisher("out")
    @broker.subscriber("in")
    async def handle(number: int) -> int:
        return number

    @broker.subscriber("out")
    async def hear(number: int) -> None:
        heard.append(number)

    async with TestBroker(broker):
        await broker.publish(1, "in")

    assert heard == [1, 1]


@pytest.mark.parametrize("address", ["", "out.{id}"])
def test_an_address_that_cannot_be_published_to_is_refused_at_the_declaration(
    broker: MemoryBroker, address: str
) -> None:
    with pytest.raises(DeclarationError, match=r"cannot publish to '.*': give the address itself"):
        broker.publisher(address)


async def test_a_return_type_that_cannot_be_encoded_is_refused_at_the_start(
    broker: MemoryBroker,
) -> None:
    class Opaque: ...

    @broker.publisher("out")
    @broker.subscriber("in")
    async def handle(number: int) -> Opaque:
        return Opaque()

    with pytest.raises(
        DeclarationError,
        match=r"result of 'handle' .* can't be published: .*Opaque cannot be validated",
    ):
        await broker.start()


async def test_a_return_type_matters_only_if_the_result_is_published(broker: MemoryBroker) -> None:
    class Opaque: ...

    @broker.subscriber("in")
    async def handle(number: int) -> Opaque:
        return Opaque()

    async with TestBroker(broker):
        await broker.publish(1, "in")

        await handle.assert_called_once_with(1)


async def test_a_publisher_says_headers_and_where_to_answer_for_all_its_messages(
    broker: MemoryBroker,
) -> None:
    heard: list[tuple[object, object, str | None]] = []
    out = broker.publisher("out", headers={"kind": "plain", "source": "shop"}, reply_to="answers")

    @out
    @broker.subscriber("in")
    async def handle(number: int) -> Response:
        return Response(number, headers={"kind": "special"})

    @broker.subscriber("out", no_reply=True)
    async def hear(number: int, message: Message) -> None:
        heard.append((message.headers["kind"], message.headers["source"], message.reply_to))

    async with TestBroker(broker):
        await broker.publish(1, "in")
        await out.publish(2, headers={"source": "hand"}, reply_to="elsewhere")

    assert heard == [("special", "shop", "answers"), ("plain", "hand", "elsewhere")]


async def test_what_is_said_of_one_message_comes_before_what_its_publisher_says(
    broker: MemoryBroker,
) -> None:
    heard: list[tuple[str, object, object, object]] = []
    publisher = broker.publisher("out", key="own", headers={"a": "1", "b": "1"})

    @broker.subscriber("{address}")
    async def hear(message: Message) -> None:
        headers = dict(message.headers)
        heard.append((message.address, message.key, headers, message.correlation_id))

    async with TestBroker(broker):
        await publisher.publish(1, key="said", headers={"b": "2"}, correlation_id="c")
        await publisher.publish(2, "elsewhere", correlation_id="d")

    assert heard == [
        ("out", b"said", {"a": "1", "b": "2"}, "c"),
        ("elsewhere", b"own", {"a": "1", "b": "1"}, "d"),
    ]


@pytest.mark.parametrize(
    ("arguments", "options", "hint"),
    [
        ((1,), {"corelation_id": "c"}, "do you mean 'correlation_id'"),
        ((1,), {"adress": "out"}, "do you mean 'address'"),
        ((1, "a", "k"), {}, "by position it takes address, everything else by name"),
    ],
)
async def test_what_the_broker_does_not_take_is_refused_of_a_publisher_too(
    broker: MemoryBroker, arguments: tuple[object, ...], options: dict[str, str], hint: str
) -> None:
    publisher = broker.publisher("out")
    async with broker:
        with pytest.raises(DeclarationError, match=rf"Publisher.publish\(\): .*{hint}"):
            await publisher.publish(*arguments, **options)


async def test_a_publisher_asks_and_returns_the_answer(broker: MemoryBroker) -> None:
    questions = broker.publisher("questions", headers={"from": "us"})

    @broker.subscriber("questions")
    async def answer(number: int, source: str = Header("from")) -> str:
        return f"{source} {number}"

    async with TestBroker(broker):
        message = await questions.request(1, correlation_id="c", timeout=5)

    assert await message.decode() == "us 1"
    assert message.correlation_id == "c"


async def test_a_publisher_of_lists_publishes_its_messages_at_once(broker: MemoryBroker) -> None:
    heard: list[tuple[object, object, object]] = []
    lists = broker.publisher("out", batch=True, key="own")

    @broker.subscriber("out")
    async def hear(number: int, message: Message) -> None:
        heard.append((number, message.key, message.headers.get("a")))

    async with TestBroker(broker):
        await lists.publish(1, Response(2, key="its", headers={"a": "2"}), 3, headers={"a": "1"})

    assert heard == [(1, b"own", "1"), (2, b"its", "2"), (3, b"own", "1")]
