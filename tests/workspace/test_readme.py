"""What the READMEs, and some pages of the guide, show runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
READMES = [
    path.relative_to(ROOT)
    for path in [ROOT / "README.md", ROOT / "docs/events.md", *ROOT.glob("packages/*/README.md")]
]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("readme", READMES, ids=str)
def test_the_examples_of_a_readme_run(readme: Path, tmp_path: Path) -> None:
    """The blocks of one README are one program: a later one may use the names of an earlier one."""
    program = tmp_path / "example.py"
    blocks: list[str] = BLOCK.findall((ROOT / readme).read_text(encoding="utf-8"))
    program.write_text("\n".join(blocks), encoding="utf-8")

    command = [sys.executable, "-W", "error", str(program)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert blocks, f"{readme} shows no example"
    assert done.returncode == 0, done.stderr


def test_the_readme_is_read_in_five_minutes() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120
