"""What holds for every test, beside the settings in pyproject.toml."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, settings
from pydantic import TypeAdapter

# How long an example takes says how busy the machine is. Where `CI` is set Hypothesis tries the same
# ones each time: what fails there fails again.
settings.register_profile("callboard", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("callboard")

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
    TypeAdapter(int)  # pydantic looks for its plugins on disk at its first validator
    # Given by name they would be imported here, and one broken package would fail every test.
    specs = [spec for name in _PACKAGES if (spec := find_spec(name))]
    with blockbuster_ctx([module_from_spec(spec) for spec in specs]) as blocking:
        for function in blocking.functions.values():
            # For each connection it looks for the user's password and certificates.
            function.can_block_in("asyncpg/connect_utils.py", {"_parse_connect_arguments"})
        yield


def pytest_configure() -> None:
    """Read the addresses that `make brokers-up` has written; the environment comes first."""
    written = Path(__file__).parent / ".brokers" / "env"
    for line in written.read_text().split() if written.exists() else []:
        name, _, address = line.partition("=")
        os.environ.setdefault(name, address)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what needs a server by the server's name, too, so that it can be chosen: `-m kafka`."""
    for name in _servers(item):
        item.add_marker(name.partition("_")[0])


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked `broker("kafka")` where no such server is, or fail it where it must run."""
    for name in _servers(item):
        reason = _missing(name)
        if reason is None:
            continue
        if os.environ.get("CALLBOARD_REQUIRE_BROKERS") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


def _servers(item: pytest.Item) -> list[str]:
    return [str(name) for marker in item.iter_markers("broker") for name in marker.args]


@cache
def _missing(name: str) -> str | None:
    """Say why there is no server of this *name*; None if there is one."""
    variable = f"CALLBOARD_{name.upper()}"
    address = os.environ.get(variable)
    if address is None:
        return f"{variable} names no {name} server; start one with: make brokers-up"
    at = urlsplit(address if "//" in address else f"//{address}")
    try:
        socket.create_connection((at.hostname, at.port), timeout=2).close()
    except OSError as error:
        return f"no {name} server at {variable}={at.netloc.rpartition('@')[2]} ({error}); start it with: make brokers-up"
    return None
