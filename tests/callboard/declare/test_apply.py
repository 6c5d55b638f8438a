"""Injection into functions that handle nothing."""

from __future__ import annotations

from typing import Annotated

import pytest

from callboard import Context, ContextRepo, DeclarationError, Depends, NoCast, apply_types
from callboard_di import MissingValue, Overrides

pytestmark = pytest.mark.anyio

CONTEXT = ContextRepo({"settings": {"name": "ada"}})


def double(number: int) -> int:
    return 2 * number


async def later() -> str:
    return "later"


async def test_an_async_function_gets_what_it_asks_for() -> None:
    @apply_types(context__=CONTEXT)
    async def greet(
        greeting: str, count: int, name: str = Context("settings.name"), when: str = Depends(later)
    ) -> str:
        return f"{greeting} {name} {count + 1} {when}"

    assert await greet("hello", "2") == "hello ada 3 later"
    assert await greet("hello", count=2, name="bob") == "hello bob 3 later"


def test_a_sync_function_stays_sync() -> None:
    @apply_types
    def add(a: int, b: int = 1, doubled: int = Depends(double), *more: int, **named: int) -> int:
        return a + b + doubled + sum(more) + sum(named.values())

    assert add("1", number=5) == 12 + 5
    assert add(1, 2, 3, 4, "5", number=1) == 16


def test_what_a_dependency_needs_is_given_by_name() -> None:
    @apply_types
    def show(doubled: int = Depends(double)) -> int:
        return doubled

    assert show(number="4") == 8


def test_a_sync_function_can_not_wait() -> None:
    def show(when: str = Depends(later)) -> str:
        return when

    with pytest.raises(AssertionError, match=r"'show' .* is sync, and can't wait for 'later'"):
        apply_types(show)
    with pytest.raises(DeclarationError):
        apply_types(show)


def test_nothing_is_cast_where_it_is_not_asked_for() -> None:
    @apply_types(cast=False)
    def one(number: int) -> object:
        return number

    @apply_types(cast_result=True)
    def two(number: Annotated[int, NoCast()]) -> str:
        return number  # type: ignore[return-value] # what is cast

    assert one("1") == "1"
    with pytest.raises(ValueError, match="no valid str"):
        two(1)


def test_a_value_that_is_not_valid_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="no valid int"):
        apply_types(double)("x")
    with pytest.raises(TypeError, match="needs a value for 'number'"):
        apply_types(double)()


def test_what_is_not_there_is_missing() -> None:
    @apply_types
    def show(name: str = Context()) -> str:
        return name

    with pytest.raises(MissingValue, match="'name'"):
        show()


def test_a_dependency_may_be_stood_in_for() -> None:
    provider = Overrides()

    @apply_types(dependency_provider=provider)
    def show(doubled: int = Depends(double)) -> int:
        return doubled

    provider.override(double, lambda: 7)

    assert show(number=1) == 7


def test_what_is_given_by_place_is_what_python_takes_for_it() -> None:
    @apply_types
    def show(first: int, /, *more: int, last: int = 0, **others: int) -> object:
        return first, more, last, others

    assert show("1", "2", last="3", other="4") == (1, (2,), 3, {"other": 4})


@pytest.mark.parametrize(
    ("args", "kwargs", "says"),
    [
        ((1, 2), {}, "takes 1 by position, and got 2"),
        ((1,), {"b": 2}, "got b and does not take it"),
        ((1,), {"a": 2}, "got a twice"),
    ],
)
def test_what_is_not_taken_is_refused(
    args: tuple[int, ...], kwargs: dict[str, int], says: str
) -> None:
    @apply_types
    def show(a: int, *, key: str = Context("key", default="")) -> int:
        return a

    with pytest.raises(TypeError, match=says):
        show(*args, **kwargs)
