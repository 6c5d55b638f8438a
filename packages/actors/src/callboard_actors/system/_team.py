"""Actors under one supervisor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

from callboard_actors.events import Notify
from callboard_actors.supervision._child import Child, ChildSpec
from callboard_actors.supervision._policy import Strategy
from callboard_actors.supervision._restarts import Supervision
from callboard_actors.supervision._supervisor import Supervisor
from callboard_actors.supervision._tree import Node
from callboard_actors.system._ref import ActorRef


class Member(Protocol):
    """An actor, as those see it who keep it up.

    Attributes:
        path: The ids from the root of the tree, joined by slashes.
        ref: Its address.
        children: Returns the team of its children; None while it does not live.
    """

    path: str
    ref: ActorRef[Any]
    children: Callable[[], Awaitable[Team]] | None

    @property
    def spec(self) -> ChildSpec:
        """How to start it."""
        ...

    def close(self) -> None:
        """Say that it has ended for good."""
        ...


class Team:
    """Actors under one supervisor. Made by `ActorSystem.supervise`.

    Actors are spawned into it one by one. When the supervisor gives up and is started anew, by
    the one above it, it starts without them: they have ended. Only a pool has its workers again.

    Attributes:
        path: The ids from the root of the tree, joined by slashes.
        supervision: What holds for its actors.
        is_closing: Whether its actors are asked to stop for good. Those that are asked while it
            is not are restarted as a group, and go on with their mailboxes.
    """

    def __init__(
        self,
        path: str,
        supervision: Supervision,
        notify: Notify,
        *,
        strategy: Strategy = "one_for_one",
    ) -> None:
        self.path = path
        self.is_closing = False
        self.supervision = supervision
        self._supervise = partial(
            Supervisor,
            strategy=strategy,
            intensity=supervision.intensity,
            period=supervision.period,
            name=path.rpartition("/")[2],
            notify=notify,
        )
        self._added: set[Member] = set()
        self.keep(())

    def keep(self, members: Sequence[Member]) -> None:
        """Let it have *members* whenever it starts. Not while it runs."""
        self._kept = members
        self._supervisor = self._supervise([member.spec for member in members])

    async def run(self, child: Child) -> None:
        """Keep the actors up; this is a `ChildSpec.run`."""
        self.is_closing = False
        child.on_stop(self._close)
        try:
            await self._supervisor.run(child)
            _close_all(self._kept)
        finally:
            _close_all(self._added)

    def stop(self, deadline: float | None = None) -> None:
        """Let the actors handle what they have, and end. See `Supervisor.stop`."""
        self._close()
        self._supervisor.stop(deadline)

    def tree(self) -> Node:
        """Return the team as plain data."""
        return self._supervisor.tree()

    async def add(self, member: Member) -> None:
        """Start *member*, which is not started again with the team; return when it is up."""
        self._added.add(member)
        await self.start_child(member.spec)

    def remove(self, member: Member) -> None:
        self._added.discard(member)

    async def start_child(self, spec: ChildSpec) -> None:
        """Start what is no actor; see `Supervisor.start_child`."""
        await self._supervisor.start_child(spec)

    def _close(self) -> None:
        self.is_closing = True


def _close_all(members: Iterable[Member]) -> None:
    for member in list(members):
        member.close()
