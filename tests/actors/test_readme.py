from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "packages/actors/README.md"


def test_the_example_of_the_readme_prints_what_it_says() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    run = subprocess.run(
        [sys.executable, "-c", example], capture_output=True, text=True, timeout=15, check=False
    )

    assert run.stderr == ""
    assert run.stdout.splitlines() == ["asked: 2", "asked again: 1", "restarts: 2"]
