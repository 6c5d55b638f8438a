"""No name becomes public, or stops being so, unnoticed."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from inspect import isclass
from pathlib import Path
from typing import Any

import pytest

from callboard import Message

HERE = Path(__file__).parent
PACKAGES = HERE.parents[1] / "packages"
MET: Any = (BaseException, Message)
"""What users meet, in tracebacks and in what they are handed."""
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


def test_errors_and_messages_are_called_by_the_names_by_which_they_are_imported() -> None:
    names = (HERE / "public_names.txt").read_text(encoding="utf-8").split()
    found: list[Any] = [
        getattr(import_module(module), name)
        for module, _, name in (each.rpartition(".") for each in names)
    ]
    met: set[Any] = {each for each in found if isclass(each) and issubclass(each, MET)}

    private = {each for each in met if "._" in each.__module__}
    lost = {each for each in met if getattr(import_module(each.__module__), each.__name__) != each}
    assert (private, lost) == (set(), set())
    assert len(met) > 50
