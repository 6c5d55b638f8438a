"""How a command says that it can't do what it should: one line on stderr, and a status."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from traceback import format_exception
from typing import Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from callboard.watch._printable import TRACE, printable
from callboard.watch._say import fitted

TRACEBACK: Final = "--traceback"


class Failed(Exception):
    """A command can't do what it should; in one line, why.

    Attributes:
        status: Of the process.
        is_told: Whether somebody else says that line.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
        self.is_told = False


def fail(message: str, *, status: int) -> NoReturn:
    """Say *message*, and end the command with *status*.

    Raises:
        Failed: Always. `--traceback` shows what is handled meanwhile.
    """
    raise Failed(message, status)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the question whether that of *known* was meant which is most like *word*, or nothing."""
    found = get_close_matches(word, [*known], n=1)
    return f"; did you mean {found[0]}?" if found else ""


class Commands(TyperGroup):
    """Ends each command that fails with one line, and shows more only if `--traceback` is said."""

    def main(self, args: Sequence[str] | None = None, *others: Any, **extra: Any) -> Any:
        """Do what *args* say, and exit."""
        words = [*(sys.argv[1:] if args is None else args)]
        own = words[: words.index("--")] if "--" in words else words
        is_long = TRACEBACK in own or os.environ.get("CALLBOARD_TRACEBACK") == "1"
        if TRACEBACK in own:
            words.remove(TRACEBACK)
        try:
            # Typer's own way to tell of errors takes a frame of many lines.
            options = {"obj": is_long, **extra, "standalone_mode": False}
            sys.exit(super().main(words, *others, **options) or 0)
        except Failed as error:
            if is_long and error.__context__ is not None:
                typer.echo(fitted("".join(format_exception(error.__context__))), err=True)
            if not error.is_told:
                typer.echo(f"callboard: {printable(str(error), TRACE)}", err=True)
            sys.exit(error.status)
        except Exception as error:
            # Newer versions of Typer have a copy of click inside, so that its types have no name.
            tell = getattr(error, "format_message", None)
            if tell is None:
                raise
            if said := _lowered(tell()):
                typer.echo(f"callboard: {printable(said, TRACE)}", err=True)
            sys.exit(2)


def _lowered(said: str) -> str:
    """Return a message of click's as ours are written; nothing if it is the help, which was shown."""
    said, _, others = said.strip().partition(" (Possible options: ")
    if not said or "\n" in said:
        return ""
    said = (said[0].lower() + said[1:].rstrip(".")).replace(". Did you", "; did you")
    return f"{said}; did you mean {others.rstrip(')')}?" if others else said
