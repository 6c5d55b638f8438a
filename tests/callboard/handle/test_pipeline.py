"""From the bytes of a body to the arguments of a handler."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from callboard import (
    Codec,
    DecodeError,
    Handle,
    MemoryBroker,
    Message,
    NoCast,
    TestBroker,
)
from callboard.memory import MemoryMessage

pytestmark = pytest.mark.anyio


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)

    id: int
    day: date


class Wrapper(BaseModel):
    value: int


@dataclass
class Point:
    x: int
    y: int = 0


class Pair(msgspec.Struct):
    left: int
    right: str


STRICT = Strict(id=1, day=date(2024, 2, 29))


@pytest.mark.parametrize(
    ("annotation", "published", "expected"),
    [
        (str, "text", "text"),
        (str, "5", "5"),
        (int, 5, 5),
        (int, "5", 5),
        (bytes, b"\x00raw", b"\x00raw"),
        (bytes, {"a": 1}, b'{"a":1}'),
        (date, date(2024, 2, 29), date(2024, 2, 29)),
        (list[int], [1, 2], [1, 2]),
        (int | None, None, None),
        (str | None, None, None),
        (bytes | None, None, None),
        (bytes | None, b"", b""),
        (Any, None, None),
        (inspect.Parameter.empty, None, None),
        (Strict, STRICT.model_dump_json(), STRICT),
        (Strict, STRICT, STRICT),
        (Strict, b'{"id": 1, "day": "2024-02-29"}', STRICT),
        (Wrapper, {"value": 3}, Wrapper(value=3)),
        (Point, Point(1, 2), Point(1, 2)),
        (Point, b'{"x": 1}', Point(1)),
        (Pair, Pair(1, "a"), Pair(1, "a")),
        (list[Pair], [{"left": 1, "right": "a"}], [Pair(1, "a")]),
        (Any, {"a": [1]}, {"a": [1]}),
        (Any, "5", "5"),
        (Any, b"5", 5),
        (Any, b"raw", b"raw"),
        (object, None, None),
    ],
)
async def test_a_body_becomes_what_the_only_parameter_asks_for(
    broker: MemoryBroker, annotation: Any, published: object, expected: object
) -> None:
    taken: list[object] = []

    async def handle(value: object) -> None:
        taken.append(value)

    handle.__annotations__["value"] = annotation
    broker.subscriber("values")(handle)
    async with TestBroker(broker):
        await broker.publish(published, "values")

    assert taken == [expected]
    assert type(taken[0]) is type(expected)


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/json", b"[1]", [1]),
        ("application/json; charset=utf-8", b"[1]", [1]),
        ("text/plain", b"[1]", "[1]"),
        ("text/plain; charset=utf-8", b"", ""),
        ("application/msgpack", msgspec.msgpack.encode([1]), [1]),
        ("application/x-unheard-of", b"[1]", b"[1]"),
        (None, b"[1]", [1]),
        (None, b"[1", b"[1"),
    ],
)
async def test_the_content_type_decides_what_an_unannotated_parameter_gets(
    broker: MemoryBroker, content_type: str | None, body: bytes, expected: object
) -> None:
    taken: list[object] = []

    async def handle(value: object) -> None:
        taken.append(value)

    del handle.__annotations__["value"]
    broker.subscriber("values")(handle)
    async with TestBroker(broker):
        await broker.publish(body, "values", content_type=content_type)

    assert taken == [expected]


async def test_a_strict_model_takes_iso_dates_from_json_also_after_decode(
    broker: MemoryBroker,
) -> None:
    taken: list[object] = []

    def decoding(handle: Handle) -> Handle:
        async def middleware(message: Message) -> object:
            taken.append(await message.decode())
            return await handle(message)

        return middleware

    broker = MemoryBroker(middlewares=[decoding])

    @broker.subscriber("orders")
    async def on_order(order: Strict) -> None:
        taken.append(order)

    async with TestBroker(broker):
        await broker.publish(STRICT, "orders")

    assert taken == [{"id": 1, "day": "2024-02-29"}, STRICT]


async def test_decode_gives_the_same_value_every_time(broker: MemoryBroker) -> None:
    values: list[object] = []

    @broker.subscriber("orders")
    async def on_order(message: Message) -> None:
        values.extend([await message.decode(), await message.decode()])

    async with TestBroker(broker):
        await broker.publish({"id": 1}, "orders")

    assert values[0] == {"id": 1}
    assert values[0] is values[1]


async def test_an_object_is_spread_by_name(broker: MemoryBroker) -> None:
    taken: list[object] = []

    @broker.subscriber("trades")
    async def on_trade(price: float, at: datetime, side: str = "buy") -> None:
        taken.extend([price, at, side])

    async with TestBroker(broker):
        await broker.publish({"at": "2024-02-29T12:00", "price": "1.5", "more": 1}, "trades")

    assert taken == [1.5, datetime(2024, 2, 29, 12), "buy"]  # noqa: DTZ001 - none was sent


async def test_an_array_is_spread_by_position_and_the_rest_goes_to_args_one_by_one(
    broker: MemoryBroker,
) -> None:
    taken: list[object] = []

    @broker.subscriber("numbers")
    async def on_numbers(a: int, b: float, *args: int) -> None:
        taken.append((a, b, args))

    async with TestBroker(broker):
        await broker.publish([1, 2.0, 3.0, 4.0], "numbers")

    assert taken == [(1, 2.0, (3, 4))]


async def test_keyword_only_parameters_are_filled_by_name(broker: MemoryBroker) -> None:
    taken: list[object] = []

    @broker.subscriber("numbers")
    async def on_numbers(a: int, *, b: int = 7) -> None:
        taken.append((a, b))

    async with TestBroker(broker):
        await broker.publish({"a": 1, "b": 2}, "numbers")
        await broker.publish({"a": 1}, "numbers")

    assert taken == [(1, 2), (1, 7)]


async def test_a_model_beside_other_parameters_is_one_member_of_the_object(
    broker: MemoryBroker,
) -> None:
    taken: list[object] = []

    @broker.subscriber("orders")
    async def on_order(order: Strict, pair: Pair) -> None:
        taken.append((order, pair))

    async with TestBroker(broker):
        await broker.publish({"order": STRICT, "pair": Pair(1, "a")}, "orders")

    assert taken == [(STRICT, Pair(1, "a"))]


async def test_a_handler_without_parameters_ignores_the_body(broker: MemoryBroker) -> None:
    calls: list[None] = []

    @broker.subscriber("ticks")
    async def on_tick() -> None:
        calls.append(None)

    async with TestBroker(broker):
        await broker.publish(b"\xff no JSON, no text", "ticks", content_type="application/json")

    assert calls == [None]


async def test_a_parameter_of_type_message_gets_the_message_beside_the_body(
    broker: MemoryBroker,
) -> None:
    taken: list[object] = []

    @broker.subscriber("orders")
    async def on_order(order: Strict, message: MemoryMessage, again: Message) -> None:
        taken.append(order)
        assert message is again
        taken.append((message.address, message.key, message.raw_message.deliveries))

    async with TestBroker(broker):
        await broker.publish(STRICT, "orders", key="k")

    assert taken == [STRICT, ("orders", b"k", 1)]


@pytest.mark.parametrize("falsy", [0, False, "", [], {}, 0.0])
async def test_false_values_are_values(broker: MemoryBroker, falsy: object) -> None:
    taken: list[object] = []

    @broker.subscriber("values")
    async def handle(value: Any = "default") -> None:
        taken.append(value)

    async with TestBroker(broker):
        await broker.publish(falsy, "values")

    assert taken == [falsy]


async def test_a_parameter_with_no_cast_gets_what_was_decoded(broker: MemoryBroker) -> None:
    taken: list[object] = []

    @broker.subscriber("orders")
    async def on_order(order: Annotated[Strict, NoCast()]) -> None:
        taken.append(order)

    async with TestBroker(broker):
        await broker.publish({"id": "x"}, "orders")

    assert taken == [{"id": "x"}]


async def test_a_body_of_the_wrong_shape_never_reaches_the_handler(broker: MemoryBroker) -> None:
    calls: list[Strict] = []

    @broker.subscriber("orders")
    async def on_order(order: Strict) -> None:
        calls.append(order)

    async with TestBroker(broker):
        with pytest.raises(ValidationError, match=r"day = 'soon': .*date"):
            await broker.publish({"id": 1, "day": "soon"}, "orders")

    assert calls == []


async def test_a_body_that_is_no_json_never_reaches_the_handler(broker: MemoryBroker) -> None:
    @broker.subscriber("orders")
    async def on_order(order: Strict) -> None:
        pytest.fail(f"got {order}")

    async with TestBroker(broker):
        with pytest.raises(DecodeError, match=r"the body is '\{oops'"):
            await broker.publish(b"{oops", "orders")


async def test_a_codec_of_ones_own_decodes_its_content_type() -> None:
    def decode(body: bytes) -> object:
        return dict(item.split("=") for item in body.decode().split(";"))

    codec = Codec().with_content_type("text/x-pairs", lambda _: b"", decode)
    broker = MemoryBroker(codec=codec)
    taken: list[Point] = []

    @broker.subscriber("points")
    async def on_point(point: Point) -> None:
        taken.append(point)

    async with TestBroker(broker):
        await broker.publish(b"x=1;y=2", "points", content_type="text/x-pairs")

    assert taken == [Point(1, 2)]


async def test_a_handler_stays_the_function_that_it_was(broker: MemoryBroker) -> None:
    @broker.publisher("out")
    @broker.subscriber("in")
    def double(number: int) -> int:
        """Double it."""
        return number * 2

    assert double(21) == 42
    assert double.__name__ == "double"
    assert double.__doc__ == "Double it."


async def test_the_first_middleware_is_the_outermost() -> None:
    calls: list[str] = []

    def named(name: str) -> Any:
        def middleware(handle: Handle) -> Handle:
            async def call(message: Message) -> object:
                calls.append(f"{name} in")
                result = await handle(message)
                calls.append(f"{name} out")
                return result

            return call

        return middleware

    broker = MemoryBroker(middlewares=[named("one"), named("two")])

    @broker.subscriber("ticks")
    async def on_tick() -> None:
        calls.append("handler")

    async with TestBroker(broker):
        await broker.publish(None, "ticks")

    assert calls == ["one in", "two in", "handler", "two out", "one out"]


async def test_a_middleware_may_change_the_result_that_is_published() -> None:
    def doubling(handle: Handle) -> Handle:
        async def middleware(message: Message) -> object:
            result = await handle(message)
            return result * 2 if isinstance(result, int) else result

        return middleware

    broker = MemoryBroker(middlewares=[doubling])

    @broker.publisher("doubled")
    @broker.subscriber("numbers")
    async def on_number(number: int) -> int:
        return number

    @broker.subscriber("doubled")
    async def on_doubled(number: int) -> None: ...

    async with TestBroker(broker):
        await broker.publish(21, "numbers")

        await on_doubled.assert_called_once_with(42)


async def test_none_is_none_wherever_it_is_read(broker: MemoryBroker) -> None:
    seen: list[object] = []

    @broker.publisher("out")
    @broker.subscriber("in")
    async def answer(number: int) -> None:
        del number

    @broker.subscriber("out", group="untyped")
    async def untyped(body: Any) -> None:
        seen.append(body)

    @broker.subscriber("out", group="decoded")
    async def decoded(message: MemoryMessage) -> None:
        seen.append(await message.decode())

    @broker.subscriber("out", group="batch", batch=True)
    async def batch(bodies: list[bytes | None]) -> None:
        seen.append(bodies)

    async with TestBroker(broker):
        reply = await broker.request(1, "in", timeout=5)
        seen.append(await reply.decode())

    assert sorted(seen, key=str) == [None, None, None, [None]]
