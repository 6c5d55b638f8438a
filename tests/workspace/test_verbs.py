"""The Makefile has eleven verbs, and says what each does."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERBS = [
    "help",
    "setup",
    "demo",
    "test",
    "check",
    "fmt",
    "bench",
    "docs",
    "size",
    "brokers-up",
    "brokers-down",
]


def test_make_alone_lists_the_verbs() -> None:
    # Under `make test` this make is a nested one, which would say so in between.
    done = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    )

    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines() if line[:1].islower()]
    assert [line[0] for line in lines if len(line) == 2] == VERBS


@pytest.mark.parametrize("file", ["README.md", "CONTRIBUTING.md"])
def test_every_verb_that_a_page_mentions_exists(file: str) -> None:
    mentioned = re.findall(r"`make ([a-z-]+)", (ROOT / file).read_text(encoding="utf-8"))

    assert set(mentioned) <= set(VERBS)
