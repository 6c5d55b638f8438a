"""`callboard run`: an application, from its start until a signal ends it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Annotated

import anyio
import typer

from callboard.app._app import App
from callboard.app._last_resort import abandon
from callboard.command._arguments import AppDir, Application, Factory, Inspect, found
from callboard.command._fail import fail
from callboard.command._locate import explain
from callboard.run._host import GRACE
from callboard.watch._say import say

LogLevel = Annotated[str, typer.Option("--log-level", "-l", help="A name or number, as in INFO.")]


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
    application = found(app, app_dir, factory=factory)
    options = _extra(context.args, application)
    if inspect is not None:
        application.inspect = inspect
    try:
        anyio.run(application.run, None, options)
    except Exception as error:  # noqa: BLE001 - one line says so, and the log the rest
        say(application.logger, logging.DEBUG, "the application failed", error=error)
        if application.hard_stop is None:
            fail(explain(error, app_dir), status=1)
    finally:
        _leave_threads(application.logger)
    if application.hard_stop is not None:
        raise typer.Exit(128 + application.hard_stop)


def _extra(words: Sequence[str], app: App) -> dict[str, object]:
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
            fail(f"{word!r} belongs to no option", status=2)
    options: dict[str, object] = {"worker_id": None}
    for key, values in said.items():
        is_no = not values and key.startswith("no_")
        value: object = (values if len(values) > 1 else values[0]) if values else not is_no
        options[key.removeprefix("no_") if is_no else key] = value
    taken = app.options
    for key in options:
        if taken is not None and key not in taken | {"worker_id"}:
            fail(
                f"no such option: --{key.replace('_', '-')}; neither the command nor the lifespan or"
                " an on_startup hook of the application takes it",
                status=2,
            )
    return options


def _log(level: str) -> None:
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None and not level.isdecimal():
        fail(f"there is no log level {level!r}; write DEBUG, INFO, WARNING or ERROR", status=2)
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
