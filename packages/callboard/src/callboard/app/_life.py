"""One run of an application, in one task: from the start of its lifespan to the end of it.

Everything here has an end. Until a hook of the start has returned, a stop cancels it. After a stop
the shutdown hooks and the brokers have until its deadline; what comes after the brokers, the last
hooks and the lifespan, has nearly as long as the host waits for what is cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import Any, Final

import anyio

from callboard._broker import Broker
from callboard._errors import NotRunning
from callboard.app._hooks import Hooks
from callboard.events import Notify
from callboard.run._host import GRACE, Host
from callboard.run._runtime import Runtime, is_lost, stop_subscriptions
from callboard_actors import Child, ChildSpec, Decision, Node, Supervisor
from callboard_di import Callee

_ROOT: Final = "app"
_LAST: Final = 0.9 * GRACE
"""Seconds after the deadline for what comes last: a little less than the host waits for it."""


@dataclass(kw_only=True)
class Phases:
    """What happens in the life of an application: the signatures of its hooks, in order."""

    lifespan: Callee | None
    on_startup: list[Callee]
    after_startup: list[Callee]
    on_shutdown: list[Callee]
    after_shutdown: list[Callee]


class Life:
    """Runs hooks and brokers, once.

    A broker that runs already has its subscribers started, and is left to whoever started it; one
    that the lifespan or a hook has merely connected is connected anew.
    What *beside* makes runs beside the brokers, of which it is told the buses, by path.
    """

    def __init__(
        self,
        phases: Phases,
        hooks: Hooks,
        brokers: Sequence[Broker[Any]],
        graceful_timeout: float,
        beside: Callable[[Mapping[str, Notify]], Sequence[ChildSpec]],
    ) -> None:
        self._phases = phases
        self._hooks = hooks
        self._brokers = brokers
        self._graceful_timeout = graceful_timeout
        self._beside = beside
        self._attached: list[tuple[Broker[Any], Runtime]] = []
        self._failures: list[BaseException] = []
        self._before = [broker for broker in brokers if broker.slot.runtime is not None]
        """What ran before, and is left to whoever has started it."""
        self._connected = False
        self._begun = False
        self._tree: Supervisor | None = None
        self._host: Host | None = None

    def tree(self) -> Node | None:
        """Return the supervision tree of the brokers as plain data; None: they have not begun."""
        return self._tree.tree() if self._tree is not None else None

    def runs(self, runtime: Runtime) -> bool:
        """Whether *runtime* is part of the tree, and not left to whoever started it."""
        return any(attached is runtime for _, attached in self._attached)

    async def run(self, child: Child) -> None:
        """Live, until the tree ends or *child* is asked to stop.

        Raises:
            BaseException: What kept it from starting, else what ended the tree, else the first
                failure of a shutdown hook, else of an actor's `on_stop`.
        """
        entered = abandoned = False
        # Around the lifespan, not only around its start: a lifespan may open task groups, and a
        # scope that ended inside of them would break their nesting.
        with anyio.CancelScope() as whole:

            def heed() -> None:
                nonlocal abandoned
                if entered:
                    whole.deadline = child.deadline + _LAST
                else:
                    abandoned = True
                    whole.cancel()

            child.on_stop(heed)
            async with self._hooks.around(self._phases.lifespan):
                entered = True
                try:
                    await self._begin(child)
                finally:
                    await self._end(child)
        if whole.cancelled_caught and not abandoned:
            self._failures.append(TimeoutError("the application did not end in time"))
        if self._failures:
            raise self._failures[0]

    async def _begin(self, child: Child) -> None:
        """Start, and return when the end begins."""
        with _unless_stopped(child):
            await self._hooks.call(self._phases.on_startup, at_start=True)
        if child.stop_requested:
            return
        for broker in self._brokers:
            if broker not in self._before:
                await broker.slot.hand_over()
        elsewhere = [broker for broker in self._brokers if broker.slot.runtime is not None]
        host = self._make_tree(child)
        await host.start()
        self._connected = host.running
        with _unless_stopped(child):
            await self._listen(elsewhere)
        with _unless_stopped(child):
            if self._begun:
                await self._hooks.call(self._phases.after_startup)
            self._hooks.check([*self._phases.on_shutdown, *self._phases.after_shutdown])
        if not child.stop_requested:
            child.ready()
            with _unless_stopped(child):
                await host.ending()

    async def _listen(self, elsewhere: Sequence[Broker[Any]]) -> None:
        """Open all intakes, now that every broker is connected to which a handler may publish."""
        try:
            for _, runtime in self._attached:
                await runtime.listen()
            for broker in elsewhere:
                await broker.start()
            self._begun = True
        except NotRunning:
            tree = self.tree()
            if tree is None or tree.state == "running":
                raise
            # All ends meanwhile, and what has ended it says more.

    def _make_tree(self, child: Child) -> Host:
        """Make the tree of all brokers, each with its runtime."""
        children: list[ChildSpec] = []
        names: list[str] = []
        buses: dict[str, Notify] = {}
        for broker in self._brokers:
            if broker.slot.runtime is not None:
                continue
            runtime = broker.slot.attach(graceful_timeout=self._graceful_timeout)
            self._attached.append((broker, runtime))
            names.append(broker.name)
            twins = names.count(broker.name)
            name = broker.name if twins == 1 else f"{broker.name}-{twins}"
            rules = [(is_lost, Decision.ESCALATE)]
            children.append(ChildSpec(name, runtime.scope.run, drain=inf, decide=rules))
            buses[f"{_ROOT}/{name}"] = broker.events
        children.extend(self._beside(buses))
        self._tree = Supervisor(children, intensity=3, period=60.0, name=_ROOT)
        child.describe = self._tree.tree
        host = self._host = Host(self._tree.run)
        # Once it is up, the shutdown hooks and the intakes come first.
        child.on_stop(lambda: None if self._connected else host.ask(_left(child)))
        return host

    async def _end(self, child: Child) -> None:
        """Undo the start; the shutdown hooks run only if the brokers were up."""
        child.stop(anyio.current_time() + self._graceful_timeout)
        try:
            with child.until_deadline():
                if self._begun:
                    await self._hooks.call_all(self._phases.on_shutdown, self._failures)
                await stop_subscriptions([runtime for _, runtime in self._attached], child.deadline)
        finally:
            await self._stop_tree(child)
        if self._begun:
            await self._hooks.call_all(self._phases.after_shutdown, self._failures)

    async def _stop_tree(self, child: Child) -> None:
        try:
            if (host := self._host) is not None:
                child.on_stop(lambda: host.ask(_left(child)))
                await host.stop(_left(child))
                if host.failure is not None:
                    self._failures.insert(0, host.failure)
        finally:
            for broker, runtime in self._attached:
                self._failures += runtime.failures
                if broker.slot.runtime is runtime:
                    broker.slot.detach()


@contextmanager
def _unless_stopped(child: Child) -> Generator[None]:
    """Leave the block as soon as *child* is asked to stop."""
    with anyio.CancelScope() as scope:
        child.on_stop(scope.cancel)
        yield


def _left(child: Child) -> float:
    return child.deadline - anyio.current_time()
