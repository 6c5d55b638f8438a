"""What a decorator leaves in the place of a function is still that function, for whoever asks."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import pickle
import typing
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from callboard import Depends, Handler, MemoryBroker, TestBroker

pytestmark = pytest.mark.anyio

shop = MemoryBroker()


@shop.subscriber("orders")
async def on_order(order: int) -> str:
    """Take an order."""
    return f"<{order}>"


@shop.publisher("parcels")
def on_parcel(order: int) -> str:
    return f"[{order}]"


class Desk:
    async def __call__(self, order: int) -> str:
        return f"<{order}>"

    async def take(self, order: int) -> str:
        return f"<{order}>"

    @staticmethod
    @shop.publisher("inner")
    async def inner(order: int) -> str:
        return f"<{order}>"

    @shop.publisher("outer")
    @staticmethod
    async def outer(order: int) -> str:
        return f"<{order}>"

    @shop.publisher("bound")
    async def bound(self, order: int) -> str:
        return f"<{order} of {type(self).__name__}>"


async def plain(order: int) -> str:
    return f"<{order}>"


def relay(order: int) -> Awaitable[str]:
    return plain(order)


async def scaled(factor: int, order: int) -> str:
    return f"<{factor * order}>"


@functools.wraps(plain)
async def wrapped(*args: Any, **kwargs: Any) -> str:
    return await plain(*args, **kwargs)


@functools.wraps(plain)
def wrapped_by_a_plain_function(*args: Any, **kwargs: Any) -> Any:
    return plain(*args, **kwargs)


KINDS: list[Callable[..., Any]] = [
    plain,
    functools.partial(scaled, 1),
    Desk(),
    Desk().take,
    wrapped,
    wrapped_by_a_plain_function,
    on_parcel.function,
    functools.partial(on_parcel.function),
]


def again(handler: object) -> Any:
    return pickle.loads(pickle.dumps(handler))  # noqa: S301 - our own


def names(kind: object) -> str:
    return getattr(kind, "__name__", type(kind).__name__)


@pytest.mark.parametrize("function", KINDS, ids=names)
def test_a_handler_looks_like_its_function(function: Callable[..., Any]) -> None:
    handler = MemoryBroker().subscriber("a")(function)

    assert inspect.signature(handler) == inspect.signature(function)
    assert handler.__doc__ == function.__doc__
    assert handler.__module__ == function.__module__
    called = function if hasattr(function, "__annotations__") else type(function).__call__
    if not isinstance(function, functools.partial):
        assert typing.get_type_hints(handler) == typing.get_type_hints(called)


@pytest.mark.parametrize(
    ("function", "expected"), [*zip(KINDS, [True] * 5 + [False] * 3, strict=True)], ids=names
)
def test_a_handler_is_a_coroutine_function_if_its_function_is(
    function: Callable[..., Any], expected: bool
) -> None:
    handler = MemoryBroker().subscriber("a")(function)

    assert inspect.iscoroutinefunction(handler) is expected
    assert asyncio.iscoroutinefunction(handler) is expected  # pyright: ignore[reportDeprecated] - others still ask it
    assert inspect.iscoroutinefunction(functools.partial(handler)) is expected
    assert not inspect.isasyncgenfunction(handler)
    assert not inspect.isgeneratorfunction(handler)


@pytest.mark.skipif(
    not hasattr(inspect, "markcoroutinefunction"), reason="Python marks functions from 3.12 on"
)
def test_a_function_that_is_marked_as_a_coroutine_function_stays_one() -> None:
    mark: Any = getattr(inspect, "markcoroutinefunction", None)
    handler = MemoryBroker().subscriber("a")(mark(relay))

    assert inspect.iscoroutinefunction(handler)


@pytest.mark.parametrize("function", KINDS, ids=names)
async def test_a_handler_is_called_and_a_dependency_as_its_function_is(
    function: Callable[..., Any],
) -> None:
    broker, taken = MemoryBroker(), list[object]()

    def subscribe(address: str, dependency: Callable[..., Any]) -> None:
        async def handle(order: int, value: object = Depends(dependency)) -> None:
            taken.append(value)

        broker.subscriber(address)(handle)

    subscribe("plain", function)
    subscribe("handler", MemoryBroker().subscriber("a")(function))
    async with TestBroker(broker):
        await broker.publish(4, "plain")
        await broker.publish(4, "handler")
    assert taken[0] == taken[1]
    assert taken[0] in ("<4>", "[4]")


@pytest.mark.parametrize("handler", [on_order, on_parcel, Desk.inner, Desk.outer])
def test_a_handler_is_pickled_and_copied_as_its_function_would_be(
    handler: Handler[..., Any],
) -> None:
    assert again(handler) is handler
    assert copy.copy(handler) is handler
    assert copy.deepcopy([handler]) == [handler]


async def test_a_handler_of_what_has_no_name_is_pickled_with_it() -> None:
    handler = MemoryBroker().subscriber("a")(functools.partial(scaled, 2))

    unpickled = again(handler)

    assert isinstance(unpickled, Handler)
    assert await unpickled(2) == "<4>"


async def test_a_decorated_method_is_bound_as_any_and_a_static_one_is_not() -> None:
    assert await Desk().bound(1) == "<1 of Desk>"
    assert await Desk.bound(Desk(), 1) == "<1 of Desk>"
    assert await Desk().inner(1) == "<1>"
    assert await Desk().outer(1) == "<1>"
    assert inspect.iscoroutinefunction(Desk().bound)


async def test_a_decorator_between_two_of_ours_is_called() -> None:
    broker, calls = MemoryBroker(), list[str]()

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def call(*args: Any, **kwargs: Any) -> Any:
            calls.append("counted")
            return await function(*args, **kwargs)

        return call

    @broker.subscriber("a")
    @counted
    @broker.publisher("b")
    async def handle(order: int) -> int:
        return order + 1

    async with TestBroker(broker) as broker:
        await broker.publish(1, "a")
    assert calls == ["counted"]


async def test_what_is_noted_on_a_function_does_not_replace_what_a_handler_has() -> None:
    async def handle(order: int) -> int:
        return order

    vars(handle).update(function="mine", callee="mine", recorder="mine", note="mine")
    handler: Any = MemoryBroker().subscriber("a")(handle)

    assert await handler(3) == 3
    assert handler.note == "mine"
