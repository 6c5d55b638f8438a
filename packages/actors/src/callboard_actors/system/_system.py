"""Actors that stand on their own: spawn them, tell them, ask them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

from callboard_actors._errors import SpecError, SupervisorStopped, UnknownActor
from callboard_actors.events import Notify, ignore
from callboard_actors.supervision._child import ChildSpec
from callboard_actors.supervision._policy import Strategy
from callboard_actors.supervision._restarts import Supervision
from callboard_actors.supervision._supervised import supervised
from callboard_actors.supervision._tree import Node
from callboard_actors.system._cell import ActorCell
from callboard_actors.system._context import Factory
from callboard_actors.system._factory import made_by
from callboard_actors.system._pool import Pool, Route, round_robin
from callboard_actors.system._ref import ActorRef
from callboard_actors.system._registry import DeadLetters, Registry
from callboard_actors.system._team import Team

M = TypeVar("M")


class ActorSystem:
    """Runs actors under one supervisor, as long as its `async with` block.

    At the end of the block the actors handle what is in their mailboxes, in the reverse order of
    their start, within the time that `ChildSpec.drain` grants.

    Args:
        name: The root of all paths.
        supervision: How often the actors of one supervisor may crash, all together, and what
            their exceptions mean. When those at the top crash more often, the block is cancelled
            and `GaveUp` raised out of it.
        notify: Told of every start, exit, restart and lost message.
    """

    def __init__(
        self,
        name: str = "system",
        *,
        supervision: Supervision | None = None,
        notify: Notify | None = None,
    ) -> None:
        self._registry = Registry(self, notify or ignore)
        self._team = Team(name, supervision or Supervision(), self._registry.notify)
        self._block = self._running()

    async def __aenter__(self) -> Self:
        await self._block.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._block.__aexit__(kind, error, traceback)

    async def spawn(
        self,
        factory: Factory[M],
        name: str,
        *,
        parent: Team | ActorRef[Any] | None = None,
        capacity: int = 256,
    ) -> ActorRef[M]:
        """Start an actor; return its address when its `on_start` is through.

        Args:
            factory: Makes the actor, and makes it anew for every restart: a class, for example,
                or a function made an actor by `actor`. If it has a parameter without a default,
                it is given an `ActorContext`.
            name: Unique among the actors that live under this parent.
            parent: The team that it joins; or the actor below which it lives, and with which it
                ends. None: the system's own team.
            capacity: How many messages its mailbox holds.

        Raises:
            SpecError: There is an actor of this name, it has a slash, or the factory wants more
                than a context.
            SupervisorStopped: The parent does not run, or is ending.
            Exception: What the factory or `on_start` raised.
        """
        team = await self._team_of(parent)
        cell = ActorCell(made_by(factory), _path(team, name), team, self._registry, capacity)
        try:
            await team.add(cell)
        except BaseException:
            cell.close()
            raise
        return cell.ref

    async def supervise(
        self,
        name: str,
        strategy: Strategy = "one_for_one",
        *,
        parent: Team | ActorRef[Any] | None = None,
        supervision: Supervision | None = None,
    ) -> Team:
        """Start a team, a supervisor for actors to be spawned under.

        Args:
            name: As of an actor.
            strategy: Which actors are restarted with one that crashed.
            parent: As of an actor.
            supervision: How often its actors may crash. None: as often as the system's.

        Raises:
            SpecError: There is an actor or a team of this name.
            SupervisorStopped: The parent does not run, or is ending.
        """
        above = await self._team_of(parent)
        team = self._new_team(_path(above, name), strategy, supervision)
        await above.start_child(ChildSpec(name, team.run, restart="transient"))
        return team

    async def pool(
        self,
        factory: Factory[M],
        name: str,
        size: int,
        *,
        route: Route[M] | None = None,
        capacity: int = 256,
    ) -> Pool[M]:
        """Start *size* actors, named `worker-1` and so on, under a supervisor of their own.

        Args:
            factory: Makes each of them.
            name: Of the supervisor.
            size: How many.
            route: Chooses the worker for a message. None: in turn.
            capacity: How many messages each mailbox holds.

        Raises:
            SpecError: As `spawn`; or there is to be no worker.
            SupervisorStopped: The block has not begun, or is ending.
            Exception: What the factory or `on_start` raised.
        """
        if size < 1:
            raise SpecError(f"pool {name!r} has {size=}; give at least 1")
        team, make = self._new_team(_path(self._team, name)), made_by(factory)
        paths = (f"{team.path}/worker-{n}" for n in range(1, size + 1))
        workers = [ActorCell(make, path, team, self._registry, capacity) for path in paths]
        team.keep(workers)
        try:
            await self._team.start_child(ChildSpec(name, team.run, restart="transient"))
        except BaseException:
            for worker in workers:
                worker.close()
            raise
        return Pool([worker.ref for worker in workers], route or round_robin(), team)

    def get(self, path: str) -> ActorRef[Any]:
        """Return the address of the actor at *path*, such as `orders/worker-1`.

        Raises:
            UnknownActor: Nobody lives there.
        """
        cell = self._registry.cells.get(f"{self._team.path}/{path}")
        if cell is None:
            raise UnknownActor(f"nobody lives at {path!r}; spawn it first, or look at tree()")
        return cell.ref

    @property
    def dead_letters(self) -> DeadLetters:
        """What was told to actors that had ended."""
        return self._registry.dead_letters

    def tree(self) -> Node:
        """Return the system and its actors as plain data."""
        return self._team.tree()

    def _new_team(
        self,
        path: str,
        strategy: Strategy = "one_for_one",
        supervision: Supervision | None = None,
    ) -> Team:
        said = supervision or self._team.supervision
        return Team(path, said, self._registry.notify, strategy=strategy)

    async def _team_of(self, parent: Team | ActorRef[Any] | None) -> Team:
        if parent is None:
            return self._team
        if isinstance(parent, Team):
            return parent
        cell = self._registry.cells.get(f"{self._team.path}/{parent.path}")
        if cell is None or cell.children is None:
            raise SupervisorStopped(f"{parent} does not live; nothing can be started below it")
        return await cell.children()

    @asynccontextmanager
    async def _running(self) -> AsyncGenerator[None]:
        try:
            async with supervised(self._team.path, self._team.run) as block:
                await block.start()
                yield
        finally:
            self._registry.close()


def _path(team: Team, name: str) -> str:
    if not name or "/" in name:
        raise SpecError(f"{name!r} cannot be a part of a path; give a name without a slash")
    return f"{team.path}/{name}"
