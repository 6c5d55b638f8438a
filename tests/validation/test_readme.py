from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[2] / "packages" / "validation" / "README.md"


def test_the_example_of_the_readme_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)

    exec(compile(example, str(README), "exec", dont_inherit=True), {"__name__": "readme"})  # noqa: S102 - our own text
