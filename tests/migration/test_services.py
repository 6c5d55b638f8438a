"""Services that were written for FastStream run after `callboard migrate`, and nothing else.

Each folder of `faststream/` holds a service and its own check, which FastStream 0.7.8 passes.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from callboard.command._cli import cli

SERVICES = Path(__file__).parent / "faststream"
RUN = """\
import anyio
from check import check
anyio.run(check)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(each.name for each in SERVICES.iterdir()))
def test_a_service_runs_once_it_is_migrated(name: str, tmp_path: Path) -> None:
    service = shutil.copytree(SERVICES / name, tmp_path / name)

    migrated = CliRunner().invoke(cli, ["migrate", str(service), "--write"])
    done = subprocess.run(
        [sys.executable, "-c", RUN], cwd=service, capture_output=True, text=True, check=False
    )

    assert "2 of 2 modules rewritten" in migrated.stderr
    assert done.returncode == 0, done.stderr
