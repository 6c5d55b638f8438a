from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import pytest
from typing_extensions import TypeAliasType

from callboard_di import Callee, Depends, PlanError, plan, read

from .toy import Toy, body

pytestmark = pytest.mark.anyio

T = TypeVar("T")


def declare_and_return() -> Callee:
    class Order: ...

    def load() -> Order:
        return Order()

    def check(it: Annotated[Order, Depends(load)]) -> Order:
        return it

    async def handle(order: Order, checked: Annotated[Order, Depends(check)]) -> Order:
        return checked

    return read(handle)


def test_postponed_annotations_of_local_types_are_resolved() -> None:
    class Order: ...

    async def handle(order: Order) -> None: ...

    assert plan(handle, resolver=Toy()).body[0].annotation is Order


def test_the_names_of_all_enclosing_functions_are_seen_the_nearest_first() -> None:
    class Order: ...

    class Other:
        outer = True

    def declare() -> Callee:
        class Other:
            outer = False

        class Actor:
            async def receive(self, a: Order, b: Other) -> None: ...

        return read(Actor().receive)

    first, second = declare().parameters

    assert first.annotation is Order
    assert not second.annotation.outer
    assert Other.outer


async def test_what_was_read_can_be_planned_after_its_function_has_ended() -> None:
    run = plan(declare_and_return(), resolver=Toy()).bind(body)

    assert type(await run({"body": None})).__name__ == "Order"


def test_a_name_that_cannot_be_resolved_is_named_with_its_function_and_place() -> None:
    async def handle(order: int) -> None: ...

    handle.__annotations__["order"] = "list[Unknown]"

    with pytest.raises(
        PlanError, match=r"'order' of 'handle' \(test_signature.py:\d+\) .*'Unknown'"
    ):
        read(handle)


def test_a_return_annotation_need_not_be_resolvable() -> None:
    async def handle() -> None: ...

    handle.__annotations__["return"] = "Unknown"

    assert read(handle).parameters == ()


def test_two_markers_on_a_parameter_are_an_error() -> None:
    async def handle(it: Annotated[int, Depends(int)] = Depends(str)) -> None: ...

    with pytest.raises(PlanError, match=r"'it' of 'handle' .* has 2 markers"):
        read(handle)


def test_a_callable_without_signature_is_an_error() -> None:
    with pytest.raises(PlanError, match="has no signature"):
        read(dict)


class Counted:
    """A decorator that leaves an object in the place of a function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        functools.update_wrapper(self, function)

    def __call__(self, *args: object) -> Any:
        return self.function(*args)


async def test_an_object_that_stands_for_a_function_is_read_as_the_function() -> None:
    class Order: ...

    @Counted
    async def load(body: Order) -> Order:
        return body

    async def handle(body: Order, loaded: Annotated[Order, Depends(load)]) -> Order:
        return loaded

    order = Order()

    assert await plan(handle, resolver=Toy()).bind(lambda _: order)({}) is order
    assert "load' (test_signature.py" in read(load).title


Named = TypeAliasType("Named", Annotated[int, Depends(lambda: 1)])
Renamed = TypeAliasType("Renamed", Named)
Several = TypeAliasType("Several", list[T], type_params=(T,))


def test_an_alias_is_read_as_what_it_stands_for() -> None:
    def handle(marked: Any, plain: Any) -> None: ...

    handle.__annotations__ = {"marked": Renamed, "plain": Several[int]}
    marked, plain = read(handle).parameters

    assert marked.marker is not None
    assert plain.annotation == list[int]
