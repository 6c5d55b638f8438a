"""What several commands are told: which application, and where it shows itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Optional

import typer

from callboard.app._app import App
from callboard.command._fail import fail, nearest
from callboard.command._locate import LocateError, locate

Application = Annotated[
    str, typer.Argument(metavar="MODULE:APP", envvar="CALLBOARD_APP", help="As in main:app.")
]
Inspect = Annotated[
    Optional[Path],  # noqa: UP045 - Typer reads it
    typer.Option(
        "--inspect",
        envvar="CALLBOARD_INSPECT",
        help="A socket for callboard tree and callboard top.",
    ),
]
AppDir = Annotated[
    Path,
    typer.Option("--app-dir", envvar="CALLBOARD_APP_DIR", help="Where to import the module from."),
]
Factory = Annotated[
    bool,
    typer.Option(
        "--factory", "-f", envvar="CALLBOARD_FACTORY", help="The attribute makes the app."
    ),
]


def unsaid(context: typer.Context, word: str) -> str:
    """Return the application that is named elsewhere, since *word* stands in its place."""
    named = os.environ.get("CALLBOARD_APP") or context.lookup_default("app")
    if not isinstance(named, str):
        known = [name for each in context.command.params for name in each.opts]
        hint = nearest(word.partition("=")[0], known) if word.startswith("--") else ""
        fail(f"write MODULE:APP before {word!r}{hint}", status=2)
    return named


def found(path: str, directory: Path, *, factory: bool) -> App:
    """Return the application that *path* names in *directory*, or end the command."""
    try:
        return locate(path, directory, factory=factory)
    except LocateError as error:
        fail(str(error), status=2)
