"""Keeps children alive, in the manner of OTP, on structured concurrency.

A task group alone is a supervisor that never restarts: whatever escapes from one task cancels all
the others. Here nothing escapes. Each child runs in a wrapper (`_cell.py`) that turns every ending
into an `Exit` for the supervisor's own task, and that task alone decides.

Three things look harmless and are not:

* A cancellation that comes from no cancel scope (a client library cancelled a future that the
  child awaits, or somebody its task) makes an anyio task group cancel all siblings and the host,
  and end *without an exception*. The wrapper makes it an exit like any other.
* A task inherits the context variables of whoever starts it. All children are started in the
  context in which the supervisor was, never in that of a message that happened to crash one.
* There is no way to kill a task that swallows its cancellation. It is reported as unkillable, and
  `run` cannot return before it ends; whoever must leave in time has to end the process.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import anyio

from callboard_actors._cell import Cell, Life
from callboard_actors._child import Child, ChildSpec
from callboard_actors._errors import GaveUp, SpecError, SupervisorStopped, Unkillable
from callboard_actors._events import Notify
from callboard_actors._keeper import Keeper
from callboard_actors._restarts import Intensity, restarts
from callboard_actors._tree import Node, State

__all__ = ["Strategy", "Supervisor"]

Strategy: TypeAlias = Literal["one_for_one", "rest_for_one", "one_for_all"]


class Supervisor:
    """Starts children in order, restarts those that crash, stops them in reverse order.

    `run` is both the way to run a tree and the `ChildSpec.run` of a supervisor inside another
    one. One object runs once at a time and may run again.

    Args:
        children: In the order in which they are started.
        strategy: Which children are restarted with one that crashed: none (`one_for_one`), those
            after it (`rest_for_one`), or all (`one_for_all`). A group counts as one restart.
        intensity: How many restarts there may be within the period before it gives up.
        period: In seconds.
        name: Its id, if it is the root.
        notify: Told of every start, exit and restart.

    Raises:
        SpecError: Two children have the same id, or the intensity makes no sense.
    """

    def __init__(  # noqa: PLR0913 - all but the first are options by name
        self,
        children: Iterable[ChildSpec],
        strategy: Strategy = "one_for_one",
        *,
        intensity: int = 5,
        period: float = 30.0,
        name: str = "supervisor",
        notify: Notify | None = None,
    ) -> None:
        self._specs = tuple(children)
        ids = [spec.id for spec in self._specs]
        if len(set(ids)) < len(ids):
            message = f"supervisor {name!r} has two children of one id: {', '.join(ids)}"
            raise SpecError(message)
        if intensity < 0 or period <= 0:
            message = f"supervisor {name!r} has {intensity=} and {period=}; give >= 0 and > 0"
            raise SpecError(message)
        self._strategy: Strategy = strategy
        self._limit = (intensity, period)
        self._name = name
        self._notify = notify
        self._state: State = "new"
        self._keeper = Keeper(name, self._specs, notify)
        self._recent = Intensity(*self._limit)
        self._due: dict[Cell, float] = {}

    async def run(self, child: Child | None = None) -> None:
        """Start the children and keep them up until `stop` is called.

        If cancelled, it cancels its children, all at once. Whatever ends it, no child is left
        when it returns or raises.

        Args:
            child: Its own place in the supervisor above it, which hears when all are up.

        Raises:
            GaveUp: There were too many restarts.
            Unkillable: A child that had to be replaced lived on.
            BaseException: What a child raised at the first start. `SystemExit` and
                `KeyboardInterrupt` of a child come out as themselves, after an orderly stop.
        """
        self._begin(child.path if child is not None and child.path else self._name)
        if child is not None:
            child.describe = self.tree
            child.on_stop(lambda: self.stop(child.deadline))
        failure: BaseException | None = None
        # Nothing may be raised inside the task group: it would come out wrapped in a group, or,
        # if it is a native cancellation, not at all.
        async with anyio.create_task_group() as self._tasks:
            try:
                await self._supervise(child)
            except BaseException as error:  # noqa: BLE001 - raised again when all children are gone
                failure = error
            try:
                self._state = "stopping"
                await self._keeper.terminate_all()
            except BaseException as error:  # noqa: BLE001 - as above
                failure = failure or error
        self._state = "stopped"
        failure, self._keeper.fatal = self._keeper.fatal or failure, None
        if failure is not None:
            raise failure

    def stop(self, deadline: float | None = None) -> None:
        """Ask `run` to stop the children in reverse order, and return.

        Each is asked to stop, has its `drain` seconds to do so, is cancelled, and has
        its `cancel_grace` seconds to clean up. May be called again with an earlier deadline,
        and before the first `run`.

        Args:
            deadline: When the last child is to be cancelled, as `anyio.current_time()` tells it.
        """
        if self._state != "stopped":
            self._keeper.stop(math.inf if deadline is None else deadline)

    async def start_child(self, spec: ChildSpec) -> None:
        """Add a child while `run` is running, after the others; return when it is ready.

        It may be called from any task. The child is forgotten when it has ended for good, and
        its id is free again.

        Raises:
            SpecError: There is a child of this id.
            SupervisorStopped: `run` is not running, or is about to stop.
            Exception: What the child raised instead of getting ready; it is then forgotten.
        """
        keeper = self._keeper
        if self._state != "running" or keeper.stop_at is not None:
            message = f"supervisor {keeper.path!r} does not run; it cannot start {spec.id!r}"
            raise SupervisorStopped(message)
        if spec.id in keeper.cells:
            message = f"supervisor {keeper.path!r} has a child {spec.id!r}; choose another id"
            raise SpecError(message)
        cell = keeper.cells[spec.id] = keeper.cell(spec)
        cell.is_extra = True
        try:
            failed = await keeper.start(self._tasks, cell)
        except BaseException:
            # Not its failure but our own: we were cancelled.
            if cell.life is not None:
                cell.life.scope.cancel()
            del keeper.cells[spec.id]
            raise
        if failed is not None:
            if cell.life is None:
                del keeper.cells[spec.id]
            raise failed

    def tree(self) -> Node:
        """Return the supervisor and all below it as plain data. Call it in the event loop."""
        now = anyio.current_time()
        children = tuple(cell.node(now) for cell in self._keeper.cells.values())
        return Node(self._name, "supervisor", self._state, children=children)

    def _begin(self, path: str) -> None:
        asked = self._keeper.stop_at if self._state == "new" else None
        self._keeper = Keeper(path, self._specs, self._notify)
        self._recent = Intensity(*self._limit)
        self._due.clear()
        self._state = "starting"
        if asked is not None:
            self._keeper.stop(asked)

    async def _supervise(self, child: Child | None) -> None:
        keeper = self._keeper
        for cell in list(keeper.cells.values()):
            failed = await keeper.start(self._tasks, cell)
            if keeper.stop_at is not None:
                return
            if failed is not None:
                raise failed
        self._state = "running"
        keeper.report("supervisor.started", keeper.path)
        if child is not None:
            child.ready()
        while keeper.stop_at is None:
            await keeper.wait(lambda: self._has_work, self._next_due)
            while keeper.exits:
                self._judge(*keeper.exits.popleft())
            await self._restart_next()

    @property
    def _has_work(self) -> bool:
        return bool(self._keeper.exits) or self._keeper.stop_at is not None

    def _next_due(self) -> float:
        return min(self._due.values(), default=math.inf)

    def _judge(self, cell: Cell, life: Life) -> None:
        """Decide what follows from the end of *life*."""
        # A stale exit says nothing; a failed start is for whoever waits for it.
        if cell.life is not life or cell.state == "starting" or life.exit is None:
            return
        uptime = anyio.current_time() - life.began
        self._keeper.record(cell, life.exit)
        if life.exit.is_fatal:
            return
        if restarts(cell.spec.restart, life.exit.reason):
            self._schedule(cell, uptime, life.exit.error)
        elif cell.is_extra:
            del self._keeper.cells[cell.spec.id]

    def _schedule(self, cell: Cell, uptime: float, cause: BaseException | None) -> None:
        """Plan a restart of *cell*, unless there were too many."""
        keeper, now = self._keeper, anyio.current_time()
        if not self._recent.allows(now):
            intensity, period = self._limit
            keeper.report("supervisor.gave_up", keeper.path, child=cell.spec.id)
            message = (
                f"supervisor {keeper.path!r} gave up on {cell.spec.id!r}: "
                f"more than {intensity} restarts within {period} s"
            )
            raise GaveUp(message) from cause
        backoff = cell.spec.backoff
        cell.streak = 0 if uptime >= backoff.reset_after else cell.streak
        delay = backoff.delay(cell.streak, random.random)
        cell.streak += 1
        cell.state = "restarting"
        self._due[cell] = now + delay
        keeper.report("actor.restarting", cell.path, attempt=cell.streak, delay=delay)

    async def _restart_next(self) -> None:
        """Restart the child that is due, with its group."""
        if self._keeper.stop_at is not None or self._next_due() > anyio.current_time():
            return
        group = self._group(min(self._due, key=self._due.__getitem__))
        for member in reversed(group):
            self._due.pop(member, None)
            await self._keeper.terminate(member)
            if member.state == "unkillable":
                message = f"{member.path} lives on after it was cancelled; nothing can replace it"
                raise Unkillable(message)
        await self._start_group(group)

    async def _start_group(self, group: Sequence[Cell]) -> None:
        for member in group:
            if member.spec.restart == "temporary":
                continue
            failed = await self._keeper.start(self._tasks, member)
            if self._keeper.stop_at is not None:
                return
            if failed is not None:
                self._schedule(member, 0.0, failed)
                return

    def _group(self, cell: Cell) -> list[Cell]:
        if self._strategy == "one_for_one":
            return [cell]
        cells = list(self._keeper.cells.values())
        return cells if self._strategy == "one_for_all" else cells[cells.index(cell) :]
