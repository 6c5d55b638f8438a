from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from callboard import MemoryBroker

from ..asyncapi.conftest import official, official_of

__all__ = ["official", "official_of"]


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory to import from; what was imported from there is forgotten afterwards."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name, module in [*sys.modules.items()]:
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]
