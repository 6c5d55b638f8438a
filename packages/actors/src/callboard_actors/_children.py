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
from callboard_actors._decisions import Decision
from callboard_actors._errors import StartTimeout, SupervisorStopped, Unkillable
from callboard_actors._events import Event, Notify
from callboard_actors._exits import ExitReason

__all__ = ["Children"]


class Children:
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
        child = Child(cell.path, partial(self._look_at, cell), cancel_grace=spec.cancel_grace)
        life = cell.life = Life(child, now)
        self.report("actor.starting", cell.path)
        live = partial(life.live, spec, partial(self._ended, cell, life))
        # Not in the context of whoever caused the start, a message perhaps. A copy, since a
        # context cannot be entered twice.
        self._context.copy().run(partial(tasks.start_soon, live, name=cell.path))
        await self.wait(
            lambda: child.started or life.is_over or self.stop_at is not None,
            lambda: now + spec.start_timeout,
        )
        return await self._started(cell, life)

    async def terminate(self, cells: Sequence[Cell]) -> None:
        """Stop *cells*, all at the same time: ask, let them drain, cancel."""
        drained = anyio.current_time() + max((cell.spec.drain for cell in cells), default=0.0)
        lives: list[Life] = []
        for cell in cells:
            if cell.life is None:
                cell.state = "stopped" if cell.survivor is None else cell.state
                continue
            if cell.state != "stopping":
                cell.state = "stopping"
                self.report("actor.stopping", cell.path)
            cell.life.child.stop(self._no_later_than(drained))
            lives.append(cell.life)
        await self.wait(_ended(lives), lambda: self._no_later_than(drained))
        await self.kill(cells)

    async def kill(self, cells: Sequence[Cell]) -> None:
        """Cancel *cells*, see them end, and record how."""
        lives = [(cell, cell.life) for cell in cells if cell.life is not None]
        for _, life in lives:
            life.scope.cancel()
        until = anyio.current_time() + max((_grace(*each) for each in lives), default=0.0)
        await self.wait(_ended([life for _, life in lives]), lambda: until)
        for cell, life in lives:
            if not life.has_begun:
                life.exit = life.exit or Exit(ExitReason("foreign_cancel"))
            if life.exit is None:
                self.set_aside(cell, life)
            else:
                self.record(cell, life, life.exit)

    def patience(self) -> float:
        """Return how long this supervisor takes if it is cancelled.

        It is a little more than its children may take: of what lives on, they are the first to
        hear, and they alone are blamed.
        """
        lives = [(cell, cell.life) for cell in self.cells.values() if cell.life is not None]
        return 1.1 * max((_grace(*each) for each in lives), default=0.0)

    async def terminate_all(self, *, at_once: bool) -> None:
        """Stop all cells in reverse order, or *at_once*; if cancelled, at once."""
        cells = list(reversed(self.cells.values()))
        try:
            for step in [cells] if at_once else [[cell] for cell in cells]:
                await self.terminate(step)
        except anyio.get_cancelled_exc_class():
            # The children are being cancelled with us; see them out.
            with anyio.CancelScope(shield=True):
                await self.kill(cells)
            raise
        finally:
            self.exits.clear()

    def record(self, cell: Cell, life: Life, end: Exit, verdict: Decision | None = None) -> None:
        """Note in *cell* how its *life* ended, unless that is noted already."""
        if cell.life is not life:
            return
        now = anyio.current_time()
        if life.child.started and now - life.began >= cell.spec.backoff.reset_after:
            cell.streak = 0
        cell.life = None
        cell.state = "stopped"
        self._note(cell, end, verdict)

    def set_aside(self, cell: Cell, life: Life) -> None:
        """Note in *cell* that its *life* goes on. Who only waits for what is below is not blamed."""
        if cell.life is not life:
            return
        cell.life, cell.survivor = None, life
        if not life.child.survivor:
            cell.state = "unkillable"
            self._note(cell, Exit(ExitReason("unkillable")))
            return
        cell.state = "stopping"
        if life.end is not None:
            self._heed(life.end)
        life.child.failure = None  # it would keep its frames alive

    def survivor(self) -> str:
        """Return the path of one that lives on; empty if there is none."""
        lives = ((cell, cell.survivor) for cell in self.cells.values())
        return next((life.child.survivor or cell.path for cell, life in lives if life), "")

    def forget(self, cell: Cell) -> None:
        """Free the id of *cell*; if it lives on, when it has ended."""
        if cell.survivor is not None:
            cell.is_leaving = True
        elif self.cells.get(cell.spec.id) is cell:
            del self.cells[cell.spec.id]

    def require_end(self, cell: Cell, cause: BaseException | None = None) -> None:
        """Refuse to go on as if *cell* had ended.

        Raises:
            Unkillable: It lives on.
        """
        if cell.survivor is not None:
            who = cell.survivor.child.survivor or cell.path
            message = f"{who} lives on after it was cancelled; nothing can replace {cell.path}"
            raise Unkillable(message) from cause

    async def wait(self, done: Callable[[], bool], until: Callable[[], float]) -> None:
        """Wait until *done* or the time *until*; both are asked again whenever something changes."""
        while not done() and anyio.current_time() < until():
            if self._changed.is_set():
                self._changed = anyio.Event()
            with anyio.CancelScope(deadline=until()):
                await self._changed.wait()

    def wake(self) -> None:
        """Have those who wait look again."""
        self._changed.set()

    def report(self, name: str, path: str, **attributes: object) -> None:
        """Tell whoever wants to know."""
        if self._notify is not None:
            self._notify(Event(name, path, attributes))

    async def _started(self, cell: Cell, life: Life) -> BaseException | None:
        child = life.child
        if not child.started:
            if life.end is not None and life.end.reason.abnormal:
                return self._failed(cell, life, life.end)
            # By another task than this one, which was to wait until it is ready.
            if child.stop_requested or self.stop_at is not None:
                return self._too_late(cell)
            if life.exit is None:
                await self.kill([cell])
                return StartTimeout(f"{cell.path} was not ready after {cell.spec.start_timeout} s")
        elif child.stop_requested or cell.life is not life:
            return None
        cell.state = "running"
        life.began = anyio.current_time()
        self.report("actor.started", cell.path)
        if life.exit is not None:
            self._ended(cell, life)
        return None

    def _failed(self, cell: Cell, life: Life, end: Exit) -> BaseException:
        if life.exit is None:
            self.set_aside(cell, life)
        else:
            self.record(cell, life, end)
        stopped = self.fatal is not None or end.error is None
        return self._too_late(cell) if stopped or end.error is None else end.error

    def _too_late(self, cell: Cell) -> SupervisorStopped:
        if self.stop_at is None:
            return SupervisorStopped(f"{cell.path} is stopping; it was not started")
        return SupervisorStopped(f"{self.path} is stopping; {cell.path} was not started")

    def _no_later_than(self, time: float) -> float:
        return time if self.stop_at is None else min(time, self.stop_at)

    def _ended(self, cell: Cell, life: Life) -> None:
        if cell.survivor is life and life.exit is not None:
            cell.survivor, cell.state = None, "stopped"
            self._note(cell, life.exit)
            if cell.is_leaving:
                self.forget(cell)
        self.exits.append((cell, life))
        self.wake()

    def _look_at(self, cell: Cell) -> None:
        """Hear that the life of *cell* is ready, or held up."""
        if cell.life is not None and cell.life.child.survivor:
            self.exits.append((cell, cell.life))
        self.wake()

    def _note(self, cell: Cell, end: Exit, verdict: Decision | None = None) -> None:
        cell.last = end.reason
        cell.last_at = anyio.current_time()
        self.report(end.event, cell.path, **end.particulars(verdict))
        self._heed(end)

    def _heed(self, end: Exit) -> None:
        if end.is_fatal:
            self.fatal = end.error
            self.stop()


def _grace(cell: Cell, life: Life) -> float:
    patience = life.child.patience
    return max(cell.spec.cancel_grace, patience() if patience is not None else 0.0)


def _ended(lives: Sequence[Life]) -> Callable[[], bool]:
    """Return what tells whether all *lives* have ended; it looks at each about once."""
    waiting = list(lives)

    def ended() -> bool:
        while waiting and waiting[-1].is_over:
            waiting.pop()
        return not waiting

    return ended
