"""What nobody gives is left out of the call; and what is the same is told by identity."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

import msgspec
import pytest
from pydantic import BaseModel, Field

from callboard_di import Context, Depends, Header, Overrides, plan

from .toy import Toy, body, caster

pytestmark = pytest.mark.anyio


class Model(BaseModel):
    tags: list[str] = Field(default_factory=lambda: ["made"])


class Aliased(BaseModel):
    tags: list[str] = Field(["made"], alias="theTags")


class Struct(msgspec.Struct):
    tags: list[str] = msgspec.field(default_factory=lambda: ["made"])


@dataclass
class Record:
    tags: list[str] = field(default_factory=lambda: ["made"])


class Settings(BaseModel):
    """Finds what is not given elsewhere, as settings from the environment do."""

    tags: list[str] = ["default"]

    def __init__(self, **given: Any) -> None:
        super().__init__(**{"tags": ["made"], **given})


CLASSES: list[Any] = [Model, Aliased, Struct, Record, Settings]


async def depending(kind: Any, **travelling: Any) -> Any:
    async def handle(it: Any = Depends(kind)) -> Any:
        return it

    return await plan(handle, resolver=Toy(), caster=caster).bind()(travelling)


@pytest.mark.parametrize("kind", CLASSES)
async def test_a_class_makes_its_own_defaults(kind: Any) -> None:
    assert (await depending(kind)).tags == ["made"]


@pytest.mark.parametrize("kind", CLASSES)
async def test_a_class_that_outlives_its_call_makes_its_own_defaults_too(kind: Any) -> None:
    made: Any
    async with plan(kind, resolver=Toy()).bind_scope()({}) as made:
        assert made.tags == ["made"]


async def test_a_model_knows_that_nothing_was_set() -> None:
    assert (await depending(Model)).model_fields_set == set()


async def test_a_factory_is_called_for_each_message() -> None:
    first, second = await depending(Model), await depending(Model)

    assert first.tags is not second.tags


class Marked(BaseModel):
    trace: Annotated[str, Header()] = Field(default_factory=lambda: "made")
    count: Annotated[int, Header()] = 3
    level: Annotated[str, Context(default="given")] = "shown"
    tags: list[str] = []


async def test_a_header_that_is_absent_is_left_out_of_what_a_class_gets() -> None:
    absent = await depending(Marked)
    present = await depending(Marked, message={"headers": {"count": 5}})

    assert (absent.trace, absent.count, absent.level) == ("made", 3, "given")
    assert absent.model_fields_set == {"level"}
    assert (present.trace, present.count) == ("made", 5)


class Line(BaseModel):
    body: int
    number: int = 3


@dataclass(kw_only=True)
class LineRecord:
    number: int = 3
    body: int


class LineStruct(msgspec.Struct):
    body: int
    number: int = 3


class LineTuple(NamedTuple):
    body: int
    number: int = 3


class Lines(BaseModel):
    line: Annotated[LineRecord, Depends(LineRecord)]
    body: int
    number: int = 3


@pytest.mark.parametrize("kind", [Line, LineRecord, LineStruct, LineTuple, Lines])
async def test_the_fields_of_a_class_are_parameters_like_any(kind: Any) -> None:
    async def handle(body: int, line: Any = Depends(kind)) -> Any:
        return line

    line: Any = await plan(handle, resolver=Toy(), caster=caster).bind(body)({"body": 5})
    assert type(line) is kind
    assert (line.body, line.number) == (5, 3)


async def test_a_field_of_a_class_that_has_no_default_is_read_from_the_body() -> None:
    async def handle(line: Any = Depends(Line)) -> Any:
        return line

    planned = plan(handle, resolver=Toy(), caster=caster)

    assert [each.name for each in planned.body] == ["body"]
    line: Any = await planned.bind(body)({"body": 5})
    assert (line.body, line.number) == (5, 3)


async def test_what_follows_one_that_is_left_out_is_passed_by_name() -> None:
    def value() -> str:
        return "value"

    def function(
        first: str = "first",
        second: str = Depends(value),
        /,
        third: str = "third",
        fourth: str = Depends(value),
        *,
        fifth: str = "fifth",
        sixth: str = Depends(value),
    ) -> object:
        return first, second, third, fourth, fifth, sixth

    assert await depending(function) == ("first", "value", "third", "value", "fifth", "value")


async def test_a_hook_leaves_out_what_its_dependencies_take_from_it() -> None:
    def load(environment: str) -> str:
        return f"loaded for {environment}"

    async def hook(
        *rest: object, environment: str = "test", loaded: str = Depends(load), **others: object
    ) -> object:
        return rest, environment, loaded, others

    assert await plan(hook, resolver=Toy()).bind()({}) == ((), "test", "loaded for test", {})


@dataclass(frozen=True)
class Source:
    """Two of these are equal, whatever they give."""

    name: str = field(compare=False)

    def __call__(self) -> str:
        return self.name

    async def load(self) -> str:
        return self.name


class Odd:  # noqa: PLW1641 - as an array has no hash
    """Gives no bool when it is compared, as an array does."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")


ODD = Odd()


async def test_equal_callables_are_two_dependencies() -> None:
    one, two = Source("one"), Source("two")

    async def handle(
        a: str = Depends(one),
        b: str = Depends(two),
        c: str = Depends(one.load),
        d: str = Depends(two.load),
    ) -> object:
        return a, b, c, d

    assert await plan(handle, resolver=Toy()).bind()({}) == ("one", "two", "one", "two")


async def test_the_method_of_one_object_is_one_dependency() -> None:
    calls: list[str] = []

    class Loader:
        def load(self) -> None:
            calls.append("load")

    loader = Loader()

    async def handle(a: None = Depends(loader.load), b: None = Depends(loader.load)) -> None: ...

    await plan(handle, resolver=Toy()).bind()({})
    assert calls == ["load"]


async def test_an_override_is_for_one_callable_and_none_that_is_equal() -> None:
    one, two, overrides = Source("one"), Source("two"), Overrides()
    overrides[one] = lambda: "override"
    overrides[two.load] = lambda: "override of the method"

    async def handle(
        a: str = Depends(one),
        b: str = Depends(two),
        c: str = Depends(one.load),
        d: str = Depends(two.load),
    ) -> object:
        return a, b, c, d

    run = plan(handle, resolver=Toy(), overrides=overrides).bind()
    assert await run({}) == ("override", "two", "one", "override of the method")


async def test_nothing_of_users_is_compared() -> None:
    def needing(it: object = ODD, other: Annotated[object, Odd()] = ODD) -> object:
        return it is other

    async def handle(
        value: Annotated[object, Odd()],
        same: Annotated[object, Odd(), Depends(needing)],
        header: Annotated[object, Odd(), Context(default=ODD)],
    ) -> object:
        return same, header is ODD

    run = plan(handle, resolver=Toy()).bind(body)
    assert await run({"body": Odd()}) == (True, True)
