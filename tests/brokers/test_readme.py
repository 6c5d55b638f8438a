from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "packages" / "brokers" / "README.md"


def test_the_example_prints_what_the_readme_says(capsys: pytest.CaptureFixture[str]) -> None:
    code, output = re.findall(r"```\w+\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    exec(compile(code, str(README), "exec"), {"__name__": "readme"})  # noqa: S102 - our own text

    assert capsys.readouterr().out == output
    assert len(code.splitlines()) <= 30
