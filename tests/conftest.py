"""Every asynchronous test runs on asyncio and on trio, in virtual time; none writes a secret."""

from __future__ import annotations

import pytest

from callboard_actors.testing import virtual_backend

from .leaks import pytest_runtest_makereport

__all__ = ["pytest_runtest_makereport"]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    """An event loop whose clock jumps as soon as everything waits."""
    return virtual_backend(request.param)
