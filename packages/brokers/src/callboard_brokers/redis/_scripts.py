"""What the server does in one step, since nothing may come between its parts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

SCRIPTS: Final[Mapping[str, str]] = {
    path.stem: path.read_text() for path in Path(__file__).parent.glob("*.lua")
}
"""The texts beside this module, by name; read when it is imported, and not while a loop waits."""
