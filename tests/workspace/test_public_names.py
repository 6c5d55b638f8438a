"""No name becomes public, or stops being so, unnoticed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PACKAGES = HERE.parents[1] / "packages"
SCRIPT = HERE.parents[1] / "scripts" / "public_names"


@pytest.mark.slow
def test_the_public_names_are_the_stored_ones() -> None:
    """After a wanted change: `scripts/public_names > tests/workspace/public_names.txt` with .venv's Python."""
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=False)
    stored = (HERE / "public_names.txt").read_text(encoding="utf-8").split()

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == stored


def test_only_modules_with_public_names_list_them() -> None:
    """What a private module has for others is what has no underscore."""
    listing = {
        path.relative_to(source)
        for source in PACKAGES.glob("*/src")
        for path in source.rglob("*.py")
        if "\n__all__ = " in path.read_text(encoding="utf-8")
    }

    private = [path for path in listing if any(part.startswith("_") for part in path.parts)]
    assert [path for path in private if path.name != "__init__.py"] == []
