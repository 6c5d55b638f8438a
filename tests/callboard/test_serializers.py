"""By which library values are validated, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pydantic
import pytest
from pydantic import BaseModel, ConfigDict

from callboard import (
    App,
    DeclarationError,
    Depends,
    EncodeError,
    MemoryBroker,
    MsgSpecSerializer,
    PydanticSerializer,
    TestBroker,
    apply_types,
)

pytestmark = pytest.mark.anyio
STRICT = PydanticSerializer(pydantic_config=ConfigDict(strict=True, str_strip_whitespace=True))


@dataclass
class Order:
    id: int
    name: str = ""


class Model(BaseModel):
    id: int


async def taken(broker: MemoryBroker, kind: Any, *bodies: object) -> list[object]:
    seen: list[object] = []

    async def handle(body: Any) -> None:
        seen.append(body)

    handle.__annotations__["body"] = kind
    broker.subscriber("in")(handle)
    async with TestBroker(broker):
        for body in bodies:
            await broker.publish(body, "in")
    return seen


async def test_a_configuration_is_for_what_has_none_of_its_own() -> None:
    assert await taken(MemoryBroker(serializer=STRICT), list[str], [" a "]) == [["a"]]
    assert await taken(MemoryBroker(serializer=STRICT), Model, {"id": "7"}) == [Model(id=7)]
    with pytest.raises(pydantic.ValidationError, match="valid integer"):
        await taken(MemoryBroker(serializer=STRICT), list[int], ["7"])


async def test_a_configuration_holds_for_parameters_that_share_a_body() -> None:
    broker, seen = MemoryBroker(serializer=STRICT), list[object]()

    @broker.subscriber("in")
    async def handle(name: str, count: int) -> None:
        seen.append((name, count))

    async with TestBroker(broker):
        await broker.publish({"name": " a ", "count": 1}, "in")
        with pytest.raises(pydantic.ValidationError):
            await broker.publish({"name": "a", "count": "1"}, "in")

    assert seen == [("a", 1)]


async def test_msgspec_validates_what_pydantic_would() -> None:
    by_msgspec = MsgSpecSerializer()

    assert await taken(MemoryBroker(serializer=by_msgspec), Order, {"id": 1}) == [Order(1)]
    assert await taken(MemoryBroker(serializer=by_msgspec), Model, {"id": 1}) == [Model(id=1)]
    assert await taken(MemoryBroker(serializer=by_msgspec), int, "7", 8) == [7, 8]
    with pytest.raises(msgspec.ValidationError, match=r"Expected `int`, got `str` - at `\$.id`"):
        await taken(MemoryBroker(serializer=by_msgspec), Order, {"id": "x"})


async def test_dependencies_and_several_parameters_are_left_to_msgspec_too() -> None:
    broker, seen = MemoryBroker(serializer=MsgSpecSerializer()), list[object]()

    def twice(order: Order) -> int:
        return order.id * 2

    @broker.subscriber("in")
    async def handle(order: Order, count: int, doubled: int = Depends(twice)) -> None:
        seen.append((order, count, doubled))

    async with TestBroker(broker):
        await broker.publish({"order": {"id": 1}, "count": 2}, "in")

    assert seen == [(Order(1), 2, 2)]


async def test_a_result_is_validated_by_the_same_library() -> None:
    broker = MemoryBroker(serializer=MsgSpecSerializer())

    @broker.subscriber("in")
    async def handle(n: str) -> Order:
        return {"id": n}  # type: ignore[return-value] # pyright: ignore[reportReturnType] - the point

    async with TestBroker(broker):
        answer = await broker.request("1", "in")

        assert await answer.decode() == {"id": 1}
        with pytest.raises(EncodeError, match="Expected `int`, got `str`"):
            await broker.publish("x", "in", reply_to="nobody")


async def test_brokers_that_say_nothing_take_that_of_their_application() -> None:
    one, other = MemoryBroker(), MemoryBroker(serializer=PydanticSerializer())
    App(one, other, serializer=STRICT)

    assert await taken(other, int, "7") == [7]
    with pytest.raises(pydantic.ValidationError):
        await taken(one, list[int], ["7"])


def test_any_function_may_have_one() -> None:
    @apply_types(serializer_cls=MsgSpecSerializer())
    def count(order: Order) -> int:
        return order.id

    assert count({"id": 1}) == 1  # pyright: ignore[reportArgumentType] - cast
    with pytest.raises(msgspec.ValidationError):
        count({"id": "x"})  # pyright: ignore[reportArgumentType] - likewise


@pytest.mark.parametrize("serializer", [1, MsgSpecSerializer, "pydantic"])
def test_what_chooses_no_library_is_refused(serializer: Any) -> None:
    for owner in (MemoryBroker, App):
        with pytest.raises(DeclarationError, match=r"must be callboard\.PydanticSerializer\(\)"):
            owner(serializer=serializer)
