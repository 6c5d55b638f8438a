from __future__ import annotations

from typing import Annotated, Any

import pytest

from callboard_di import Context, Header, MissingValue, NoCast, Path, PlanError, plan

from .toy import Toy, caster

Trace = Annotated[str, Context("trace")]

pytestmark = pytest.mark.anyio


async def test_a_dotted_name_leads_through_the_context() -> None:
    async def handle(trace: str = Context("message.headers.trace")) -> str:
        return trace

    run = plan(handle, resolver=Toy()).bind()

    assert await run({"message": {"headers": {"trace": "t1"}}}) == "t1"


async def test_a_header_name_may_have_dots() -> None:
    async def handle(trace: Annotated[str, Header("x.trace.id")]) -> str:
        return trace

    run = plan(handle, resolver=Toy()).bind()

    assert await run({"message": {"headers": {"x.trace.id": "t1"}}}) == "t1"


async def test_headers_and_path_fields_are_cast_and_context_values_are_not() -> None:
    async def handle(size: int = Header(), level: int = Path(), raw: int = Context()) -> object:
        return size, level, raw

    run = plan(handle, resolver=Toy(), caster=caster).bind()
    message = {"headers": {"size": "1"}, "path": {"level": "2"}}

    assert await run({"message": message, "raw": "3"}) == (1, 2, "3")


async def test_no_cast_leaves_one_parameter_alone() -> None:
    async def handle(a: Annotated[int, Header(), NoCast()], b: Annotated[int, Header()]) -> object:
        return a, b

    run = plan(handle, resolver=Toy(), caster=caster).bind()

    assert await run({"message": {"headers": {"a": "1", "b": "2"}}}) == ("1", 2)


async def test_nothing_is_cast_without_a_caster() -> None:
    async def handle(size: int = Header()) -> int:
        return size

    assert await plan(handle, resolver=Toy()).bind()({"message": {"headers": {"size": "1"}}}) == "1"


async def test_a_failed_cast_says_which_parameter_it_was_for() -> None:
    async def handle(size: int = Header()) -> None: ...

    run = plan(handle, resolver=Toy(), caster=caster).bind()

    with pytest.raises(ValueError, match="invalid literal") as caught:
        await run({"message": {"headers": {"size": "large"}}})
    assert "'size' of 'handle'" in caught.value.__notes__[0]


async def test_an_absent_value_without_default_names_what_is_missing() -> None:
    async def handle(trace: str = Context("message.trace")) -> None: ...

    run = plan(handle, resolver=Toy()).bind()

    with pytest.raises(MissingValue, match=r"'trace' of 'handle' .* no 'message.trace'") as caught:
        await run({"message": {}})
    assert caught.value.path == ("message", "trace")


@pytest.mark.parametrize("value", [0, False, "", None])
async def test_a_false_value_is_not_absent(value: object) -> None:
    async def handle(it: object = Context(default="default")) -> object:
        return it

    assert await plan(handle, resolver=Toy()).bind()({"it": value}) is value


async def test_a_default_stands_in_and_is_not_cast() -> None:
    async def handle(a: int = Header(default=None), b: Annotated[int, Header()] = 5) -> object:
        return a, b

    run = plan(handle, resolver=Toy(), caster=caster).bind()

    assert await run({"message": {"headers": {}}}) == (None, 5)


async def test_an_initial_is_made_once_and_shared_by_later_messages() -> None:
    async def handle(seen: Annotated[list[int], Context("collector", initial=list)]) -> list[int]:
        seen.append(1)
        return seen

    run = plan(handle, resolver=Toy("message")).bind()

    assert await run({}) is await run({})


async def test_an_initial_under_a_dotted_name_is_made_once_too() -> None:
    async def handle(seen: Annotated[list[int], Context("app.seen", initial=list)]) -> list[int]:
        return seen

    run = plan(handle, resolver=Toy(app={})).bind()

    assert await run({}) is await run({})


async def test_a_default_beats_an_initial() -> None:
    async def handle(seen: Annotated[Any, Context(default="default", initial=list)]) -> Any:
        return seen

    assert await plan(handle, resolver=Toy()).bind()({}) == "default"


def test_a_name_that_the_resolver_does_not_know_is_found_when_planning() -> None:
    async def handle(brocker: object = Context()) -> None: ...

    with pytest.raises(PlanError, match=r"'brocker' of 'handle' .* only broker are there"):
        plan(handle, resolver=Toy("broker"))


async def test_an_optional_name_may_become_known_later() -> None:
    async def handle(tenant: str = Context(default="nobody")) -> str:
        return tenant

    toy = Toy("broker")
    run = plan(handle, resolver=toy).bind()

    assert await run({}) == "nobody"
    toy.stored["tenant"] = "acme"
    assert await run({}) == "acme"


async def test_an_alias_of_an_annotated_type_carries_its_marker() -> None:
    async def handle(it: Trace) -> str:
        return it

    assert await plan(handle, resolver=Toy()).bind()({"trace": "t1"}) == "t1"
