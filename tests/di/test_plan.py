from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from anyio import from_thread

from callboard_di import Context, Depends, NoCast, PlanError, plan

from .toy import Station, Toy, body, caster

pytestmark = pytest.mark.anyio


def names(call: Any) -> list[str]:
    return [part.name for part in plan(call, resolver=Toy()).body]


async def test_the_body_goes_to_the_one_parameter_that_nothing_else_supplies() -> None:
    async def handle(order: str, trace: str = Context()) -> tuple[str, str]:
        return order, trace

    run = plan(handle, resolver=Toy()).bind(body)

    assert await run({"body": "ham", "trace": "t1"}) == ("ham", "t1")


async def test_a_handler_without_body_parameters_does_not_read_the_body() -> None:
    async def handle() -> str:
        return "called"

    def explode(travelling: object) -> object:
        raise ValueError(travelling)

    assert await plan(handle, resolver=Toy()).bind(explode)({}) == "called"


async def test_a_body_is_spread_with_a_value_for_each_parameter() -> None:
    async def handle(a: int, where: str = Context(), b: int = 0, *args: int) -> object:
        return a, where, b, args

    planned = plan(handle, resolver=Toy())
    run = planned.bind(body)

    assert planned.spread
    assert await run({"body": (1, 2, (3, 4)), "where": "here"}) == (1, "here", 2, (3, 4))


async def test_a_body_is_spread_over_keywords_too() -> None:
    async def handle(a: int, *, c: int, **more: int) -> object:
        return a, c, more

    run = plan(handle, resolver=Toy()).bind(body)

    assert await run({"body": (1, 3, {"d": 4})}) == (1, 3, {"d": 4})


def test_args_alone_are_a_spread_body() -> None:
    async def handle(*args: int) -> None: ...

    planned = plan(handle, resolver=Toy())

    assert planned.spread
    assert names(handle) == ["args"]


async def test_a_keyword_only_body_parameter_is_passed_by_name() -> None:
    async def handle(*, order: str) -> str:
        return order

    assert await plan(handle, resolver=Toy()).bind(body)({"body": "ham"}) == "ham"


def test_no_cast_is_told_to_who_reads_the_body_and_taken_off_the_annotation() -> None:
    async def handle(order: Annotated[int, "theirs", NoCast()]) -> None: ...

    (part,) = plan(handle, resolver=Toy()).body

    assert not part.cast
    assert part.annotation == Annotated[int, "theirs"]


async def test_a_type_that_the_resolver_claims_is_no_part_of_the_body() -> None:
    async def handle(order: str, station: Station) -> tuple[str, object]:
        return order, station

    station = Station()
    run = plan(handle, resolver=Toy()).bind(body)

    assert names(handle) == ["order"]
    assert await run({"body": "ham", "station": station}) == ("ham", station)


async def test_a_bound_method_is_planned_without_self() -> None:
    class Tally:
        total = 0

        async def receive(self, n: int) -> int:
            self.total += n
            return self.total

    run = plan(Tally().receive, resolver=Toy()).bind(body)

    assert [await run({"body": 2}), await run({"body": 3})] == [2, 5]


async def test_a_class_is_built_with_what_its_constructor_asks_for() -> None:
    @dataclass
    class Tally:
        start: int = Context("initial_total")
        step: int = 1

    tally = await plan(Tally, resolver=Toy()).bind()({"initial_total": 5})

    assert tally == Tally(5, 1)


def test_without_a_body_every_body_parameter_needs_a_default() -> None:
    class Tally:
        def __init__(self, start: int) -> None: ...

    planned = plan(Tally, resolver=Toy())

    with pytest.raises(PlanError, match=r"'start' of 'Tally' \(test_plan.py:\d+\) gets no value"):
        planned.bind()


async def test_a_callable_object_is_called() -> None:
    class Handler:
        async def __call__(self, order: str) -> str:
            return order.upper()

    assert await plan(Handler(), resolver=Toy()).bind(body)({"body": "ham"}) == "HAM"


async def test_what_a_partial_has_filled_is_no_parameter() -> None:
    async def handle(tenant: str, order: str, *, loud: bool) -> object:
        return tenant, order, loud

    call = functools.partial(handle, "acme", loud=True)

    assert names(call) == ["order"]
    assert await plan(call, resolver=Toy()).bind(body)({"body": "ham"}) == ("acme", "ham", True)


async def test_a_wrapper_around_an_async_function_is_awaited() -> None:
    async def handle(order: str) -> str:
        return order

    @functools.wraps(handle)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return handle(*args, **kwargs)

    assert await plan(wrapper, resolver=Toy()).bind(body)({"body": "ham"}) == "ham"


async def test_a_sync_handler_runs_in_a_worker_thread_and_its_dependencies_do_not() -> None:
    def here() -> int:
        return threading.get_ident()

    def handle(order: str, inline: int = Depends(here)) -> tuple[int, int]:
        from_thread.check_cancelled()
        return threading.get_ident(), inline

    result: Any = await plan(handle, resolver=Toy()).bind(body)({"body": ""})
    handled_in, made_in = result

    assert made_in == threading.get_ident() != handled_in


async def test_a_sync_function_can_be_called_inline() -> None:
    def handle() -> int:
        return threading.get_ident()

    run = plan(handle, resolver=Toy()).bind(sync_to_thread=False)

    assert await run({}) == threading.get_ident()


async def test_a_handler_that_only_takes_the_body_is_awaited_itself() -> None:
    async def handle(order: str) -> str:
        return order

    awaitable: Any = plan(handle, resolver=Toy()).bind(body)({"body": "ham"})

    assert awaitable.cr_code is handle.__code__
    assert await awaitable == "ham"


def test_a_generator_is_no_handler() -> None:
    async def handle(order: str) -> Any:
        yield order

    with pytest.raises(PlanError, match=r"'handle' .* is no handler"):
        plan(handle, resolver=Toy())


async def test_a_value_that_has_the_type_already_is_not_cast() -> None:
    class Order:
        def __init__(self, text: object) -> None:
            raise AssertionError(text)

    async def handle(order: Annotated[Order, Context(cast=True)]) -> Order:
        return order

    order = object.__new__(Order)

    assert await plan(handle, resolver=Toy(), caster=caster).bind()({"order": order}) is order
