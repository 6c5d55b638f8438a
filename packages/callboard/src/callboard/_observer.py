"""Looks at a tree twice a second: rates, workloads, slow handlers, and a loop that lags."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import anyio

from callboard_actors import Child, Event, Node, Notify

__all__ = ["Observer", "Sample"]

PERIOD: Final = 0.5
LAG: Final = 0.1
"""Seconds by which the observer may wake up late before that is reported."""


@dataclass
class Sample:
    """What was seen of one node: a subscription has a rate, a worker a workload."""

    taken: int = 0
    rate: float = 0.0
    workload: float = 0.0
    elapsed: float = 0.0
    token: object = None
    since: float = 0.0
    slow: bool = field(default=False)


class Observer:
    """Samples *tree*; its events go to the bus of the broker they are about."""

    def __init__(
        self, tree: Callable[[], Node], buses: Mapping[str, Notify], *, slow: float = 10.0
    ) -> None:
        self.tree = tree
        self.samples: dict[str, Sample] = {}
        self._buses = buses
        self._slow = slow

    async def run(self, child: Child) -> None:
        """Be a child of the application's supervisor."""
        child.ready()
        with anyio.CancelScope() as scope:
            child.on_stop(scope.cancel)
            while True:
                due = anyio.current_time() + PERIOD
                await anyio.sleep_until(due)
                self.sample(anyio.current_time() - due)

    def sample(self, lag: float = 0.0) -> None:
        """Look once, *lag* seconds too late."""
        now, seen, busy = anyio.current_time(), set[str](), list[str]()
        for path, node in walk(self.tree()):
            if not node.details and path not in self.samples:
                continue
            seen.add(path)
            sample = self.samples.setdefault(path, Sample(since=now))
            if "queued" in node.details:
                self._count(sample, node.details)
            else:
                self._watch(path, sample, node.details, now)
                if sample.token is not None:
                    busy.append(f"{path} {_coordinates(node.details)}")
        for gone in self.samples.keys() - seen:
            del self.samples[gone]
        if lag > LAG:
            self._tell("loop.lag", busy[0] if busy else "", {"seconds": lag, "busy": busy})

    def _count(self, sample: Sample, details: Mapping[str, object]) -> None:
        taken = details["taken"]
        if isinstance(taken, int):
            sample.rate = (taken - sample.taken) / PERIOD
            sample.taken = taken

    def _watch(self, path: str, sample: Sample, details: Mapping[str, object], now: float) -> None:
        token = details.get("token")
        if token != sample.token:
            sample.token, sample.since, sample.slow = token, now, False
        sample.elapsed = now - sample.since if token is not None else 0.0
        sample.workload += 0.1 * (100.0 * (token is not None) - sample.workload)
        if token is not None and sample.elapsed > self._slow and not sample.slow:
            sample.slow = True
            attributes = {"threshold": self._slow, "message": _coordinates(details)}
            self._tell("handler.slow", path, attributes)

    def _tell(self, name: str, path: str, attributes: Mapping[str, object]) -> None:
        buses = [bus for key, bus in self._buses.items() if path.startswith(f"{key}/")]
        for bus in buses or [*self._buses.values()]:
            bus(Event(name, path.split(" ", maxsplit=1)[0], attributes))


def walk(node: Node, path: str = "") -> Iterator[tuple[str, Node]]:
    """Yield what is below *node*, with its path from there."""
    for child in node.children:
        below = f"{path}/{child.id}" if path else child.id
        yield below, child
        yield from walk(child, below)


def _coordinates(details: Mapping[str, object]) -> str:
    return f"{details.get('address')}#{details.get('id')}"
