"""No secret that the tests use shows in anything that they write.

That is what they print and log, at the level that they choose, and the files in their folders. What
a child process or the command line has written counts if the child writes to where the test does,
or the test has it `looked_through`.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

PASSWORD: Final = "alice-secret"  # noqa: S105 - of servers for tests
"""The one that the test servers know; see scripts/servers/kafka.properties."""
WRONG_PASSWORD: Final = "s3cr3t-PASS"  # noqa: S105 - of nobody
UNSIGNED: Final = "eyJhbGciOiAibm9uZSJ9"
"""How each token begins that has no signature, as those of the tests."""


def looked_through(text: str) -> str:
    """Return *text*, which something else has written, and have it looked through."""
    sys.stdout.write(text)
    return text


def secrets_in(text: str) -> list[str]:
    """Name the secrets of the tests that *text* shows."""
    return [secret for secret in (PASSWORD, WRONG_PASSWORD, UNSIGNED) if secret in text]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that has written a secret, whatever else became of it."""
    report = yield
    written = dict(report.sections)
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    if call.when == "call" and folder is not None:
        written |= {str(file): file.read_text(errors="replace") for file in _files(folder)}
    places = [place for place, text in written.items() if secrets_in(text)]
    if places:
        leak = f"a secret of the tests shows in: {', '.join(places)}"
        if report.failed:  # by something else, which has to be seen too
            report.sections.append(("Leak", leak))
        else:
            report.outcome, report.longrepr = "failed", leak
    return report


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
