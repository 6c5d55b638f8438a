"""The script behind `make test` runs the suite in shares, and loses nothing of any."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "test"
TESTS = """
import pytest

@pytest.mark.kafka
def test_with_kafka() -> None:
    pass

@pytest.mark.nats
def test_with_nats() -> None:
    assert False

def test_without() -> None:
    pass
"""


@pytest.mark.slow
def test_a_failure_in_one_share_fails_all_and_each_is_shown_whole(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    script = shutil.copy(SCRIPT, tmp_path / "scripts")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nmarkers = kafka\n  nats\n  postgres\n  rabbit\n  redis\n"
    )
    (tmp_path / "test_it.py").write_text(TESTS)

    bare = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [sys.executable, script], env=bare, capture_output=True, text=True, check=False
    )

    last = [line for line in done.stdout.splitlines() if "2 deselected in" in line]
    assert ["1 passed" in line for line in last] == [True, False, True]
    assert done.returncode == 1
