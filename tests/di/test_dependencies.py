from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from anyio.lowlevel import checkpoint

from callboard_di import Context, Depends, PlanError, plan

from .toy import Toy, Travelling, body, caster

pytestmark = pytest.mark.anyio


async def call(handle: Any, travelling: Travelling | None = None, **options: Any) -> Any:
    return await plan(handle, resolver=Toy(), **options).bind(body)(travelling or {"body": None})


async def test_sync_and_async_functions_classes_and_objects_can_be_dependencies() -> None:
    @dataclass
    class Adder:
        more: int = 1

        def __call__(self) -> int:
            return self.more

    def function() -> int:
        return 3

    async def later() -> int:
        await checkpoint()
        return 4

    async def handle(
        a: Annotated[int, Depends(Adder(2))],
        b: int = Depends(function),
        c: int = Depends(later),
        *,
        d: Annotated[Adder, Depends(Adder)],
    ) -> object:
        return a, b, c, d

    assert await call(handle) == (2, 3, 4, Adder(1))


async def test_dependencies_are_called_in_order_and_the_nested_ones_first() -> None:
    order: list[str] = []

    async def inner() -> None:
        order.append("inner")

    async def outer(it: None = Depends(inner)) -> None:
        order.append("outer")

    async def guard() -> None:
        order.append("guard")

    async def handle(it: None = Depends(outer)) -> None:
        order.append("handle")

    await call(handle, dependencies=[Depends(guard)])

    assert order == ["guard", "inner", "outer", "handle"]


async def test_a_dependency_is_called_once_per_message_wherever_it_is_wanted() -> None:
    def fresh() -> object:
        return object()

    def nested(it: object = Depends(fresh)) -> object:
        return it

    async def handle(a: object = Depends(fresh), b: object = Depends(nested)) -> tuple[object, ...]:
        return a, b

    first = await call(handle)

    assert first[0] is first[1]
    assert (await call(handle))[0] is not first[0]


async def test_a_dependency_without_cache_is_called_for_each_parameter() -> None:
    def fresh() -> object:
        return object()

    async def handle(
        a: object = Depends(fresh), b: object = Depends(fresh, use_cache=False)
    ) -> bool:
        return a is b

    assert not await call(handle)


async def test_a_dependency_takes_the_value_of_a_body_parameter_of_the_same_name() -> None:
    def check(order: str, limit: int = 3) -> bool:
        return len(order) <= limit

    async def handle(order: str, small: bool = Depends(check)) -> bool:
        return small

    assert await call(handle, {"body": "ham"})
    assert not await call(handle, {"body": "cheese"})


async def test_a_body_value_is_cast_if_the_dependency_wants_another_type() -> None:
    def length(order: str) -> int:
        return len(order)

    async def handle(order: int, digits: int = Depends(length)) -> int:
        return digits

    assert await call(handle, {"body": 1234}, caster=caster) == 4


async def test_a_dependency_reads_what_the_handler_does_not_name() -> None:
    def check(user: str, limit: int = 3) -> str:
        return f"{user} {limit}"

    async def handle(order: str, checked: str = Depends(check)) -> object:
        return order, checked

    planned = plan(handle, resolver=Toy())

    assert [each.name for each in planned.body] == ["order", "user", "limit"]
    assert planned.spread
    run = planned.bind(lambda s: [s["order"], s["user"], s["limit"]])
    assert await run({"order": "o", "user": "u", "limit": 5}) == ("o", "u 5")


async def test_a_dependency_alone_reads_the_whole_body() -> None:
    def measure(order: str) -> int:
        return len(order)

    async def handle(it: int = Depends(measure)) -> int:
        return it

    assert await call(handle, {"body": "four"}) == 4


async def test_a_default_of_a_dependency_spreads_no_body() -> None:
    def limit(limit: int = 3) -> int:
        return limit

    async def handle(order: str, limit: int = Depends(limit)) -> object:
        return order, limit

    assert await call(handle, {"body": "o"}) == ("o", 3)


async def test_dependencies_that_run_for_their_effect_read_the_body_too() -> None:
    seen: list[str] = []

    def note(user: str) -> None:
        seen.append(user)

    async def handle(order: str) -> str:
        return order

    planned = plan(handle, resolver=Toy(), dependencies=[Depends(note)])

    assert await planned.bind(lambda s: [s["order"], s["user"]])({"order": "o", "user": "u"}) == "o"
    assert seen == ["u"]


async def test_what_a_dependency_gives_is_cast_unless_it_should_not_be() -> None:
    def text() -> str:
        return "100"

    async def handle(a: int = Depends(text), b: int = Depends(text, cast=False)) -> object:
        return a, b

    assert await call(handle, caster=caster) == (100, "100")


async def test_a_sync_dependency_runs_in_a_thread_if_it_asks_for_one() -> None:
    def where() -> int:
        return threading.get_ident()

    async def handle(
        a: int = Depends(where), b: int = Depends(where, sync_to_thread=True)
    ) -> object:
        return a, b

    here, there = await call(handle)

    assert here == threading.get_ident() != there


async def test_a_class_is_built_in_a_thread_if_it_asks_for_one() -> None:
    class Client:
        def __init__(self) -> None:
            self.made_in = threading.get_ident()

    async def handle(it: Annotated[Client, Depends(Client, sync_to_thread=True)]) -> int:
        return it.made_in

    assert await call(handle) != threading.get_ident()


def test_what_cannot_be_called_is_no_dependency() -> None:
    name: Any = "load"

    async def handle(it: Annotated[int, Depends(name)]) -> None: ...

    with pytest.raises(
        PlanError, match=r"'handle' \(.*\) depends on 'load', which can't be called"
    ):
        plan(handle, resolver=Toy())


async def test_a_dependency_reads_the_context_like_a_handler() -> None:
    def greeting(name: str = Context()) -> str:
        return f"hello {name}"

    async def handle(it: str = Depends(greeting)) -> str:
        return it

    assert await call(handle, {"name": "Ada", "body": None}) == "hello Ada"


async def test_variadic_parameters_of_a_dependency_stay_empty() -> None:
    def flexible(*args: object, **kwargs: object) -> object:
        return args, kwargs

    async def handle(it: object = Depends(flexible)) -> object:
        return it

    assert await call(handle) == ((), {})


def test_a_circle_is_an_error_with_its_chain() -> None:
    def egg(it: str) -> str:
        return it

    def chicken(it: str = Depends(egg)) -> str:
        return it

    egg.__annotations__["it"] = "Annotated[str, Depends(chicken)]"

    async def handle(it: str = Depends(chicken)) -> None: ...

    with pytest.raises(PlanError, match=r"circle: .*'chicken' .* → 'egg' .* → 'chicken'"):
        plan(handle, resolver=Toy())


async def test_an_error_of_a_dependency_keeps_the_handler_from_running() -> None:
    def deny() -> None:
        raise PermissionError("no")

    async def handle() -> None:
        raise AssertionError("the handler was called")

    with pytest.raises(PermissionError):
        await call(handle, dependencies=[Depends(deny)])
