"""Starts and stops the children of one supervisor; decides nothing."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextvars import copy_context
from functools import partial

import anyio
from anyio.abc import TaskGroup

from callboard_actors._cell import Cell, Exit, Life
from callboard_actors._child import Child, ChildSpec
from callboard_actors._errors import StartTimeout, SupervisorStopped
from callboard_actors._events import Event, Notify
from callboard_actors._exits import ExitReason

__all__ = ["Keeper"]


class Keeper:
    """The children of one run of a supervisor, and the ways to start, stop and await them.

    Attributes:
        cells: By id, in the order in which they are started.
        exits: Lives that have ended and that the supervisor has not judged yet.
        stop_at: The deadline of the stop that was asked for; None if none was.
        fatal: What ends the process, if a child raised it.
    """

    def __init__(self, path: str, specs: Iterable[ChildSpec], notify: Notify | None) -> None:
        self.path = path
        self.cells = {spec.id: self.cell(spec) for spec in specs}
        self.exits: deque[tuple[Cell, Life]] = deque()
        self.stop_at: float | None = None
        self.fatal: BaseException | None = None
        self._notify = notify
        self._changed = anyio.Event()
        self._context = copy_context()

    def cell(self, spec: ChildSpec) -> Cell:
        """Return an empty place for *spec*."""
        return Cell(spec, f"{self.path}/{spec.id}")

    def stop(self, deadline: float = math.inf) -> None:
        """Note that a stop is asked for; those who are stopping already get the new deadline."""
        if self.stop_at is not None and deadline >= self.stop_at:
            return
        self.stop_at = deadline
        for cell in self.cells.values():
            if cell.life is not None and cell.life.child.stop_requested:
                cell.life.child.stop(deadline)
        self._changed.set()

    async def start(self, tasks: TaskGroup, cell: Cell) -> BaseException | None:
        """Start *cell* and wait until it is ready; return what went wrong, also if stopped."""
        if self.stop_at is not None:
            return self._too_late(cell)
        spec, now = cell.spec, anyio.current_time()
        cell.restarts += cell.last is not None
        cell.state = "starting"
        child = Child(cell.path, self._wake, cancel_grace=spec.cancel_grace)
        life = cell.life = Life(child, now)
        self.report("actor.starting", cell.path)
        live = partial(life.live, spec, partial(self._ended, cell, life))
        # Not in the context of whoever caused the start, a message perhaps. A copy, since a
        # context cannot be entered twice.
        self._context.copy().run(partial(tasks.start_soon, live, name=cell.path))
        await self.wait(
            lambda: child.started or life.exit is not None or self.stop_at is not None,
            lambda: now + spec.start_timeout,
        )
        return await self._started(cell, life)

    async def terminate(self, cell: Cell) -> None:
        """Stop *cell*: ask, let it drain, cancel."""
        life = cell.life
        if life is None:
            cell.state = "stopped"
            return
        cell.state = "stopping"
        self.report("actor.stopping", cell.path)
        drained = anyio.current_time() + cell.spec.drain
        life.child.stop(drained if self.stop_at is None else min(drained, self.stop_at))
        await self.wait(lambda: life.exit is not None, lambda: life.child.deadline)
        await self._reap([cell])

    async def terminate_all(self) -> None:
        """Stop all cells in reverse order; if cancelled, all at once."""
        cells = list(self.cells.values())
        try:
            for cell in reversed(cells):
                await self.terminate(cell)
        except anyio.get_cancelled_exc_class():
            # The children are being cancelled with us; see them out.
            with anyio.CancelScope(shield=True):
                await self._reap(cells)
            raise
        finally:
            self.exits.clear()

    def record(self, cell: Cell, end: Exit) -> None:
        """Note in *cell* how its life ended."""
        cell.life = None
        cell.state = "unkillable" if end.reason.kind == "unkillable" else "stopped"
        cell.last = end.reason
        cell.last_at = anyio.current_time()
        self.report(end.event, cell.path, reason=end.reason.kind, error=end.reason.text)
        if end.is_fatal:
            self.fatal = end.error
            self.stop()

    async def wait(self, done: Callable[[], bool], until: Callable[[], float]) -> None:
        """Wait until *done* or the time *until*; both are asked again whenever something changes."""
        while not done() and anyio.current_time() < until():
            if self._changed.is_set():
                self._changed = anyio.Event()
            with anyio.CancelScope(deadline=until()):
                await self._changed.wait()

    def report(self, name: str, path: str, **attributes: object) -> None:
        """Tell whoever wants to know."""
        if self._notify is not None:
            self._notify(Event(name, path, attributes))

    async def _started(self, cell: Cell, life: Life) -> BaseException | None:
        if life.exit is None and not life.child.started:
            if self.stop_at is not None:
                return self._too_late(cell)
            await self._reap([cell])
            return StartTimeout(f"{cell.path} was not ready after {cell.spec.start_timeout} s")
        if life.exit is not None and not life.child.started and life.exit.reason.abnormal:
            self.record(cell, life.exit)
            return life.exit.error if self.fatal is None else self._too_late(cell)
        cell.state = "running"
        life.began = anyio.current_time()
        self.report("actor.started", cell.path)
        if life.exit is not None:
            self._ended(cell, life)
        return None

    async def _reap(self, cells: Sequence[Cell]) -> None:
        """Cancel *cells*, see them end, and record how."""
        lives = [(cell, cell.life) for cell in cells if cell.life is not None]
        for _, life in lives:
            life.scope.cancel()
        grace = max((cell.spec.cancel_grace for cell, _ in lives), default=0.0)
        until = anyio.current_time() + grace
        await self.wait(lambda: all(life.exit for _, life in lives), lambda: until)
        for cell, life in lives:
            self.record(cell, life.exit or Exit(ExitReason("unkillable")))

    def _too_late(self, cell: Cell) -> SupervisorStopped:
        return SupervisorStopped(f"{self.path} is stopping; {cell.path} was not started")

    def _ended(self, cell: Cell, life: Life) -> None:
        self.exits.append((cell, life))
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
