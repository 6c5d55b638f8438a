"""The check that no test writes a secret, on tests that do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LEAKING = """
import logging, subprocess, sys

SECRET = "-".join(["alice", "secret"])

def test_prints():
    print("with", SECRET)

def test_logs(caplog):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("client").debug("with %s", SECRET)

def test_lets_a_child_print():
    subprocess.run([sys.executable, "-c", f"print('{SECRET}')"], check=True)

def test_writes(tmp_path):
    (tmp_path / "log").write_text(SECRET)

def test_fails_anyway():
    print("with", SECRET)
    assert not "a reason of its own"

def test_keeps_it():
    print("with a secret")
"""


@pytest.mark.slow
def test_a_test_that_writes_a_secret_fails_and_says_where(tmp_path: Path) -> None:
    file = tmp_path / "test_leaking.py"
    file.write_text(LEAKING)
    command = [sys.executable, "-m", "pytest", "-p", "tests.leaks", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-rf", "--rootdir", str(tmp_path), str(file)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "5 failed, 1 passed" in done.stdout
    assert "a secret of the tests shows in: Captured stdout call" in done.stdout
    assert "a secret of the tests shows in: Captured log call" in done.stdout
    assert 'assert not "a reason of its own"' in done.stdout
    assert "--- Leak ---" in done.stdout
    assert str(Path("test_writes0") / "log") in done.stdout
