"""What runs beside the subscriptions of a broker: relays of outboxes, and schedules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import inf

import anyio

from callboard.events import Notify
from callboard_actors import Child, ChildSpec, Run, Supervisor


@dataclass(frozen=True)
class Service:
    """Something that runs from when the subscriptions of a broker are up until it stops.

    Attributes:
        name: What the supervision tree calls it.
        run: It returns when it is asked to stop; what it raises has it started again.
        under_test: The same, where a test broker stands in for the server; None: nothing.
    """

    name: str
    run: Run
    under_test: Run | None = None


class Services:
    """Runs *services* after `begin`, one beside the other."""

    def __init__(self, services: Sequence[Service], drain: float, notify: Notify) -> None:
        self._begun = anyio.Event()
        self.run = Supervisor(
            [ChildSpec(each.name, partial(self._run, each), drain=drain) for each in services],
            intensity=inf,
            notify=notify,
        ).run

    def begin(self) -> None:
        """Let them run: what they may publish to is there."""
        self._begun.set()

    async def _run(self, service: Service, child: Child) -> None:
        child.ready()
        with anyio.CancelScope() as scope:
            child.on_stop(lambda: None if self._begun.is_set() else scope.cancel())
            await self._begun.wait()
        if not child.stop_requested:
            await service.run(child)
