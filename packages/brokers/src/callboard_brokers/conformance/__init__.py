"""The suite that an adapter passes, in a test module of a dozen lines.

The module says how to reach the broker, and runs the checks::

    @pytest.fixture
    def harness() -> Harness[MySource, MyTarget]:
        return Harness(adapter=..., source=..., target=..., stale=..., settled_twice=...)

    @pytest.mark.anyio
    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    async def test_the_adapter_conforms(check: Check, harness: Harness[MySource, MyTarget]) -> None:
        await check(harness)

Checks of what the adapter's `Features` lack are skipped, and say so. The suite needs pytest and
anyio's plugin for it; both are no dependencies of this package, since only tests import it.
"""
# ruff: noqa: E402 - pytest explains the assertions of what is imported after asking for it

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any, TypeAlias

import pytest

pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in ("_carrying", "_holding", "_losing", "_preparing", "_reading", "_settling")
    )
)

from callboard_brokers.conformance import (
    _carrying,
    _holding,
    _losing,
    _preparing,
    _reading,
    _settling,
)
from callboard_brokers.conformance._harness import Harness, Incoming, Stage

__all__ = ["CHECKS", "Check", "Harness", "Incoming", "Stage"]

Check: TypeAlias = Callable[[Harness[Any, Any]], Awaitable[None]]

CHECKS: tuple[Check, ...] = tuple(
    member
    for module in (_preparing, _reading, _settling, _holding, _carrying, _losing)
    for member in vars(module).values()
    if iscoroutinefunction(member)
    and member.__module__ == module.__name__
    and not member.__name__.startswith("_")
)
"""Every coroutine function of these modules whose name is not private."""
