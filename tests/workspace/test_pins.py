"""The pinned sets install the same files everywhere, and belong together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETS = [*sorted(ROOT.glob("requirements/*.txt")), ROOT / "benchmarks/requirements.txt"]
ENTRY = re.compile(r"^(?P<pin>[A-Za-z0-9][^\n]*)\n(?P<rest>(?:[ ]+[^\n]*\n)*)", re.MULTILINE)


@pytest.mark.parametrize("path", SETS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_requirement_has_a_version_and_a_hash(path: Path) -> None:
    entries = list(ENTRY.finditer(path.read_text(encoding="utf-8")))
    loose = [e["pin"] for e in entries if "==" not in e["pin"] or "--hash=sha256:" not in e["rest"]]

    assert entries
    assert loose == []


def test_the_tools_are_added_to_the_run_time_pins() -> None:
    """Hence `make setup` after `make demo` grows one environment, and changes nothing in it."""
    run, dev = (
        {e["pin"] for e in ENTRY.finditer((ROOT / f"requirements/{name}.txt").read_text())}
        for name in ("run", "dev")
    )

    assert run <= dev
