"""`callboard demo`: the example of the repository, wherever Callboard is installed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import typer

from callboard.command._arguments import Inspect
from callboard.command._fail import fail


def demo(inspect: Inspect = None) -> None:
    """Watch a pipeline work under supervision: some thousand orders, on the broker in memory."""
    here = Path(__file__).resolve()
    # In a wheel the examples lie beside this folder; in the repository, where they are written.
    for folder in (
        here.parents[1] / "_examples",
        *(root / "apps" / "examples" for root in here.parents[5:6]),
    ):
        if (folder / "orders").is_dir():
            sys.path.insert(0, str(folder))
            play: Callable[[Path | None], int] = importlib.import_module("orders.demo").main
            raise typer.Exit(play(inspect))
    fail("the example is not here; clone the repository and run make demo", status=1)
