"""One process that runs an application, from its start until it ends."""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import anyio

from callboard.app._app import App
from callboard.app._last_resort import abandon
from callboard.command._announce import announce
from callboard.command._arguments import found
from callboard.command._extra import extra
from callboard.command._fail import fail
from callboard.command._locate import explain
from callboard.command._logs import log
from callboard.run._host import GRACE
from callboard.watch._say import say


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a process that runs an application has to know, as the command line says it.

    Attributes:
        app: As in `main:app`.
        app_dir: Where to import it from.
        factory: Whether the attribute makes it.
        log_level: A name or number; None: as `log_config` says.
        log_config: A file.
        verbose: How much more is logged, from 0 to 2.
        backend: `asyncio` or `trio`.
        loop: `uvloop`, or as in `module:factory`; None: that of the backend.
        inspect: Where it shows itself; None: as the application says.
        workers: How many processes run it.
        traceback: Whether more is shown of an error than a line.
        words: The options that are not the command's own.
        own: Those that are.
    """

    app: str
    app_dir: Path = Path()
    factory: bool = False
    log_level: str | None = None
    log_config: Path | None = None
    verbose: int = 0
    backend: str = "asyncio"
    loop: str | None = None
    inspect: Path | None = None
    workers: int = 1
    traceback: bool = False
    words: list[str] = field(default_factory=list[str])
    own: list[str] = field(default_factory=list[str])


def serve(
    settings: Settings,
    worker_id: int | None = None,
    loaded: Callable[[App], None] = lambda _: None,
) -> int:
    """Run the application until it ends; return the status of the process.

    Args:
        settings: What to run, and how.
        worker_id: For hooks and handlers; None: there are no workers.
        loaded: Called when the application is there, before anything of it starts.
    """
    log(settings.log_level, settings.log_config, worker_id, settings.verbose)
    app = found(settings.app, settings.app_dir, factory=settings.factory)
    options = {**extra(settings.words, app, settings.own), "worker_id": worker_id}
    backend_options = _loop(settings)
    app.context.set_global("worker_id", worker_id)
    if settings.inspect is not None:
        app.inspect = settings.inspect
    announce(app, alone=worker_id is None)
    loaded(app)
    try:
        anyio.run(app.run, None, options, backend=settings.backend, backend_options=backend_options)
    except Exception as error:  # noqa: BLE001 - one line says so, and the log the rest
        say(app.logger, logging.DEBUG, "the application failed", error=error)
        if app.hard_stop is None:
            fail(explain(error, settings.app_dir), status=1)
    finally:
        _leave_threads(app.logger)
    return 0 if app.hard_stop is None else 128 + app.hard_stop


def _loop(settings: Settings) -> dict[str, Any]:
    """Return the options of the backend."""
    backend, loop = settings.backend, settings.loop
    if backend == "trio":
        if loop is not None:
            fail(f"--loop {loop} is for --backend asyncio; trio has a loop of its own", status=2)
        required("trio", "trio")
        return {}
    if loop is None:
        return {}
    if loop == "uvloop":
        required("uvloop", "callboard[uvloop]")
        return {"use_uvloop": True}
    name, _, attribute = loop.partition(":")
    try:
        return {"loop_factory": getattr(importlib.import_module(name), attribute)}
    except (ImportError, AttributeError, ValueError) as error:
        fail(
            f"--loop {loop} names no event loop: write uvloop, or module:factory"
            f" ({explain(error, settings.app_dir)})",
            status=2,
        )


def required(module: str, package: str) -> None:
    """End the command if *module* is not here, which comes with *package*."""
    try:
        importlib.import_module(module)
    except ImportError:
        fail(f'{module} is not installed: pip install "{package}"', status=2)


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
