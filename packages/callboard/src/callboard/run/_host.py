"""The one task that is in nobody's task group: it runs the tree of whoever was started.

`start` and `stop` may be called from any task, in any order. A task group that was opened in
`start` and closed by `stop` could not: both backends demand that the same task does both, and
innermost first. So the tree lives in a task of its own, to which the two only send signals.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - a task without a task group has to be asked of the backend
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from functools import partial
from math import inf
from typing import Any, Final, TypeAlias

import anyio
from anyio.lowlevel import current_token

from callboard._errors import StopTimedOut
from callboard_actors import Child, Node, Run, guarded

Undo: TypeAlias = Callable[[], Awaitable[object]]

GRACE: Final = 5.0
"""Seconds that a tree has to clean up after its deadline, when all that still runs is cancelled."""


class Claims:
    """Who wants what several tasks may start at the same time.

    Attributes:
        open: How many start it, or wait for it.
        kept: Whether it was up for one of them.
    """

    def __init__(self) -> None:
        self.open = 0
        self.kept = False

    @asynccontextmanager
    async def claim(self, end: Undo, cut: Undo) -> AsyncGenerator[None]:
        """Run the block, which starts something or waits until that is up.

        Whoever leaves it without an exception keeps what was started. If nobody has, the last to
        leave undoes it: with *end* if the block has failed, with *cut* if it was cancelled.
        """
        self.open += 1
        try:
            yield
            self.kept = True
        except BaseException as error:
            if self.open == 1 and not self.kept:
                await (end() if isinstance(error, Exception) else cut())
            raise
        finally:
            self.open -= 1


class Host:
    """Runs a tree in a task of its own.

    Attributes:
        failure: What ended the tree; None while it runs, or if it was stopped.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._changed = anyio.Event()
        self._ending = anyio.Event()
        self._ended = anyio.Event()
        self._child = Child(changed=self._changed.set)
        self._child.on_stop(self._ending.set)
        self.failure: BaseException | None = None
        self._loop = current_token().native_token
        self._task: object = None
        self._claims = Claims()

    @property
    def running(self) -> bool:
        """Whether the tree has started and has not ended."""
        return self._child.started and not self._ended.is_set()

    @property
    def stopping(self) -> bool:
        """Whether the tree was asked to stop, and still does."""
        return self._child.stop_requested and not self._ended.is_set()

    @property
    def over(self) -> bool:
        """Whether the tree has ended, for whatever reason."""
        return self._ended.is_set()

    async def start(self) -> None:
        """Start the tree; return when it is up, or over already because it was asked to stop.

        If cancelled, nothing is left of the tree.

        Raises:
            Exception: Whatever kept the tree from starting.
        """
        async with self.claim():
            pass

    @asynccontextmanager
    async def claim(self) -> AsyncGenerator[None]:
        """Start the tree, unless another task has; run the block when it is up, or over already.

        What fails in the block, or is cancelled, ends the tree if nobody else claims it.

        Raises:
            Exception: Whatever kept the tree from starting; the same for all who wait for it.
        """
        if self._task is None:
            self._task = _spawn(self._loop, self._main)
        async with self._claims.claim(partial(self.stop, inf), self._cut):
            await self._changed.wait()
            if self.failure is not None:
                raise self.failure
            yield

    def ask(self, timeout: float) -> None:
        """Ask the tree to stop within *timeout* seconds, and return; the earliest deadline holds.

        At the deadline what still runs is cancelled.
        """
        self._child.stop(anyio.current_time() + timeout)

    def ask_soon(self, timeout: float) -> None:
        """Ask it the next time that the event loop turns; from any thread, or a signal handler."""
        soon(self._loop, partial(self.ask, timeout))

    async def stop(self, timeout: float) -> None:  # noqa: ASYNC109 - the tree's deadline, not a scope's
        """Stop the tree in good order within *timeout* seconds, if it was started.

        If cancelled, it is stopped hard; nothing is left of it in any case.

        Raises:
            StopTimedOut: Something swallows its cancellation and lives on.
        """
        if self._task is None:
            return
        self.ask(timeout)
        try:
            await self._gone()
        except anyio.get_cancelled_exc_class():
            await self._cut()
            raise

    async def ending(self) -> None:
        """Wait until the tree is asked to stop, or ends by itself."""
        await self._ending.wait()

    async def _cut(self) -> None:
        self.ask(0)
        with anyio.CancelScope(shield=True):
            await self._gone()

    async def _gone(self) -> None:
        """Wait for the end of the tree, until some time after its deadline, wherever that moves."""
        if await self._ends(GRACE / 2):
            return
        # Asked now: later its supervisors have given it up, and show no more what was inside.
        survivors = self._survivors()
        if not await self._ends(GRACE):
            raise StopTimedOut(
                f"{GRACE:g} s after everything was cancelled, {survivors} still runs: it swallows"
                " its cancellation, or blocks the event loop"
            )

    async def _ends(self, grace: float) -> bool:
        with anyio.CancelScope() as patience:

            def follow() -> None:
                patience.deadline = self._child.deadline + grace

            self._child.on_stop(follow)
            await self._ended.wait()
        return self._ended.is_set()

    def _survivors(self) -> str:
        node = self._child.describe() if self._child.describe is not None else None
        return ", ".join(_alive(node)) if node is not None else "something"

    async def _main(self) -> None:
        try:
            with guarded("what runs"):
                await self._run(self._child)
        except GeneratorExit:  # the event loop is gone
            raise
        except anyio.get_cancelled_exc_class():  # trio ends, and did not wait for a stop
            raise
        except BaseException as error:  # noqa: BLE001 - it is raised again where somebody waits
            self.failure = error
        finally:
            for event in (self._ended, self._ending, self._changed):
                event.set()


def _alive(node: Node, above: str = "") -> Iterator[str]:
    """Yield the paths of the leaves of a tree that have not stopped."""
    path = f"{above}/{node.id}" if above else node.id
    for child in node.children:
        yield from _alive(child, path)
    if not node.children and node.state not in ("new", "stopped"):
        yield path


def soon(loop: object, function: Callable[[], object]) -> None:
    """Call *function* in a task of *loop*, and wake that; from any thread, or a signal handler.

    Where the loop has ended, nothing is called.
    """

    async def call() -> None:
        function()

    spawn = partial(_spawn, loop, call)
    with suppress(RuntimeError):  # it has ended
        if isinstance(loop, asyncio.AbstractEventLoop):
            loop.call_soon_threadsafe(spawn)
            return
        from trio.lowlevel import TrioToken  # noqa: PLC0415, TID251 - as below

        if isinstance(loop, TrioToken):
            loop.run_sync_soon(spawn)


def _spawn(loop: object, function: Callable[[], Coroutine[Any, Any, None]]) -> object:
    """Run *function* in a task without a parent, in a clean context; keep what this returns."""
    if isinstance(loop, asyncio.AbstractEventLoop):
        return loop.create_task(function(), context=Context())
    import trio  # noqa: PLC0415, TID251 - needed only by those who run on it

    return trio.lowlevel.spawn_system_task(function, name="callboard", context=Context())
