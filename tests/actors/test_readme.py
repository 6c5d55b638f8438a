from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "packages/actors/README.md"

RUN_TEST = """
from callboard_actors import Terminated
from callboard_actors.testing import leak_check, probe
anyio.run(test_who_watches_a_counter_is_told_of_its_end)
"""


def run(code: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=15, check=False
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_the_example_of_the_readme_prints_what_it_says() -> None:
    example, _ = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)

    assert run(example) == ["asked: 2", "asked again: 1", "restarts: 2"]


def test_the_test_of_the_readme_passes() -> None:
    example, test = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)

    assert len(run(example + test + RUN_TEST)) == 3
