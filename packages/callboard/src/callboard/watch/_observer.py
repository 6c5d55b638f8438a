"""Looks at a tree a few times a second: rates, workloads, slow handlers, and a loop that lags.

Nothing is measured for a message: a look reads counters, how long workers have waited, and which
message they have in hand.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import anyio

from callboard.events import Event, HandlerSlow, LoopLagged, Notify
from callboard.watch._say import say
from callboard.watch._watchdog import Culprit, Watchdog
from callboard_actors import Child, Node

WINDOW: Final = 5.0
"""Seconds that rates and workloads are about."""
OFTEN: Final = 0.5
SELDOM: Final = 2.0
"""Seconds between two looks at the tree: where somebody may look at it, and where nobody can."""
SLOW: Final = 10.0
"""Seconds after which a message is slow, if nothing else is said."""


@dataclass
class Sample:
    """What was seen of a node: a subscription has a rate, a worker the rest.

    Attributes:
        rate: Messages per second that were taken from the broker, over the window.
        workload: Of the window, the percentage in which it did not wait for a message.
        elapsed: Seconds since the message in hand was first seen there; 0 if there is none.
        slow: Whether that is more than the threshold.
    """

    rate: float = 0.0
    workload: float = 0.0
    elapsed: float = 0.0
    slow: bool = False


class Growth:
    """How fast a count has grown over the last `WINDOW` seconds, or as long as it is known."""

    __slots__ = ("_points",)

    def __init__(self) -> None:
        self._points = deque[tuple[float, float]]()

    def add(self, now: float, count: float) -> None:
        """Take down *count*. One that is smaller than before has begun anew."""
        points = self._points
        if points and count < points[-1][1]:
            points.clear()
        points.append((now, count))
        # The oldest stays until the next one alone spans the window.
        while len(points) > 1 and points[1][0] <= now - WINDOW:
            points.popleft()

    @property
    def speed(self) -> float:
        """The growth per second, over the time that has really passed."""
        (first, least), (last, most) = self._points[0], self._points[-1]
        return (most - least) / (last - first) if last > first else 0.0


class _Watched:
    """What was seen of one node so far."""

    __slots__ = ("_busy", "_growth", "_hand", "_idle", "_looked", "_since", "sample")

    def __init__(self, now: float) -> None:
        self.sample = Sample()
        self._growth = Growth()
        self._hand: tuple[object, int] | None = None
        self._idle: float | None = None
        self._busy = 0.0
        self._looked = self._since = now

    def count(self, taken: object, now: float) -> None:
        """Look at a subscription."""
        if isinstance(taken, int):
            self._growth.add(now, taken)
            self.sample.rate = self._growth.speed

    def watch(self, node: Node, now: float) -> None:
        """Look at a worker."""
        self._weigh(node.details.get("idle"), now)
        token = node.details.get("token")
        # Its message is in hand anew when a worker was restarted.
        hand = None if token is None else (token, node.restarts)
        if hand != self._hand:
            self._hand, self._since, self.sample.slow = hand, now, False
        self.sample.elapsed = now - self._since if hand is not None else 0.0

    def _weigh(self, idle: object, now: float) -> None:
        """Count as work what was not waited; one that is down, or has just come up, does none."""
        known, passed = self._idle, now - self._looked
        self._idle, self._looked = (idle if isinstance(idle, float) else None), now
        if known is not None and self._idle is not None and self._idle >= known:
            self._busy += max(0.0, passed - (self._idle - known))
        self._growth.add(now, self._busy)
        self.sample.workload = 100 * self._growth.speed


class Observer:
    """Samples *tree*. Its events go to the bus of the broker, by path, that they are about.

    What blocks the event loop for long is written to *logger* while it does: nobody else can.
    """

    def __init__(
        self,
        tree: Callable[[], Node],
        buses: Mapping[str, Notify],
        *,
        logger: logging.Logger,
        slow: float = SLOW,
        every: float = OFTEN,
    ) -> None:
        self.tree = tree
        self._buses = buses
        self._logger = logger
        self._slow = slow
        self._every = every
        self._watched: dict[str, _Watched] = {}

    @property
    def samples(self) -> dict[str, Sample]:
        """What the last look has seen, by the paths of the nodes."""
        return {path: watched.sample for path, watched in self._watched.items()}

    async def run(self, child: Child) -> None:
        """Be a child of the application's supervisor."""
        child.ready()
        with self.watchdog().watching(), anyio.CancelScope() as scope:
            child.on_stop(scope.cancel)
            while True:
                self.look()
                await anyio.sleep(self._every)

    def watchdog(self) -> Watchdog:
        """Return what sees who keeps the event loop from turning."""
        return Watchdog(self.lag, self._warn)

    def look(self) -> None:
        """Look at every subscription and worker once."""
        now, before, root = anyio.current_time(), self._watched, self.tree()
        self._watched = {}
        for path, node in walk(root, root.id):
            if "taken" in node.details:
                watched = self._watched[path] = before.get(path) or _Watched(now)
                watched.count(node.details["taken"], now)
            elif is_worker(path):
                watched = self._watched[path] = before.get(path) or _Watched(now)
                watched.watch(node, now)
                self._judge(path, watched.sample, node.details)

    def lag(self, seconds: float, culprit: Culprit) -> None:
        """Be told who has kept the loop from turning, and for how long."""
        path = culprit.path or self.tree().id
        self._tell(LoopLagged(path, seconds, culprit.where))

    def _warn(self, seconds: float, culprit: Culprit) -> None:
        line = "%s has blocked the event loop for %.0f s, at %s: nothing else runs meanwhile"
        path = culprit.path or "something outside of the tree"
        say(self._logger, logging.ERROR, line, path, seconds, culprit.where)

    def _judge(self, path: str, sample: Sample, details: Mapping[str, object]) -> None:
        if sample.elapsed <= self._slow or sample.slow:
            return
        sample.slow = True
        message = f"{details.get('address')}#{details.get('id')}"
        self._tell(HandlerSlow(path, self._slow, message))

    def _tell(self, event: Event) -> None:
        # The broker is the second in a path. What is about none of them is told to all.
        bus = self._buses.get("/".join(event.path.split("/", 2)[:2]))
        for each in [bus] if bus is not None else self._buses.values():
            each(event)


def walk(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    """Yield what is below *node*, which has this *path*, with the paths of that."""
    for child in node.children:
        below = f"{path}/{child.id}"
        yield below, child
        yield from walk(child, below)


def is_worker(path: str) -> bool:
    """Whether that is the path of a worker of a subscription."""
    return path.split("/")[-2:-1] == ["workers"]
