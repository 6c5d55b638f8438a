"""`callboard run`: an application, from its start until a signal ends it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Optional

import typer

from callboard.command._arguments import AppDir, Application, Factory, Inspect, unsaid
from callboard.command._fail import fail
from callboard.command._line import WORKER, Place
from callboard.command._pool import supervise
from callboard.command._reload import reload as reload_
from callboard.command._serve import Settings, serve
from callboard.command._worker import work

LogLevel = Annotated[
    Optional[str],  # noqa: UP045 - Typer reads it
    typer.Option(
        "--log-level",
        "-l",
        envvar="CALLBOARD_LOG_LEVEL",
        help="A name or number; INFO if nothing else is said.",
    ),
]
LogConfig = Annotated[
    Optional[Path],  # noqa: UP045 - Typer reads it
    typer.Option(
        "--log-config",
        envvar="CALLBOARD_LOG_CONFIG",
        help="A file for logging.config: JSON, YAML or TOML.",
    ),
]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        envvar="CALLBOARD_VERBOSE",
        help="Callboard's DEBUG lines; twice: the INFO lines of clients too.",
    ),
]
Backend = Annotated[
    Literal["asyncio", "trio"],
    typer.Option("--backend", envvar="CALLBOARD_BACKEND", help="What runs the event loop."),
]
Workers = Annotated[
    int,
    typer.Option(
        "--workers",
        "-w",
        min=1,
        envvar="CALLBOARD_WORKERS",
        help="How many processes; more than one are supervised.",
    ),
]
Reload = Annotated[
    bool,
    typer.Option(
        "--reload", "-r", envvar="CALLBOARD_RELOAD", help="Start anew whenever the code changes."
    ),
]
Ext = Annotated[
    Optional[list[str]],  # noqa: UP045 - Typer reads it
    typer.Option(
        "--ext",
        "--extension",
        "--reload-ext",
        "--reload-extension",
        envvar="CALLBOARD_EXT",
        help="Of files that count as code beside those of Python.",
    ),
]
AsWorker = Annotated[Optional[str], typer.Option(WORKER, hidden=True)]  # noqa: UP045 - as above
Loop = Annotated[
    Optional[str],  # noqa: UP045 - Typer reads it
    typer.Option(
        "--loop",
        metavar="uvloop|MODULE:FACTORY",
        envvar="CALLBOARD_LOOP",
        help="Another event loop of asyncio.",
    ),
]


def run(  # noqa: PLR0913, PLR0917 - the options of the command
    context: typer.Context,
    app: Application,
    app_dir: AppDir = Path(),
    factory: Factory = False,
    log_level: LogLevel = None,
    log_config: LogConfig = None,
    verbose: Verbose = 0,
    backend: Backend = "asyncio",
    loop: Loop = None,
    inspect: Inspect = None,
    workers: Workers = 1,
    reload: Reload = False,
    ext: Ext = None,
    worker: AsWorker = None,
) -> None:
    """Run an application until SIGINT or SIGTERM; a second one stops hard.

    With --workers, SIGHUP starts them anew, one after another.

    Other options are for its lifespan and on_startup, by name: --db=URL, --flag, --no-flag.
    """
    words = [*context.args]
    if app.startswith("-"):
        words.insert(0, app)
        app = unsaid(context, app)
    settings = Settings(
        app=app,
        app_dir=app_dir,
        factory=factory,
        log_level=log_level,
        log_config=log_config,
        verbose=verbose,
        backend=backend,
        loop=loop,
        inspect=inspect,
        workers=workers,
        traceback=context.obj is True,
        words=words,
        own=[name for each in context.command.params for name in each.opts if name != WORKER],
    )
    if worker is not None:
        status = work(settings, Place.read(worker))
    elif reload and workers > 1:
        fail("--reload is for one process: leave out --workers, or --reload", status=2)
    elif reload:
        status = reload_(settings, ext or [])
    elif workers > 1:
        status = supervise(settings)
    else:
        status = serve(settings)
    raise typer.Exit(status)
