"""What holds for every test, beside the settings in pyproject.toml."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec, module_from_spec

import pytest
from blockbuster import blockbuster_ctx

_PACKAGES = [
    "callboard",
    "callboard_actors",
    "callboard_asyncapi",
    "callboard_brokers",
    "callboard_di",
    "callboard_validation",
]


@pytest.fixture(scope="session", autouse=True)
def _no_blocking_calls() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction] - pytest uses it
    """Fail what our packages, or handlers called by them, block an asyncio loop with."""
    # Given by name they would be imported here, and one broken package would fail every test.
    specs = [spec for name in _PACKAGES if (spec := find_spec(name))]
    with blockbuster_ctx([module_from_spec(spec) for spec in specs]):
        yield


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked `broker("kafka")` where `CALLBOARD_KAFKA` is unset, or fail it where it must run."""
    names = [str(name) for marker in item.iter_markers("broker") for name in marker.args]
    for name in names:
        variable = f"CALLBOARD_{name.upper()}"
        if variable in os.environ:
            continue
        reason = f"{variable} names no {name} server; start one with: make brokers-up"
        if os.environ.get("CALLBOARD_REQUIRE_BROKERS") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
