"""Children for supervisors under test, and how to run them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import anyio
from anyio import wait_all_tasks_blocked as idle

from callboard_actors import Backoff, Child, ChildSpec, Node, Restart, Supervisor

STEADY: Final = Backoff(min=1, max=8, jitter="none")


class Part:
    """A child that notes its starts and stops, and crashes or returns when it is told to."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.id = name
        self.log = log
        self.crash = anyio.Event()
        self.error: BaseException | None = RuntimeError("broken")
        self.failing_starts = 0
        self.drains_for = 0.0

    async def run(self, child: Child) -> None:
        self.crash = anyio.Event()
        if self.failing_starts:
            self.failing_starts -= 1
            raise self.error or RuntimeError(f"{self.id} cannot start")
        self.log.append(f"+{self.id}")
        child.ready()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._wait_for_stop, child, tasks.cancel_scope)
            await self.crash.wait()
            tasks.cancel_scope.cancel()
        if child.stop_requested:
            self.log.append(f"-{self.id}")
        elif self.error is not None:
            raise self.error

    async def _wait_for_stop(self, child: Child, scope: anyio.CancelScope) -> None:
        await child.stopping()
        await anyio.sleep(self.drains_for)
        scope.cancel()

    def spec(self, restart: Restart = "permanent") -> ChildSpec:
        return ChildSpec(self.id, self.run, restart=restart, backoff=STEADY)


def parts(log: list[str]) -> list[Part]:
    return [Part(name, log) for name in "abc"]


@asynccontextmanager
async def running(supervisor: Supervisor) -> AsyncGenerator[None]:
    """Run *supervisor* beside the block, and stop it at the end."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(supervisor.run)
        await idle()
        yield
        supervisor.stop()


async def crash(part: Part) -> None:
    part.crash.set()
    await idle()


async def steady(child: Child) -> None:
    """Run until asked to stop."""
    child.ready()
    await child.stopping()


async def stubborn(child: Child) -> None:
    """Live on for a minute, whatever one does."""
    child.ready()
    with anyio.CancelScope(shield=True):
        await anyio.sleep(60)


def node(supervisor: Supervisor, name: str) -> Node:
    return next(node for node in supervisor.tree().children if node.id == name)
