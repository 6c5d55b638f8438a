"""How large the trials are, from which seed, and the table of their figures."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

import pytest

from .kind import Kind, Node, Settings
from .trial import Plan, Row, Trial, trial_of

ROWS = pytest.StashKey[list[Row]]()
Begin: TypeAlias = Callable[..., AbstractAsyncContextManager[Trial]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # as the client is


@pytest.fixture
def scale() -> float:
    return float(os.environ.get("CALLBOARD_CHAOS_SCALE", "0.1"))


@pytest.fixture
def seed() -> int:
    given = os.environ.get("CALLBOARD_SEED")
    chosen = random.SystemRandom().randrange(10**9) if given is None else int(given)
    sys.stdout.write(f"CALLBOARD_SEED={chosen}\n")  # pytest shows it beside a failure
    return chosen


@pytest.fixture(scope="module")
def node(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Generator[Node]:
    """Run a server of the trials' own, of the *kind* that the module under test tries."""
    if (reason := kind.missing()) is not None:
        if os.environ.get("CALLBOARD_REQUIRE_BROKERS") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    with kind.node_in(tmp_path_factory.mktemp("node")) as running:
        yield running


@pytest.fixture
def begin(
    request: pytest.FixtureRequest, kind: Kind, seed: int, scale: float, tmp_path: Path
) -> Begin:
    """Begin a trial; its figures are in the table at the end, and what is wrong fails the test."""

    @asynccontextmanager
    async def run(
        name: str, *, records: int, rate: float, bound: Callable[[Trial], int],
        direct: str | None = None, through: str | None = None,
        settings: Mapping[str, Any] = {}, **plan: Any,
    ) -> AsyncGenerator[Trial]:  # fmt: skip
        topic = f"chaos.{name.replace(' ', '.')}.{uuid4().hex}"
        at = direct or os.environ[f"CALLBOARD_{kind.name.upper()}"]
        chosen = Settings(
            kind=kind.name, servers=through or at, topic=topic, folder=str(tmp_path), **settings
        )
        plan["slowness"] = 1.0 if scale >= 1 else 3.0  # CI has any machine, and other work beside
        planned = Plan(name=name, seed=seed, records=round(records * scale), rate=rate, **plan)
        async with trial_of(planned, kind, chosen, direct=at) as trial:
            yield trial
        row, wrong = trial.judge(bound(trial))
        request.config.stash.setdefault(ROWS, []).append(row)
        assert not wrong, wrong

    return run


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for row in config.stash.get(ROWS, list[Row]()):
        terminalreporter.write_line(str(row))
