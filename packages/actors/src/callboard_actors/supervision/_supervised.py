"""A supervisor beside a block of code."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import copy_context
from functools import partial

import anyio
from anyio.abc import TaskGroup

from callboard_actors._errors import SupervisorStopped
from callboard_actors.supervision._child import Child, Run
from callboard_actors.supervision._exits import as_exit, cancelled_from_outside


@asynccontextmanager
async def supervised(
    path: str, run: Run, above: Child | None = None
) -> AsyncGenerator[SupervisedBlock]:
    """Run a supervisor beside the block: not before it is started, and not longer than the block.

    When the supervisor fails, the block is cancelled, and the failure raised out of it.

    Args:
        path: Of the supervisor.
        run: The supervisor.
        above: The child that the block is, which hears what lives on below it; None if it is none.
    """
    tasks = anyio.create_task_group()
    block = SupervisedBlock(path, run, above, tasks)
    # Nothing is raised inside the task group, as in `Supervisor.run`.
    async with tasks:
        try:
            yield block
        except BaseException as error:  # noqa: BLE001 - raised again when the supervisor has ended
            block.failure = block.failure or error
        await block.close()
        tasks.cancel_scope.cancel()
    if block.failure is not None:
        raise block.failure


class SupervisedBlock:
    """A block of code, and the supervisor beside it. Made by `supervised`.

    Attributes:
        tasks: What runs in this task group is cancelled at the end of the block.
        failure: What is raised at the end of the block.
    """

    def __init__(self, path: str, run: Run, above: Child | None, tasks: TaskGroup) -> None:
        self.tasks = tasks
        self.failure: BaseException | None = None
        self._run = run
        self._above = above
        self._root = Child(path, self._look)
        self._ready = anyio.Event()
        self._ended = anyio.Event()
        self._started = False
        self._is_over = False
        self._context = copy_context()

    async def start(self) -> None:
        """Start the supervisor, if nobody has; return when it is ready.

        Raises:
            SupervisorStopped: The block is ending.
        """
        if self._root.stop_requested:
            raise SupervisorStopped(f"{self._root.path} is about to end")
        if not self._started:
            self._started = True
            # Not in the context of whoever needs it first, who may be at work on a message.
            self._context.copy().run(
                partial(self.tasks.start_soon, self._live, name=self._root.path)
            )
        await self._ready.wait()
        if self._above is not None:
            self._above.patience = self._root.patience

    async def end(self, deadline: float = math.inf) -> None:
        """Stop the supervisor; return when it has ended, or waits only for what lives on."""
        self._root.stop(deadline)
        if self._started:
            await self._ended.wait()

    async def close(self) -> None:
        """End the supervisor, now that the block is through."""
        self._is_over = True
        self._pass_on()
        await self.end()

    async def _live(self) -> None:
        try:
            await self._run(self._root)
        except anyio.get_cancelled_exc_class() as error:
            if cancelled_from_outside():  # with the block
                raise
            self._fail(as_exit(error, self._root.path))
        except BaseException as error:  # noqa: BLE001 - raised out of the block, not into its task group
            self._fail(error)
        finally:
            self._ready.set()
            self._ended.set()

    def _look(self) -> None:
        """Hear that the supervisor is ready, or held up."""
        self._ready.set()
        if self._root.survivor:
            self._ended.set()
            if self._root.failure is not None and not self._root.stop_requested:
                self._fail(self._root.failure)
            self._pass_on()

    def _fail(self, error: BaseException) -> None:
        self.failure = error
        self.tasks.cancel_scope.cancel()

    def _pass_on(self) -> None:
        """Tell the one above that all is over but for what lives on, if that is so."""
        if self._is_over and self._root.survivor and self._above is not None:
            self._above.hold_up(self._root.survivor, self.failure)
