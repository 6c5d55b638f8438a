"""`callboard tree` and `callboard top`: looks at an application that runs elsewhere."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.live import Live

from callboard.command._fail import fail
from callboard.command._top import screen
from callboard.tree import render
from callboard.watch._inspect import LookError, look
from callboard.watch._view import View

_WIDE: Final = 1000

Socket = Annotated[Path, typer.Argument(metavar="PATH", help="As given to --inspect.")]


def tree(socket: Socket) -> None:
    """Print the supervision tree of a running application."""
    view = _look(socket)
    _console().print(render(view.tree))


def top(socket: Socket) -> None:
    """Watch the subscriptions of a running application; Ctrl-C ends it."""
    console = _console()
    try:
        if console.is_terminal:
            _watch(socket, console)
        else:
            console.print(screen(look(socket)))
    except LookError as error:
        fail(str(error), status=1)


def _watch(socket: Path, console: Console) -> None:
    """Show the screen every second until a signal comes.

    The signals raise nothing: in the midst of a change of the terminal, that would stay as it is.
    What goes wrong passes through, to be told on the screen that was there before.
    """
    over = threading.Event()

    def end(_number: int, _frame: object) -> None:
        over.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    with Live(screen(look(socket)), console=console, screen=True, auto_refresh=False) as live:
        while not over.wait(1):
            live.update(screen(look(socket)), refresh=True)


def _console() -> Console:
    console = Console()
    if not console.is_terminal:
        console.width = _WIDE  # whoever reads this is no screen that would cut it
    return console


def _look(socket: Path) -> View:
    try:
        return look(socket)
    except LookError as error:
        fail(str(error), status=1)
