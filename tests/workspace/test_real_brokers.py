"""A server that is missing skips its tests on a laptop, and fails them where they must run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDS_A_SERVER = """
import pytest

@pytest.mark.broker("nowhere")
def test_that_needs_a_server() -> None: ...
"""


@pytest.mark.slow
@pytest.mark.parametrize(("required", "outcome"), [("0", "1 skipped"), ("1", "1 error")])
def test_a_missing_server(required: str, outcome: str, tmp_path: Path) -> None:
    (tmp_path / "test_server.py").write_text(NEEDS_A_SERVER)

    options = ["-p", "conftest", "-p", "no:cacheprovider", "-c", "pyproject.toml", str(tmp_path)]
    options += ["-o", "markers=broker\nnowhere"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=ROOT,
        env={**os.environ, "CALLBOARD_REQUIRE_BROKERS": required},
        capture_output=True,
        text=True,
        check=False,
    )

    assert outcome in done.stdout
    assert "CALLBOARD_NOWHERE names no nowhere server" in done.stdout
