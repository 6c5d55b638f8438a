"""Every asynchronous test runs on asyncio and on trio, in virtual time; none writes a secret."""

from __future__ import annotations

import os
from typing import Final

import pytest
import trio._core._run as trio_run

from callboard_actors.testing import virtual_backend

from .leaks import pytest_runtest_makereport

__all__ = ["pytest_runtest_makereport"]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    """An event loop whose clock jumps as soon as everything waits."""
    return virtual_backend(request.param)


SEED: Final = os.environ.get("CALLBOARD_SEED", "")


@pytest.fixture(autouse=True)
def order_of_trio(request: pytest.FixtureRequest) -> None:
    """Let a test meet the same order of trio's tasks each time, and another with another seed.

    Trio draws by chance whether it reverses the tasks that are ready, and has no public way to say
    with what luck; pytest-trio seeds the same generator.
    """
    trio_run._r.seed(f"{SEED}{request.node.nodeid}")  # pyright: ignore[reportPrivateUsage]
