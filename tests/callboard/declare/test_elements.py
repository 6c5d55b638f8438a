"""Handlers of batches: in which forms they may take their messages."""

from __future__ import annotations

from collections.abc import Collection, Iterable, MutableSequence, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, List, Tuple, TypeAlias, TypeVar  # noqa: UP035 - people write them

import msgspec
import pytest
from annotated_types import MinLen
from pydantic import AfterValidator, BaseModel, Json, RootModel
from typing_extensions import TypeAliasType

from callboard import AckPolicy, DeclarationError, MemoryBroker, TestBroker
from callboard.specification import AsyncAPI

pytestmark = pytest.mark.anyio

T = TypeVar("T")


class Order(BaseModel):
    id: int


class Struct(msgspec.Struct):
    id: int


@dataclass
class Record:
    id: int


class Orders(RootModel[list[Order]]):
    pass


Alias: TypeAlias = list[Order]
Named = TypeAliasType("Named", list[Order])
Renamed = TypeAliasType("Renamed", Named)
Several = TypeAliasType("Several", list[T], type_params=(T,))

ORDER = [Order(id=1)]


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (list[Order], ORDER),
        (List[Order], ORDER),  # noqa: UP006 - people write it
        (Sequence[Order], ORDER),
        (MutableSequence[Order], ORDER),
        (Collection[Order], ORDER),
        (Iterable[Order], ORDER),
        (tuple[Order, ...], (Order(id=1),)),
        (Tuple[Order, ...], (Order(id=1),)),  # noqa: UP006 - people write it
        (Annotated[list[Order], "orders"], ORDER),
        (Annotated[tuple[Order, ...], MinLen(1)], (Order(id=1),)),
        (Annotated[Named, MinLen(1)], ORDER),
        (RootModel[list[Order]], RootModel[list[Order]](ORDER)),
        (RootModel[tuple[Order, ...]], RootModel[tuple[Order, ...]]((Order(id=1),))),
        (Orders, Orders(ORDER)),
        (Annotated[Orders, "orders"], Orders(ORDER)),
        (Alias, ORDER),
        (Named, ORDER),
        (Renamed, ORDER),
        (Several[Order], ORDER),
        (list[Struct], [Struct(id=1)]),
        (tuple[Struct, ...], (Struct(id=1),)),
        (Sequence[Record], [Record(id=1)]),
        (Annotated[list[Record], MinLen(1)], [Record(id=1)]),
        (list, [{"id": 1}]),
        (tuple, ({"id": 1},)),
        (Sequence, [{"id": 1}]),
        (Any, [{"id": 1}]),
        (object, [{"id": 1}]),
    ],
    ids=str,
)
async def test_a_batch_is_what_its_handler_says(
    broker: MemoryBroker, annotation: Any, expected: object
) -> None:
    taken: list[object] = []

    async def handle(orders: Any) -> None:
        taken.append(orders)

    handle.__annotations__["orders"] = annotation
    broker.subscriber("orders", batch=True)(handle)

    async with TestBroker(broker):
        await broker.publish({"id": 1}, "orders")
    assert taken == [expected]
    assert type(taken[0]) is type(expected)
    assert AsyncAPI(broker).to_specification().to_json()


@pytest.mark.parametrize(
    "annotation",
    [int, str, bytes, Order, tuple[int, str], set[int], dict[str, int], RootModel[int]],
    ids=str,
)
def test_what_is_no_list_of_messages_is_refused(broker: MemoryBroker, annotation: Any) -> None:
    async def handle(orders: Any) -> None: ...

    handle.__annotations__["orders"] = annotation

    with pytest.raises(DeclarationError, match="it takes one list of messages, such as"):
        broker.subscriber("orders", batch=True)(handle)


def test_several_parameters_for_a_batch_are_refused(broker: MemoryBroker) -> None:
    async def handle(orders: Any, more: Any) -> None: ...

    with pytest.raises(DeclarationError, match="it takes one list of messages, such as"):
        broker.subscriber("orders", batch=True)(handle)


async def test_what_is_asked_of_the_whole_batch_holds_and_elements_are_validated_once(
    broker: MemoryBroker,
) -> None:
    taken: list[object] = []

    @broker.subscriber("numbers", batch=True)
    async def handle(
        numbers: Annotated[list[Annotated[Json[int], AfterValidator(lambda n: 2 * n)]], MinLen(1)],
    ) -> None:
        taken.append(numbers)

    async with TestBroker(broker):
        await broker.publish("2", "numbers")
    assert taken == [[4]]


async def test_a_batch_that_is_not_what_is_asked_of_the_whole_fails(broker: MemoryBroker) -> None:
    @broker.subscriber("numbers", batch=True, ack_policy=AckPolicy.REJECT_ON_ERROR)
    async def handle(numbers: Annotated[list[int], MinLen(2)]) -> None: ...

    async with TestBroker(broker):
        with pytest.raises(Exception, match="at least 2 items"):
            await broker.publish(1, "numbers")
