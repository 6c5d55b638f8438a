"""What `pip install` gives, which is not the tree that everything else here is tested in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_demo_plays_from_the_wheel_of_the_facade(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT / "packages" / "callboard", capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    with ZipFile(wheel) as archive:
        archive.extractall(installed)

    # First on the path: the demo below must not be that of the tree.
    script = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "import callboard, callboard.command._cli as cli\n"
        f"assert callboard.__file__.startswith({str(installed)!r}), callboard.__file__\n"
        "sys.argv = ['callboard', 'demo']\n"
        "cli.main()"
    )
    # Elsewhere, so that nothing of the tree is found by the current folder.
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert "Everything adds up." in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0
