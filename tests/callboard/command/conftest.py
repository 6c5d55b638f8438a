"""A small application for the command line."""

from __future__ import annotations

import logging
from collections.abc import Generator
from pathlib import Path

import pytest

from callboard.command._logs import CLIENTS

from .calls import SERVICE


@pytest.fixture(autouse=True)
def _levels() -> Generator[None]:  # pyright: ignore[reportUnusedFunction] - pytest uses it
    """Leave the levels of loggers as they were, whatever a command makes of them."""
    loggers = [logging.getLogger(name) for name in ("callboard", *CLIENTS)]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def service(folder: Path) -> Path:
    """The file of a module `service` with an application, to which lines can be added."""
    file = folder / "service.py"
    file.write_text(SERVICE)
    return file
