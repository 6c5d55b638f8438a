from __future__ import annotations

from typing import Any

import pytest

from callboard_di import Context, Depends, Overrides, PlanError, plan

from .toy import Toy

pytestmark = pytest.mark.anyio


def real() -> str:
    return "real"


def fake() -> str:
    return "fake"


async def handle(it: str = Depends(real)) -> str:
    return it


def bound(overrides: Overrides) -> Any:
    return plan(handle, resolver=Toy(), overrides=overrides).bind()


async def test_an_override_holds_from_the_next_message_on() -> None:
    overrides = Overrides()
    run = bound(overrides)

    assert await run({}) == "real"
    overrides.override(real, fake)
    assert await run({}) == "fake"


async def test_a_scope_ends_with_its_block() -> None:
    overrides = Overrides()
    run = bound(overrides)

    with overrides.scope(real, fake):
        assert await run({}) == "fake"
    assert await run({}) == "real"


async def test_after_a_scope_the_override_before_it_holds_again() -> None:
    overrides = Overrides()
    overrides[real] = fake
    run = bound(overrides)

    with overrides.scope(real, lambda: "other"):
        assert await run({}) == "other"
    assert await run({}) == "fake"


async def test_clear_forgets_every_override() -> None:
    overrides = Overrides()
    overrides[real] = fake
    run = bound(overrides)

    overrides.clear()

    assert await run({}) == "real"


async def test_a_replacement_has_its_own_dependencies_which_can_be_overridden() -> None:
    def nested(who: str = Context(), it: str = Depends(fake)) -> str:
        return f"{it} for {who}"

    overrides = Overrides()
    overrides[real] = nested
    overrides[fake] = lambda: "replaced"

    assert await bound(overrides)({"who": "Ada"}) == "replaced for Ada"


async def test_a_dependency_that_runs_for_its_effects_can_be_overridden() -> None:
    def deny() -> None:
        raise PermissionError

    overrides = Overrides()
    run = plan(handle, resolver=Toy(), dependencies=[Depends(deny)], overrides=overrides).bind()

    with overrides.scope(deny, lambda: None):
        assert await run({}) == "real"
    with pytest.raises(PermissionError):
        await run({})


async def test_an_override_that_needs_what_it_replaces_is_a_circle() -> None:
    def around(it: str = Depends(real)) -> str:
        return f"{it}!"

    overrides = Overrides()
    run = bound(overrides)
    overrides[real] = around

    with pytest.raises(PlanError, match=r"circle: 'around' .* → 'around'"):
        await run({})


async def test_what_is_not_overridden_here_may_be_in_what_is_around() -> None:
    near, wide = Overrides(), Overrides()
    near.widen(wide)
    run = bound(near)

    wide.override(real, fake)
    assert await run({}) == "fake"
    near.override(real, lambda: "near")
    assert await run({}) == "near"


async def test_another_around_takes_the_place_of_the_first() -> None:
    near, first, second = Overrides(), Overrides(), Overrides()
    near.widen(first)
    near.widen(second)
    run = bound(near)

    first.override(real, fake)
    assert await run({}) == "real"
    second.override(real, fake)
    assert await run({}) == "fake"
