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
    for path in [
        ROOT / "README.md",
        ROOT / "docs/codecs.md",
        ROOT / "docs/dead-letters.md",
        ROOT / "docs/events.md",
        ROOT / "docs/logging.md",
        ROOT / "docs/metrics.md",
        ROOT / "docs/tracing.md",
        ROOT / "docs/nats.md",
        ROOT / "docs/redis.md",
        ROOT / "docs/web.md",
        *(ROOT / f"docs/migrating/{name}.md" for name in ("celery", "taskiq", "faust")),
        *ROOT.glob("packages/*/README.md"),
    ]
]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
SETTINGS = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)


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


@pytest.mark.slow
def test_the_tests_of_the_page_on_testing_pass_with_its_settings(tmp_path: Path) -> None:
    """Each block is a module of tests; the one with a fixture is the `conftest.py` of all."""
    page = (ROOT / "docs/testing.md").read_text(encoding="utf-8")
    blocks: list[str] = BLOCK.findall(page)
    for number, block in enumerate(blocks):
        name = "conftest.py" if "@pytest.fixture" in block else f"test_{number}.py"
        (tmp_path / name).write_text(block, encoding="utf-8")
    (settings,) = SETTINGS.findall(page)
    (tmp_path / "pyproject.toml").write_text(settings, encoding="utf-8")

    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (tmp_path / "conftest.py").exists()
    assert "8 passed" in done.stdout, done.stdout  # each of four, on asyncio and on trio


def test_the_readme_is_read_in_five_minutes() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120
