"""Runs of a loop in virtual time that can be repeated exactly, for Hypothesis above all."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio
from hypothesis import register_random, settings

# Trio shuffles its tasks on purpose. It has no public way to make that repeatable; this is how
# pytest-trio does it.
from trio._core import _run  # pyright: ignore[reportPrivateUsage] - as above

from callboard_actors.testing import virtual_backend

__all__ = ["examples", "run"]

T = TypeVar("T")

DICE: Final = _run._r  # pyright: ignore[reportPrivateUsage] - as above
_run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]  # pyright: ignore[reportPrivateUsage] - as above
register_random(DICE)


examples: Final = settings(max_examples=int(os.environ.get("CALLBOARD_EXAMPLES", "100")))
"""How many scripts are tried: few, or as many as `CALLBOARD_EXAMPLES` says."""


def run(backend: str, main: Callable[[], Awaitable[T]]) -> T:
    """Run *main* on "asyncio" or "trio", always in the same way."""
    DICE.seed(0)
    name, options = virtual_backend("trio" if backend == "trio" else "asyncio")
    return anyio.run(main, backend=name, backend_options=options)
