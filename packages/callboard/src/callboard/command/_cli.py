"""The command line: `callboard run`, `docs gen`, `migrate`, `demo`, `tree`, `top`.

Exit statuses: 0 done, 1 the application failed, 2 the command line is wrong, 70 something had to
be left running, 128 + n a second signal n stopped it hard.
"""

from __future__ import annotations

import importlib
import logging
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Annotated, Final, NoReturn, Optional

import anyio
import typer
from rich.console import Console
from rich.live import Live

from callboard.app._app import App
from callboard.app._last_resort import abandon
from callboard.command._locate import LocateError, explain, locate
from callboard.command._migrate import MigrateError, migrate
from callboard.command._top import screen
from callboard.run._host import GRACE
from callboard.tree import render
from callboard.watch._inspect import LookError, look
from callboard.watch._printable import TRACE, printable
from callboard.watch._say import say
from callboard.watch._view import View

_WIDE: Final = 1000

cli = typer.Typer(
    name="callboard",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Run stream-processing applications, and look at them.",
)
docs = typer.Typer(no_args_is_help=True, help="AsyncAPI documents.")
cli.add_typer(docs, name="docs")

Application = Annotated[str, typer.Argument(metavar="MODULE:APP", help="As in main:app.")]
Inspect = Annotated[
    Optional[Path],  # noqa: UP045 - Typer reads it
    typer.Option("--inspect", help="A socket for callboard tree and callboard top."),
]
Socket = Annotated[Path, typer.Argument(metavar="PATH", help="As given to --inspect.")]
AppDir = Annotated[Path, typer.Option("--app-dir", help="Where to import the module from.")]
Factory = Annotated[bool, typer.Option("--factory", "-f", help="The attribute makes the app.")]
LogLevel = Annotated[str, typer.Option("--log-level", "-l", help="A name or number, as in INFO.")]


def main() -> None:
    """Be the `callboard` command."""
    cli()


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"callboard {version('callboard')}, Python {sys.version.split()[0]}")
        raise typer.Exit


@cli.callback()
def _root(
    _: Annotated[
        bool, typer.Option("--version", "-v", callback=_version, is_eager=True, help="Say which.")
    ] = False,
) -> None:
    """Run stream-processing applications, and look at them."""


@cli.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(  # noqa: PLR0913, PLR0917 - the options of the command
    context: typer.Context,
    app: Application,
    app_dir: AppDir = Path(),
    log_level: LogLevel = "INFO",
    factory: Factory = False,
    inspect: Inspect = None,
) -> None:
    """Run an application until SIGINT or SIGTERM; a second one stops hard.

    Other options are for its lifespan and on_startup, by name: --db=URL, --flag, --no-flag.
    """
    _log(log_level)
    found = _found(app, app_dir, factory=factory)
    options = _extra(context.args, found)
    if inspect is not None:
        found.inspect = inspect
    try:
        anyio.run(found.run, None, options)
    except Exception as error:  # noqa: BLE001 - one line says so, and the log the rest
        say(found.logger, logging.DEBUG, "the application failed", error=error)
        if found.hard_stop is None:
            _fail(explain(error, app_dir), status=1)
    finally:
        _leave_threads(found.logger)
    if found.hard_stop is not None:
        raise typer.Exit(128 + found.hard_stop)


@docs.command("gen")
def gen(
    app: Application,
    out: Annotated[Optional[Path], typer.Option("--out", "-o", help="Else it is printed.")] = None,  # noqa: UP045 - Typer reads it
    yaml: Annotated[bool, typer.Option("--yaml", "-y", help="YAML instead of JSON.")] = False,
    app_dir: AppDir = Path(),
    factory: Factory = False,
) -> None:
    """Write the AsyncAPI document of an application."""
    found = _found(app, app_dir, factory=factory)
    try:
        specification = found.schema.to_specification()
        text = specification.to_yaml() if yaml else specification.to_json()
    except Exception as error:  # noqa: BLE001 - whatever can't be described, one line says so
        _fail(explain(error, app_dir), status=1)
    if out is None:
        typer.echo(text)
        return
    try:
        out.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        _fail(f"the document can't be written: {error}", status=2)


@cli.command("migrate")
def migrate_(
    path: Annotated[Path, typer.Argument(help="A module, or a folder of a project.")] = Path(),
    write: Annotated[bool, typer.Option("--write/--diff", help="Change files; else show.")] = False,
) -> None:
    """Rewrite a project that was written for FastStream: the diff, and a report on stderr."""
    try:
        for kind, text in migrate(path, write=write):
            typer.echo(text, nl=kind == "report", err=kind == "report")
    except (MigrateError, OSError) as error:
        _fail(str(error), status=2)


@cli.command()
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
    _fail("the example is not here; clone the repository and run make demo", status=1)


@cli.command()
def tree(socket: Socket) -> None:
    """Print the supervision tree of a running application."""
    view = _look(socket)
    _console().print(render(view.tree))


@cli.command()
def top(socket: Socket) -> None:
    """Watch the subscriptions of a running application; Ctrl-C ends it."""
    console = _console()
    try:
        if console.is_terminal:
            _watch(socket, console)
        else:
            console.print(screen(look(socket)))
    except LookError as error:
        _fail(str(error), status=1)


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
        _fail(str(error), status=1)


def _found(path: str, directory: Path, *, factory: bool) -> App:
    try:
        return locate(path, directory, factory=factory)
    except LocateError as error:
        _fail(str(error), status=2)


def _extra(words: Sequence[str], found: App) -> dict[str, object]:
    """Return the options that are not the command's own, which the application has to take."""
    said: dict[str, list[str]] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name, equals, given = word[2:].partition("=")
            values = said.setdefault(name.replace("-", "_"), [])
            values += [given] if equals else []
        elif name:
            said[name.replace("-", "_")].append(word)
        else:
            _fail(f"{word!r} belongs to no option", status=2)
    options: dict[str, object] = {"worker_id": None}
    for key, values in said.items():
        is_no = not values and key.startswith("no_")
        value: object = (values if len(values) > 1 else values[0]) if values else not is_no
        options[key.removeprefix("no_") if is_no else key] = value
    taken = found.options
    for key in options:
        if taken is not None and key not in taken | {"worker_id"}:
            _fail(
                f"no such option: --{key.replace('_', '-')}; neither the command nor the lifespan or"
                " an on_startup hook of the application takes it",
                status=2,
            )
    return options


def _log(level: str) -> None:
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None and not level.isdecimal():
        _fail(f"there is no log level {level!r}; write DEBUG, INFO, WARNING or ERROR", status=2)
    logging.basicConfig(
        level=int(level) if number is None else number,
        format="%(asctime)s %(levelname)-8s %(message)s",
    )


def _leave_threads(logger: logging.Logger) -> None:
    """End the process in spite of threads that go on: Python would wait for them for ever.

    A sync handler that never returns is in one of them; nothing can cancel it.
    """
    until = monotonic() + GRACE
    for thread in threading.enumerate():
        if thread is threading.current_thread() or thread.daemon:
            continue
        thread.join(max(0.0, until - monotonic()))
        if thread.is_alive():
            abandon(logger, f"the thread {thread.name!r} still runs; the process ends")


def _fail(message: str, *, status: int) -> NoReturn:
    typer.echo(f"callboard: {printable(message, TRACE)}", err=True)
    raise typer.Exit(status)
