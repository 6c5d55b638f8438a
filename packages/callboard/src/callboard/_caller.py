"""Where in the user's own files something is declared, for errors that name the place."""

from __future__ import annotations

from inspect import currentframe
from pathlib import Path
from typing import Final

_LEAVES: Final = ("actors", "asyncapi", "brokers", "di", "validation")
_OURS: Final = {"callboard", *(f"callboard_{leaf}" for leaf in _LEAVES)}


def caller() -> str:
    """Return where Callboard is called from: `service.py:7`."""
    frame = currentframe()
    while frame is not None and _is_ours(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}" if frame else "this process"


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in _OURS
