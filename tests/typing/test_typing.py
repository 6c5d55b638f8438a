"""Both type checkers accept and reject what users write, in the places that the programs here mark.

`accepted_*.py` must be clean. In `rejected_*.py` every line that ends in `# rejected` must get an
error from both checkers, and no other line may get one from either. Keep a rejected call on one
line: the checkers do not agree on which line of several they report.
"""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ACCEPTED = sorted(HERE.glob("accepted_*.py"))
REJECTED = sorted(HERE.glob("rejected_*.py"))
Errors = dict[tuple[str, int], str]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]  # a checker starts cold in CI


def run(checker: str, *options: str | Path) -> str:
    command = [Path(sys.executable).parent / checker, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return done.stdout


@functools.cache
def mypy() -> Errors:
    """Every error, by file and line."""
    report = re.findall(
        r"^(.+?):(\d+): error: (.+)$", run("mypy", *ACCEPTED, *REJECTED), re.MULTILINE
    )
    return {(Path(path).name, int(line)): message for path, line, message in report}


@functools.cache
def basedpyright() -> Errors:
    """Every error and warning, by file and line; it counts lines from zero."""
    # A project of its own, since basedpyright leaves out what the root excludes, even if named.
    report = json.loads(run("basedpyright", "--outputjson", "--project", HERE))[
        "generalDiagnostics"
    ]
    return {
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1): each["message"]
        for each in report
    }


def marked_lines(path: Path) -> set[int]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# rejected")}


@pytest.mark.parametrize("checker", [mypy, basedpyright], ids=["mypy", "basedpyright"])
@pytest.mark.parametrize("path", [*ACCEPTED, *REJECTED], ids=lambda path: path.stem)
def test_a_checker_rejects_the_marked_lines_and_no_other(
    path: Path, checker: functools.partial[Errors]
) -> None:
    found = {line: message for (name, line), message in checker().items() if name == path.name}
    marked = marked_lines(path)
    unexpected = {line: message for line, message in found.items() if line not in marked}
    missed = marked - found.keys()

    assert unexpected == {}
    assert missed == set()


def test_the_programs_that_must_be_rejected_mark_lines() -> None:
    assert [path.name for path in REJECTED if not marked_lines(path)] == []
