"""The command line: each command is a module of its own, this is all of them.

Exit statuses: 0 done, 1 the application failed, 2 the command line is wrong, 70 something had to
be left running, 128 + n a second signal n stopped it hard.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from callboard.command._dead import dead
from callboard.command._demo import demo
from callboard.command._docs import docs
from callboard.command._fail import TRACEBACK, Commands
from callboard.command._look import top, tree
from callboard.command._migrate import command as migrate
from callboard.command._publish import publish
from callboard.command._run import run
from callboard.command._settings import settings

cli = typer.Typer(
    name="callboard",
    cls=Commands,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Run stream-processing applications, and look at them.",
)
cli.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(run)
cli.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(publish)
cli.add_typer(docs, name="docs")
cli.add_typer(dead, name="dead")
cli.command("migrate")(migrate)
cli.command()(demo)
cli.command()(tree)
cli.command()(top)


def main() -> None:
    """Be the `callboard` command."""
    cli()


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"callboard {version('callboard')}, Python {sys.version.split()[0]}")
        raise typer.Exit


@cli.callback()
def _root(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", "-v", callback=_version, is_eager=True, help="Say which.")
    ] = False,
    _traceback: Annotated[
        bool, typer.Option(TRACEBACK, help="Of any command: show where an error comes from.")
    ] = False,
) -> None:
    """Run stream-processing applications, and look at them."""
    context.default_map = settings(getattr(context.command, "commands", {}))
