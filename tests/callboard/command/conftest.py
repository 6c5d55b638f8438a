"""A small application for the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from .calls import SERVICE


@pytest.fixture
def service(folder: Path) -> Path:
    """The file of a module `service` with an application, to which lines can be added."""
    file = folder / "service.py"
    file.write_text(SERVICE)
    return file
