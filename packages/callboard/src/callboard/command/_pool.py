"""Several processes that run the same application, kept up by a supervisor.

The processes are started, and never forked: what runs in this one, threads above all, is no part of
them. This one imports nothing of the application's, so that it survives whatever that does.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from math import inf
from pathlib import Path
from typing import Final

import anyio

from callboard._errors import CallboardError
from callboard.app._last_resort import UNKILLABLE
from callboard.command._fail import fail
from callboard.command._line import Up
from callboard.command._locate import explain
from callboard.command._logs import log
from callboard.command._process import End, Process
from callboard.command._serve import Settings
from callboard.events import Event
from callboard.watch._inspect import Inspection
from callboard.watch._log import Log
from callboard.watch._observer import Sample
from callboard.watch._printable import last_words
from callboard.watch._say import say
from callboard.watch._view import POOL, View
from callboard_actors import Child, ChildSpec, Decision, GaveUp, Node, Supervisor
from callboard_actors.events import ActorCrashed, SupervisorGaveUp

CRASHES: Final = 5
PERIOD: Final = 60.0
"""Seconds in which a worker may crash so often."""
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def supervise(settings: Settings) -> int:
    """Run the application in several processes until all have ended; return the status of this one.

    Raises:
        Failed: They are given up, or one has failed to start, or to stop.
    """
    log(settings.log_level, settings.log_config, None, settings.verbose)
    return anyio.run(Pool(settings, logging.getLogger("callboard")).run)


class WorkerDied(CallboardError):
    """A worker has ended, and nobody had told it to.

    Attributes:
        status: That this process ends with, if nothing is to be done about it.
        is_hopeless: Whether nothing is.
    """

    def __init__(self, reason: str, *, status: int = 1, is_hopeless: bool = False) -> None:
        super().__init__(reason)
        self.status = status
        self.is_hopeless = is_hopeless


class Pool:
    """Keeps processes up, starts them anew one after another, and stops all by one deadline.

    A worker that ends well and by itself is done. One that somebody stops by a signal is started
    again. All others have crashed: they are started again, later each time. More than a few crashes
    of one within a minute end the pool; while others are up, what only fails to start does not.
    """

    def __init__(self, settings: Settings, logger: logging.Logger) -> None:
        self._logger = logger
        self._log = Log(logger)
        self._processes = {
            f"worker-{number}": Process(settings, number, self._greet)
            for number in range(settings.workers)
        }
        self._crashes: dict[str, list[float]] = {name: [] for name in self._processes}
        shown = [] if settings.inspect is None else [self._inspection(settings.inspect)]
        self._is_shown = bool(shown)
        self._supervisor = Supervisor(
            [*shown, *map(self._worker, self._processes)],
            intensity=inf,  # each has a limit of its own
            auto_shutdown="all_significant",
            name=POOL,
            notify=self._tell,
        )
        self._had_terminal = _has_terminal()
        self._wanted = anyio.Event()
        self._signals: list[signal.Signals] = []
        self._is_ending = False
        self._bad: tuple[str, int] | None = None

    async def run(self) -> int:
        """Be the process that supervises; return its status.

        Raises:
            Failed: See `supervise`.
        """
        with anyio.open_signal_receiver(*SIGNALS) as signals:
            async with anyio.create_task_group() as self._tasks:
                self._tasks.start_soon(self._obey, signals)
                self._tasks.start_soon(self._roll)
                try:
                    await self._supervisor.run()
                except Exception as error:  # noqa: BLE001 - one line says so
                    self._blame(error)
                self._tasks.cancel_scope.cancel()
        if len(self._signals) > 1:
            return 128 + self._signals[1]
        if self._bad is not None:
            fail(self._bad[0], status=self._bad[1])
        return 0

    def _worker(self, name: str) -> ChildSpec:
        return ChildSpec(
            name,
            partial(self._keep, name),
            restart="transient",
            significant=True,
            drain=inf,  # a process has a deadline of its own
            decide=[(_is_hopeless, Decision.ESCALATE)],
        )

    def _inspection(self, path: str | Path) -> ChildSpec:
        return ChildSpec("inspection", Inspection(Path(path), self._look).run)

    async def _keep(self, name: str, child: Child) -> None:
        """Be a worker: one process after the other, until one is done, or has crashed."""
        process = self._processes[name]
        child.details = process.details
        child.ready()
        try:
            while not self._is_ending and self._goes_on(name, await process.live()):
                pass
        except OSError as error:
            reason = f"no process can be started for {name}: {error}"
            raise WorkerDied(reason, is_hopeless=not process.ever_up) from error

    def _goes_on(self, name: str, end: End) -> bool:
        """Whether another process takes the place of one that has ended.

        Raises:
            WorkerDied: It has crashed; the supervisor decides.
        """
        if self._is_ending:
            if not end.is_well and self._bad is None:
                status = UNKILLABLE if end.status < 0 else end.status
                self._bad = (end.reason or f"{name} has not stopped well: {end}", status)
            return False
        if end.asked:
            if not end.is_well:
                say(self._logger, logging.ERROR, "%s has not stopped well: %s", name, end)
            return True
        if end.signal is not None:
            word = signal.Signals(end.signal).name
            self._logger.info("%s was stopped by a %s of its own; it starts anew", name, word)
            return True
        if end.status == 0:
            self._logger.info("%s is done", name)
            return False
        raise self._death(name, end)

    def _death(self, name: str, end: End) -> WorkerDied:
        """Return what follows from a crash."""
        if not self._processes[name].ever_up:
            reason = end.reason or f"{name} has not started: {end}"
            return WorkerDied(reason, status=max(1, end.status), is_hopeless=True)
        now = anyio.current_time()
        crashes = [at for at in self._crashes[name] if at > now - PERIOD] + [now]
        self._crashes[name] = crashes
        are_others_up = any(each.is_up for each in self._processes.values())
        if len(crashes) <= CRASHES or (are_others_up and not end.was_up):
            return WorkerDied(str(end))
        often = f"{name} crashed more than {CRASHES} times within {PERIOD:g} s"
        return WorkerDied(f"{often}; the last time, {end}", is_hopeless=True)

    def _blame(self, error: Exception) -> None:
        cause = error.__cause__ if isinstance(error, GaveUp) else error
        if isinstance(cause, WorkerDied):
            self._bad = (str(cause), cause.status)
        else:
            self._bad = (explain(error, Path()), 1)

    def _tell(self, event: Event) -> None:
        match event:
            case SupervisorGaveUp():
                self._press(1)  # at once: they are waited for one after another
            case ActorCrashed(path, error=error, decision=decision):
                if decision != Decision.ESCALATE.value:
                    line = "%s has crashed: %s"
                    say(self._logger, logging.ERROR, line, path, last_words(error))
            case _:
                self._log(event)

    def _greet(self, process: Process, up: Up) -> None:
        self._logger.info("worker-%s is up: process %s", process.worker_id, process.pid)
        if up.inspect is not None and not self._is_shown:
            self._is_shown = True
            self._tasks.start_soon(self._show, up.inspect)

    async def _show(self, path: str) -> None:
        try:
            await self._supervisor.start_child(self._inspection(path))
        except Exception as error:  # noqa: BLE001 - as an application of one process would fail
            self._blame(error)
            self._stop(1)

    async def _obey(self, signals: AsyncIterator[signal.Signals]) -> None:
        async for number in signals:
            if number == signal.SIGHUP and not (self._had_terminal and not _has_terminal()):
                self._wanted.set()
                continue
            self._signals.append(number)
            if len(self._signals) == 1:
                self._logger.info("%s: stopping", number.name)
            else:
                self._logger.warning("%s again: stopping hard", number.name)
            self._stop(len(self._signals))

    def _stop(self, urgency: int) -> None:
        self._press(urgency)
        self._supervisor.stop()

    def _press(self, urgency: int) -> None:
        self._is_ending = True
        for process in self._processes.values():
            process.press(urgency)

    async def _roll(self) -> None:
        """Start all workers anew when that is wanted, as long as the new ones come up."""
        while True:
            await self._wanted.wait()
            self._wanted = anyio.Event()
            self._logger.info("SIGHUP: starting the workers anew, one after another")
            await self._renew()

    async def _renew(self) -> None:
        for name, process in self._processes.items():
            is_up = await process.renew()
            if self._is_ending:
                return
            if not is_up:
                line = "no other worker is started anew, since %s has not come up"
                self._logger.error(line, name)
                return
        self._logger.info("all workers have been started anew")

    async def _look(self) -> View:
        """Return the trees of all workers under one root."""
        async with anyio.create_task_group() as tasks:
            for process in self._processes.values():
                tasks.start_soon(process.look)
        now, root = anyio.current_time(), self._supervisor.tree()
        samples: dict[str, Sample] = {}
        children: list[Node] = []
        for node in root.children:
            if (one := self._processes.get(node.id)) is None:
                children.append(node)
                continue
            children.append(grafted(node, one, now))
            if (view := one.view) is not None:
                for path, sample in view.samples.items():
                    own = path.removeprefix(view.tree.id)
                    samples[f"{root.id}/{node.id}{own}"] = sample
        return View(tree=replace(root, children=tuple(children)), now=now, samples=samples)


def grafted(worker: Node, process: Process, now: float) -> Node:
    """Return *worker* with what there is to see of its process, in the state of that."""
    view, state = process.view, worker.state
    if state != "running" or process.silent:
        return worker
    if view is None:
        return replace(worker, state="running" if process.is_up else "starting")
    children = tuple(_at(node, now - view.now) for node in view.tree.children)
    return replace(worker, kind="supervisor", state=view.tree.state, children=children)


def _at(node: Node, later: float) -> Node:
    """Return *node* by a clock that is *later*: event loops have clocks of their own."""
    details = dict(node.details)
    if isinstance(lost := details.get("lost_at"), float):
        details["lost_at"] = lost + later
    return replace(
        node,
        last_exit_at=None if node.last_exit_at is None else node.last_exit_at + later,
        details=details,
        children=tuple(_at(each, later) for each in node.children),
    )


def _is_hopeless(error: Exception) -> bool:
    return not isinstance(error, WorkerDied) or error.is_hopeless


def _has_terminal() -> bool:
    """Whether there is one that could hang up: a SIGHUP then is nobody's wish for new workers."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
