"""What counts as a line of code, and that every package stays within its budget."""

from __future__ import annotations

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = '''"""What it is."""

from __future__ import annotations

import json
from collections.abc import (
    Callable,
)

__all__ = [
    "answer",
]

# A comment.
LIMIT = 3
"""What the limit is."""


def answer(
    question: str,  # a comment beside code
) -> str:
    """Say something.

    At length.
    """
    text = """two
lines"""
    return text
'''


@pytest.fixture(scope="module")
def size() -> ModuleType:
    """The script, which has no ending that could be imported."""
    loader = SourceFileLoader("size", str(ROOT / "scripts" / "size"))
    spec = spec_from_loader("size", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_only_code_is_counted(size: ModuleType) -> None:
    assert size.code_lines(SOURCE) == 7


def test_every_part_is_within_its_budget(size: ModuleType) -> None:
    counted: dict[str, int] = size.sizes()

    assert sum(counted.values()) > 0
    assert {name: n for name, n in counted.items() if n > size.BUDGETS[name]} == {}
