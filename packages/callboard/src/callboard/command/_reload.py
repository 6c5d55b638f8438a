"""`callboard run --reload`: another process takes over whenever the code has changed."""

from __future__ import annotations

import logging
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import anyio

from callboard.command._fail import fail
from callboard.command._line import Up
from callboard.command._logs import log
from callboard.command._process import End, Process
from callboard.command._serve import Settings, required
from callboard.watch._say import say

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def reload(settings: Settings, extensions: Sequence[str]) -> int:
    """Run the application anew whenever a file of it changes; return the status of this process.

    Args:
        settings: What to run, and how.
        extensions: Of files that count beside those of Python.

    Raises:
        Failed: There is nothing to watch with, or the application has not stopped well.
    """
    required("watchfiles", "callboard[reload]")
    if not settings.app_dir.is_dir():
        fail(f"{str(settings.app_dir)!r} is no directory to import from", status=2)
    log(settings.log_level, settings.log_config, None)
    return anyio.run(Reloader(settings, extensions, logging.getLogger("callboard")).run)


class Reloader:
    """Keeps a process up that runs what is written.

    One that stops is drained like any other. What can't run is told, and waits for a change.
    """

    def __init__(
        self, settings: Settings, extensions: Sequence[str], logger: logging.Logger
    ) -> None:
        self._folder = settings.app_dir.resolve()
        self._extensions = [f".{each.removeprefix('.')}" for each in extensions]
        self._logger = logger
        self._process = Process(settings, None, self._greet)
        self._changed = anyio.Event()
        self._over = anyio.Event()
        self._signals: list[signal.Signals] = []

    async def run(self) -> int:
        """Be the process that watches; return its status.

        Raises:
            Failed: The application has not stopped well.
        """
        end: End | None = None
        with anyio.open_signal_receiver(*SIGNALS) as signals:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._obey, signals)
                tasks.start_soon(self._watch)
                end = await self._keep()
                self._over.set()  # what watches is a thread, which hears of this alone
                tasks.cancel_scope.cancel()
        if len(self._signals) > 1:
            return 128 + self._signals[1]
        if end is not None and not end.is_well:
            fail(end.words, status=abs(end.status))
        return 0

    async def _keep(self) -> End | None:
        """Run one process after the other; return how the last has ended, if it was told to."""
        while not self._signals:
            self._changed = anyio.Event()
            end = await self._process.live()
            if self._signals or (end.is_well and not end.asked):
                return end
            if not end.is_well:
                say(self._logger, logging.ERROR, "%s", end.words)
            if not end.asked:
                self._logger.info("waiting for a change")
                await self._changed.wait()
        return None

    def _greet(self, process: Process, _: Up) -> None:
        self._logger.info("up: process %s", process.pid)

    async def _watch(self) -> None:
        import watchfiles  # noqa: PLC0415 - for those who have it

        seen = watchfiles.PythonFilter(extra_extensions=self._extensions)
        watched = watchfiles.awatch(self._folder, watch_filter=seen, stop_event=self._over)
        async for changes in watched:
            names = sorted({str(Path(path).relative_to(self._folder)) for _, path in changes})
            say(self._logger, logging.INFO, "%s changed: starting anew", ", ".join(names))
            self._changed.set()
            self._process.press()

    async def _obey(self, signals: AsyncIterator[signal.Signals]) -> None:
        async for number in signals:
            self._signals.append(number)
            self._logger.info("%s: stopping", number.name)
            self._changed.set()
            self._process.press(len(self._signals))
