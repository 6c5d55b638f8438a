"""Several actors of one kind behind one address."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Hashable, Sequence
from hashlib import blake2b
from itertools import count
from typing import Any, Generic, TypeAlias, TypeVar

from callboard_actors.system._ref import ActorRef
from callboard_actors.system._team import Team

M = TypeVar("M")

Route: TypeAlias = Callable[[Sequence[ActorRef[M]], M], ActorRef[M]]
"""Chooses the worker for a message. There is at least one."""

# So many points on the circle for each worker keep their shares within about a tenth.
_POINTS = 128


def round_robin() -> Route[Any]:
    """Return a route that takes the workers in turn."""
    turn = count()
    return lambda workers, _: workers[next(turn) % len(workers)]


def smallest_mailbox() -> Route[Any]:
    """Return a route that takes a worker with the fewest messages to handle; of equals, in turn."""
    turn = count()

    def choose(workers: Sequence[ActorRef[Any]], _: object) -> ActorRef[Any]:
        first = next(turn) % len(workers)
        return min((*workers[first:], *workers[:first]), key=lambda worker: worker.pending)

    return choose


def consistent_hash(key: Callable[[M], Hashable]) -> Route[M]:
    """Return a route that sends equal keys to the same worker, as long as it lives.

    When a worker ends, only its keys move. Keys are equal if their `str` is; the choice is the
    same in every process.
    """
    circles: dict[tuple[str, ...], list[tuple[int, int]]] = {}

    def choose(workers: Sequence[ActorRef[M]], message: M) -> ActorRef[M]:
        names = tuple(worker.name for worker in workers)
        circle = circles.get(names) or circles.setdefault(names, _circle(names))
        place = bisect(circle, (_point(str(key(message))), 0))
        return workers[circle[place % len(circle)][1]]

    return choose


class Pool(Generic[M]):
    """Workers of one kind. Made by `ActorSystem.pool`.

    Attributes:
        workers: The addresses of those that take messages.
    """

    def __init__(self, workers: Sequence[ActorRef[M]], route: Route[M], team: Team) -> None:
        self.workers = tuple(workers)
        self._route = route
        self._team = team

    def choose(self, message: M) -> ActorRef[M]:
        """Return the worker that is to have *message*."""
        worker = self._route(self.workers, message)
        if not worker.mailbox.closed:
            return worker
        # If none is left, the last ones stay: what they are told is a dead letter.
        left = tuple(worker for worker in self.workers if not worker.mailbox.closed)
        self.workers = left or self.workers
        return self._route(self.workers, message)

    def tell(self, message: M) -> None:
        """Tell one worker; see `ActorRef.tell`."""
        self.choose(message).tell(message)

    async def ask(self, message: M, timeout: float = 30.0) -> Any:  # noqa: ASYNC109 - as `ActorRef.ask`
        """Ask one worker; see `ActorRef.ask`."""
        return await self.choose(message).ask(message, timeout)

    def broadcast(self, message: M) -> None:
        """Tell every worker."""
        for worker in self.workers:
            worker.tell(message)

    def stop(self) -> None:
        """Let the workers handle what they have, and end."""
        self._team.stop()


def _circle(names: Sequence[str]) -> list[tuple[int, int]]:
    return sorted(
        (_point(f"{name}#{n}"), place) for place, name in enumerate(names) for n in range(_POINTS)
    )


def _point(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
