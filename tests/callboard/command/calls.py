"""Calls of the command line on a small application, in this process or in one of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from typer.testing import CliRunner, Result

from callboard.command._cli import cli

from ...leaks import looked_through

SERVICE = """
import time
import anyio
from callboard import ActorCrash, App, MemoryBroker, Supervision

broker = MemoryBroker()
app = App(broker, title="Shop", graceful_timeout=0.2)

@broker.subscriber("orders")
@broker.publisher("invoices")
async def handle(order: int) -> str:
    return str(order)
"""


def add(service: Path, lines: str) -> None:
    service.write_text(service.read_text() + lines)


def call(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, arguments)
    looked_through(result.output)
    return result


def run(service: Path, *arguments: str) -> Result:
    return call("run", "service:app", "--app-dir", str(service.parent), *arguments)


@contextmanager
def callboard(*words: str) -> Generator[subprocess.Popen[str]]:
    """Run the command in a process of its own, and end it."""
    command = [str(Path(sys.executable).parent / "callboard"), *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def running(service: Path, app: str = "app", *arguments: str) -> Generator[subprocess.Popen[str]]:
    """Run the application in a process of its own, which is up when this begins."""
    words = ["run", f"service:{app}", "--app-dir", str(service.parent), *arguments]
    with callboard(*words) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process


def ended(process: subprocess.Popen[str], patience: float = 45) -> tuple[str, str]:
    """Return what the process writes until it has ended."""
    out, errors = process.communicate(timeout=patience)
    return looked_through(out), looked_through(errors)
