"""Whatever comes in: a clear error, nothing lost, and the worker goes on."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import wait_all_tasks_blocked
from pydantic import BaseModel, ValidationError

from callboard import (
    Codec,
    Depends,
    EncodeError,
    MemoryBroker,
    TestBroker,
)
from callboard.memory import MemoryMessage
from callboard_validation import DefinitionError

pytestmark = pytest.mark.anyio


class Item(BaseModel):
    price: float


class Order(BaseModel):
    id: int
    items: list[Item] = []


async def dead(
    broker: MemoryBroker, body: object, content_type: str | None = "application/json", **more: Any
) -> MemoryMessage:
    """Publish to `orders` what is rejected there, then what is fine; return the dead letter."""
    letters: list[MemoryMessage] = []
    handled: list[Order] = []

    @broker.subscriber("orders", dead_letter="dead", group="g")
    async def on_order(order: Order) -> None:
        handled.append(order)

    @broker.subscriber("dead")
    async def collect(message: MemoryMessage) -> None:
        letters.append(message)

    async with broker:
        await broker.start()
        await broker.publish(body, "orders", content_type=content_type, **more)
        await broker.publish(Order(id=1), "orders")
        await wait_all_tasks_blocked()

    assert handled == [Order(id=1)]
    assert broker.unread("orders") == 0
    [letter] = letters
    return letter


BAD_BODIES = [
    pytest.param(
        b"not json",
        "DecodeError",
        "a body of type 'application/json' cannot be decoded: Invalid JSON: expected ident at line 1 column 2; the body is"
        " 'not json'",
        id="no JSON",
    ),
    pytest.param(
        b'{"id": 1',
        "DecodeError",
        "a body of type 'application/json' cannot be decoded: Invalid JSON: EOF while parsing an object at line 1 column 8;"
        " the body is '{\"id\": 1'",
        id="cut off",
    ),
    pytest.param(
        b'{"id": "x", "items": [{"price": 1}, {"price": "free"}]}',
        "ValidationError",
        "no valid Order: id = 'x': Input should be a valid integer, unable to parse string as an"
        " integer; items[1].price = 'free': Input should be a valid number, unable to parse string"
        ' as a number; the body is \'{"id": "x", "items": [{"price": 1}, {"price": "free"}]}\'',
        id="wrong shape",
    ),
    pytest.param(
        b"[1]",
        "ValidationError",
        "no valid Order: it = [1]: Input should be an object; the body is '[1]'",
        id="an array",
    ),
    pytest.param(
        b"",
        "DecodeError",
        "a body of type 'application/json' cannot be decoded: it is empty, and Order was expected;"
        " the body is ''",
        id="empty",
    ),
    pytest.param(
        b'{"id": \xff}',
        "DecodeError",
        "a body of type 'application/json' cannot be decoded: Invalid JSON: expected value at line 1 column 8; the body is"
        " '{\"id\": \\\\xff}'",
        id="invalid UTF-8",
    ),
]


@pytest.mark.parametrize(("body", "kind", "message"), BAD_BODIES)
async def test_a_bad_body_is_dead_lettered_with_a_clear_reason(
    broker: MemoryBroker, body: bytes, kind: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    letter = await dead(broker, body, message_id="m")

    assert letter.body == body
    assert letter.headers["x-exception-type"] == kind
    assert letter.headers["x-exception-message"] == message
    [record] = caplog.records
    assert record.getMessage() == (
        f"on_order(orders) failed on message m of 'orders'; it is rejected: {kind}: {message}"
    )
    # The message says it all; where in the library it was noticed helps nobody.
    assert record.exc_info is None


async def test_a_text_where_a_model_is_expected_is_dead_lettered(broker: MemoryBroker) -> None:
    letter = await dead(broker, "hello", content_type=None)

    assert str(letter.headers["x-exception-message"]).startswith("no valid Order: it = 'hello'")


async def test_an_unknown_content_type_is_named(broker: MemoryBroker) -> None:
    letter = await dead(broker, b"\x00\x01", content_type="application/avro")

    assert letter.headers["x-exception-message"] == (
        "a body of type 'application/avro' cannot be decoded: its content type is unknown, and its"
        " bytes are no Order; add it with Codec().with_content_type(content_type, encode, decode);"
        " the body is '\\x00\\x01'"
    )


async def test_10_mib_of_body_arrive_whole(broker: MemoryBroker) -> None:
    lengths: list[int] = []

    @broker.subscriber("orders")
    async def on_order(text: str) -> None:
        lengths.append(len(text))

    async with broker:
        await broker.start()
        await broker.publish("x" * 10 * 2**20, "orders")
        await wait_all_tasks_blocked()

    assert lengths == [10 * 2**20]


async def test_of_10_mib_of_bad_body_an_excerpt_is_logged_and_the_letter_has_all(
    broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    body = b"[" + b"x" * 10 * 2**20

    letter = await dead(broker, body)

    assert letter.body == body
    assert len(str(letter.headers["x-exception-message"])) < 400
    assert len(caplog.messages[0]) < 500
    assert "... (10485761 bytes)" in caplog.messages[0]


@pytest.mark.parametrize("headers", [{"\ud800": "x"}, {"x": "\ud800"}, {"x": b"\xff"}])
async def test_odd_headers_do_not_harm_the_worker(
    broker: MemoryBroker, headers: dict[str, str | bytes]
) -> None:
    letter = await dead(broker, b"", headers=headers)

    assert {name: letter.headers[name] for name in headers} == headers


@pytest.mark.parametrize("result", [object(), {"a": [object()]}, float, {1, object()}])
async def test_publishing_what_cannot_be_encoded_is_refused(
    broker: MemoryBroker, result: object
) -> None:
    async with broker:
        with pytest.raises(EncodeError, match="cannot be encoded"):
            await broker.publish(result, "orders")


async def test_publishing_in_an_unknown_content_type_is_refused(broker: MemoryBroker) -> None:
    async with broker:
        with pytest.raises(EncodeError, match="content type 'application/avro' is unknown; add it"):
            await broker.publish({"a": 1}, "orders", content_type="application/avro")


def test_two_codecs_for_one_content_type_are_refused() -> None:
    codec = Codec().with_content_type("application/avro", lambda _: b"", bytes)

    for content_type in ("application/avro", "APPLICATION/Avro; v=1", "application/json"):
        with pytest.raises(DefinitionError) as refused:
            codec.with_content_type(content_type, lambda _: b"", bytes)

        assert str(refused.value) == (
            f"content type {content_type!r} has a codec already; register another name"
        )


async def test_a_body_that_only_a_dependency_reads_has_to_be_valid_too(
    broker: MemoryBroker,
) -> None:
    def customer(order: Order) -> int:
        return order.id

    seen: list[int] = []

    @broker.subscriber("orders")
    async def on_order(customer: int = Depends(customer)) -> None:
        seen.append(customer)

    async with TestBroker(broker):
        await broker.publish({"id": 5}, "orders")
        with pytest.raises(ValidationError, match="no valid Order"):
            await broker.publish({"id": "x"}, "orders")

    assert seen == [5]


async def test_a_handler_that_raises_a_group_is_a_failed_message_too(
    broker: MemoryBroker,
) -> None:
    @broker.subscriber("orders")
    async def on_order(order: int) -> None:
        raise ExceptionGroup("several", [ValueError("one"), OSError("two")])

    async with broker:
        await broker.start()
        await broker.publish(1, "orders")
        await wait_all_tasks_blocked()

    assert len(broker.dead_letters()) == 1


async def test_an_exception_that_cannot_be_printed_is_a_failed_message_too(
    broker: MemoryBroker,
) -> None:
    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    handled: list[int] = []
    letters: list[MemoryMessage] = []

    @broker.subscriber("orders", dead_letter="dead")
    async def on_order(order: int) -> None:
        if order == 0:
            raise Unspeakable
        handled.append(order)

    @broker.subscriber("dead")
    async def collect(message: MemoryMessage) -> None:
        letters.append(message)

    async with broker:
        await broker.start()
        await broker.publish(0, "orders")
        await broker.publish(1, "orders")
        await wait_all_tasks_blocked()

    assert handled == [1]
    assert [letter.headers["x-exception-type"] for letter in letters] == ["Unspeakable"]
