"""How a command says that it can't do what it should: one line on stderr, and a status."""

from __future__ import annotations

from typing import NoReturn

import typer

from callboard.watch._printable import TRACE, printable


def fail(message: str, *, status: int) -> NoReturn:
    """Say *message*, and end the command with *status*."""
    typer.echo(f"callboard: {printable(message, TRACE)}", err=True)
    raise typer.Exit(status)
