"""The official parser of AsyncAPI documents, which runs on node: one process for many documents."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INSTALLED = ROOT / ".tools" / "parser"
# Only the newest version of AsyncAPI is without it.
NOT_NEWEST = "asyncapi-latest-version"


def judge(documents: Mapping[str, str]) -> dict[str, list[str]]:
    """Return what the parser finds wrong with *documents* or might be better, a line for each."""
    _require()
    command = ["node", str(ROOT / "scripts" / "parser" / "validate.mjs"), str(INSTALLED)]
    text = json.dumps(documents)
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[tuple[int, str, str, str]]] = json.loads(done.stdout)
    return {
        name: [f"{code} at {path}: {said}" for _, code, path, said in lines if code != NOT_NEWEST]
        for name, lines in found.items()
    }


def _require() -> None:
    missing = None
    if shutil.which("node") is None:
        missing = "node is not on this machine, on which the official parser runs"
    elif not (INSTALLED / "installed.json").exists():
        missing = "the official parser is not installed: scripts/parser/install"
    if missing and os.environ.get("CALLBOARD_REQUIRE_BROKERS") == "1":
        pytest.fail(missing, pytrace=False)
    if missing:
        pytest.skip(missing)
