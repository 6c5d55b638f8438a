"""Looks at a tree a few times a second: rates, workloads, slow handlers, and a loop that lags.

Nothing is measured for a message: a look reads counters, how long workers have waited, and which
message they have in hand.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import anyio

from callboard_actors import Child, Event, Node, Notify

from ._watchdog import Culprit, Watchdog

__all__ = ["SLOW", "Observer", "Sample", "is_worker", "walk"]

WINDOW: Final = 5.0
"""Seconds that rates and workloads are about."""
BEAT: Final = 0.05
BEATS: Final = 10
"""How many of them there are to a look."""
LAG: Final = 0.1
"""Seconds by which the loop may be late before that is reported."""
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


class Window:
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

    __slots__ = ("_busy", "_hand", "_idle", "_looked", "_since", "_window", "sample")

    def __init__(self, now: float) -> None:
        self.sample = Sample()
        self._window = Window()
        self._hand: tuple[object, int] | None = None
        self._idle: float | None = None
        self._busy = 0.0
        self._looked = self._since = now

    def count(self, taken: object, now: float) -> None:
        """Look at a subscription."""
        if isinstance(taken, int):
            self._window.add(now, taken)
            self.sample.rate = self._window.speed

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
        self._window.add(now, self._busy)
        self.sample.workload = 100 * self._window.speed


class Observer:
    """Samples *tree*. Its events go to the bus of the broker, by path, that they are about."""

    def __init__(
        self, tree: Callable[[], Node], buses: Mapping[str, Notify], *, slow: float = SLOW
    ) -> None:
        self.tree = tree
        self._buses = buses
        self._slow = slow
        self._watched: dict[str, _Watched] = {}

    @property
    def samples(self) -> dict[str, Sample]:
        """What the last look has seen, by the paths of the nodes."""
        return {path: watched.sample for path, watched in self._watched.items()}

    async def run(self, child: Child) -> None:
        """Be a child of the application's supervisor."""
        child.ready()
        watchdog = Watchdog(BEAT)
        with watchdog.watching(), anyio.CancelScope() as scope:
            child.on_stop(scope.cancel)
            while True:
                self.look()
                for _ in range(BEATS):
                    due = anyio.current_time() + BEAT
                    await anyio.sleep_until(due)
                    self.beat(anyio.current_time() - due, watchdog.beat())

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

    def beat(self, lag: float, culprit: Culprit | None) -> None:
        """Be told that the loop was *lag* seconds late, and who was seen running meanwhile."""
        if lag <= LAG:
            return
        path, where = culprit or ("", "")
        self._tell("loop.lag", path or self.tree().id, {"seconds": lag, "where": where})

    def _judge(self, path: str, sample: Sample, details: Mapping[str, object]) -> None:
        if sample.elapsed <= self._slow or sample.slow:
            return
        sample.slow = True
        message = f"{details.get('address')}#{details.get('id')}"
        self._tell("handler.slow", path, {"threshold": self._slow, "message": message})

    def _tell(self, name: str, path: str, attributes: Mapping[str, object]) -> None:
        # The broker is the second in a path. What is about none of them is told to all.
        bus = self._buses.get("/".join(path.split("/", 2)[:2]))
        for each in [bus] if bus is not None else self._buses.values():
            each(Event(name, path, attributes))


def walk(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    """Yield what is below *node*, which has this *path*, with the paths of that."""
    for child in node.children:
        below = f"{path}/{child.id}"
        yield below, child
        yield from walk(child, below)


def is_worker(path: str) -> bool:
    """Whether that is the path of a worker of a subscription."""
    return path.split("/")[-2:-1] == ["workers"]
