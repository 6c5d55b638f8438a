"""`callboard run --reload`: a real process that takes over from another one."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from .calls import add, call, callboard, ended

pytestmark = pytest.mark.slow

TELLING = """
NUMBER = 1

@app.after_startup
async def tell():
    print("up", NUMBER, flush=True)

@app.on_shutdown
async def end():
    print("down", NUMBER, flush=True)
"""


@pytest.fixture
def reloading(service: Path) -> Generator[subprocess.Popen[str]]:
    """A command that runs the service, with number 1, and has `.txt` for code."""
    add(service, TELLING)
    words = ["run", "service:app", "--app-dir", str(service.parent), "--reload", "--ext", "txt"]
    with callboard(*words) as process:
        assert said(process, 1) == ["up 1"]
        yield process


def said(process: subprocess.Popen[str], lines: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().rstrip() for _ in range(lines)]


def told(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    while words not in (line := process.stderr.readline()):
        assert line, f"nobody said {words}"


def write(service: Path, before: str, after: str) -> None:
    """Change the service at once, and not in two steps."""
    new = service.with_suffix(".new")
    new.write_text(service.read_text().replace(before, after))
    new.replace(service)


def test_changed_code_takes_over_when_the_old_has_stopped(
    reloading: subprocess.Popen[str], service: Path
) -> None:
    write(service, "NUMBER = 1", "NUMBER = 2")
    lines = said(reloading, 2)
    reloading.send_signal(signal.SIGINT)
    out, errors = ended(reloading)

    assert (lines, out) == (["down 1", "up 2"], "down 2\n")
    assert "service.py changed: starting anew" in errors
    assert reloading.returncode == 0


def test_broken_code_is_told_and_waits_for_a_change(
    reloading: subprocess.Popen[str], service: Path
) -> None:
    write(service, "NUMBER = 1", "NUMBER =")
    told(reloading, "'service' can't be imported: SyntaxError: invalid syntax (service.py, line ")
    told(reloading, "waiting for a change")
    write(service, "NUMBER =", "NUMBER = 3")

    assert said(reloading, 2) == ["down 1", "up 3"]


def test_a_signal_ends_what_waits_for_a_change(
    reloading: subprocess.Popen[str], service: Path
) -> None:
    write(service, "NUMBER = 1", "raise LookupError('no number')")
    told(reloading, "waiting for a change")
    reloading.send_signal(signal.SIGTERM)
    ended(reloading)

    assert reloading.returncode == 0


def test_files_of_other_kinds_may_count(reloading: subprocess.Popen[str], service: Path) -> None:
    (service.parent / "prices.txt").write_text("new")

    assert said(reloading, 2) == ["down 1", "up 1"]


def test_an_application_that_ends_by_itself_ends_the_command(service: Path) -> None:
    add(service, "app.after_startup(app.exit)")
    with callboard("run", "service:app", "--app-dir", str(service.parent), "--reload") as process:
        ended(process)

    assert process.returncode == 0


def test_reload_and_workers_do_not_go_together() -> None:
    result = call("run", "service:app", "--reload", "--workers", "2")

    assert result.stderr == (
        "callboard: --reload is for one process: leave out --workers, or --reload\n"
    )
    assert result.exit_code == 2
