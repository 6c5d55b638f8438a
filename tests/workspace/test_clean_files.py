"""No file of the repository is bound to one registry or one machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
REGISTRY = re.compile(
    r"pypi\.org|pythonhosted|registry\.npmjs|repo\d?\.maven|proxy\.golang|crates\.io|deb\.debian"
    r"|(^|\s)(-i|--(extra-)?index-url|--find-links|--trusted-host)[ =]",
    re.MULTILINE,
)
MACHINE = re.compile(r"/(?:work|root|home/\w+|Users/\w+)/|file:///")


def tracked_files() -> list[Path]:
    """The files that are or would be committed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file() and path != Path(__file__)]


def places(pattern: re.Pattern[str]) -> list[str]:
    """Where the pattern occurs, as `path: match`."""
    texts = {path: path.read_text(encoding="utf-8", errors="ignore") for path in tracked_files()}
    return [
        f"{path.relative_to(ROOT)}: {found[0].strip()}"
        for path, text in texts.items()
        for found in pattern.finditer(text)
    ]


def test_no_file_names_a_registry() -> None:
    assert places(REGISTRY) == []


def test_no_file_names_a_path_of_one_machine() -> None:
    assert places(MACHINE) == []
