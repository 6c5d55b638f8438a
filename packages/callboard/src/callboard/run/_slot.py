"""Where a broker's runtime is, while there is one, and who has put it there.

An application fills the slot of each of its brokers, a test broker does so with a runtime of its
own; else the broker is started by itself, and the slot has a host for the tree.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from callboard._context import ContextRepo
from callboard._errors import DeclarationError, NotRunning
from callboard.declare._broker_kind import BrokerKind
from callboard.declare._declarations import Declarations
from callboard.declare._options import DEFAULT_SUPERVISION, BrokerOptions
from callboard.declare._publisher import PlacedPublisher, Publisher
from callboard.declare._subscriber import PlacedSubscriber
from callboard.events import Event, ServerFound, ServerLost
from callboard.handle._fence import ATTEMPT, FENCED, refuse_late
from callboard.handle._way_out import WayOut
from callboard.instruments import Send
from callboard.run._host import Host
from callboard.run._runtime import Runtime
from callboard.run._surroundings import Surroundings
from callboard.watch._bus import Bus
from callboard.watch._log import Log
from callboard.watch._observer import Observer
from callboard_actors import Child
from callboard_actors.events import now
from callboard_brokers import Adapter, Connection
from callboard_brokers.events import Event as AdapterEvent
from callboard_brokers.events import Notify
from callboard_di import Overrides


class MakesAdapter(Protocol):
    """Makes the adapter of a broker, given who is told what happens to it."""

    def __call__(self, *, notify: Notify) -> Adapter[Any, Any]:
        """Return the adapter."""
        ...


class Slot:
    """The place from which a broker acts.

    Attributes:
        around: What running needs of the broker. An application says more of it.
        adapter: What the broker connects by, unless it is under test.
        runtime: What runs; None: nothing does.
        out: By what messages leave it.
        loss: Since when its server is away, where that is, and why; empty while it is there.
    """

    def __init__(
        self,
        make: MakesAdapter,
        kind: BrokerKind[Any],
        options: BrokerOptions,
        declared: Declarations,
    ) -> None:
        logger = options.logger
        if not isinstance(logger, logging.Logger):  # it is UNSET
            logger = logging.getLogger(f"callboard.{kind.name}")
        events = Bus(logger)
        self.loss: Mapping[str, object] = {}
        self.runtime: Runtime | None = None
        self.out: WayOut[Any] = WayOut(kind, options, events, self._send)
        self.around = Surroundings(
            name=kind.name,
            kind=kind,
            options=options,
            context=options.context if options.context is not None else ContextRepo(),
            overrides=Overrides() if options.provider is None else options.provider,
            logger=logger,
            events=events,
            out=self.out,
            supervision=DEFAULT_SUPERVISION,
            subscribers=partial(declared.placed, PlacedSubscriber),
            publishers=partial(declared.placed, PlacedPublisher),
            home=self._home,
            services=[],
            companions=lambda: running([self]),
            loss=lambda: self.loss,
        )
        self.out.chain = self.around.chain()
        self._host: Host | None = None
        events.subscribe(self._heed)
        events.subscribe(Log(logger))
        self.adapter = make(notify=self.hear)

    def connect_by(self, make: MakesAdapter, kind: BrokerKind[Any]) -> None:
        """Connect by another adapter from the next start on.

        Raises:
            DeclarationError: It is connected by the one that it has.
        """
        if self.runtime is not None and self.runtime.adapter is self.adapter:
            raise DeclarationError(
                f"{self.around.name} is connected already, to {self.around.kind.url}; stop it before"
                " it is connected otherwise"
            )
        self.around = replace(self.around, kind=kind)
        self.adapter = make(notify=self.hear)

    async def hand_over(self) -> None:
        """Disconnect, if somebody has connected the broker without its subscribers.

        For an application, which connects it anew and has it among its own.
        """
        if self._host is not None and self.runtime is not None and not self.runtime.listening:
            await self.stop()

    @property
    def live(self) -> Runtime:
        """What runs.

        Raises:
            NotRunning: The broker was not started, or is stopped.
        """
        if self.runtime is None:
            raise NotRunning(
                f"{self.around.name} is not running: `await broker.start()`, or run the App, before"
                " you publish; after a stop nothing is published any more"
            )
        return self.runtime

    @property
    def connection(self) -> Connection[Any, Any]:
        """The connection of what runs.

        Raises:
            NotRunning: The broker was not started, or is stopped.
        """
        return self.live.connection

    @property
    def running(self) -> bool:
        """Whether it is connected and its supervisor has not given up."""
        return self.runtime is not None and (self._host is None or self._host.running)

    def attach(self, *, graceful_timeout: float | None = None, listening: bool = True) -> Runtime:
        """Put a runtime into the slot.

        For whoever runs it: an application, which has a *graceful_timeout* for all of its brokers,
        or the broker itself.

        Raises:
            DeclarationError: It is running, or a declaration can't work.
        """
        return self.install(
            Runtime(
                self.around, self.adapter, listening=listening, graceful_timeout=graceful_timeout
            )
        )

    def install(self, runtime: Runtime) -> Runtime:
        """Act through *runtime* from now on.

        Raises:
            DeclarationError: It is running, or can't read all that is declared together.
        """
        if self.runtime is not None:
            raise DeclarationError(f"{self.around.name} is running already; stop it first")
        if self.around.kind.together is not None:  # those of its routers too
            self.around.kind.together([each.source for each in self.around.subscribers()])
        self.runtime = runtime
        return runtime

    def detach(self) -> None:
        """Take the runtime away, once it has ended."""
        self.runtime = None
        self.loss = {}

    def hear(self, event: AdapterEvent, /) -> None:
        """Tell what the adapter tells."""
        self.around.events(replace(event, path=self.around.name, at=now()))

    async def run(self, *, listening: bool) -> None:
        """Begin to run, or to run whole, unless it does so already.

        Raises:
            NotRunning: It is being stopped, or was stopped meanwhile.
        """
        host = self._host_of_now(listening=listening)
        if host is None:  # an application or a test runs it
            if listening:
                await self.live.listen()
            return
        try:
            async with host.claim():
                if self._host is not host or host.over:
                    raise NotRunning(f"{self.around.name} was stopped before it was up")
                if listening:
                    await self.live.listen()
        finally:
            if host.over:
                self._forget(host)

    async def stop(self) -> None:
        """Stop what was started here, in good order; what others run is theirs."""
        host = self._host
        if host is None:
            return
        try:
            await host.stop(self.around.options.graceful_timeout)
        finally:
            self._forget(host)
        if host.failure is not None:
            raise host.failure

    def _host_of_now(self, *, listening: bool) -> Host | None:
        """Return what runs it, made now if nothing does; None: somebody else has attached it."""
        host = self._host
        if host is not None and host.over:
            self._forget(host)
        elif host is not None and host.stopping:
            raise NotRunning(
                f"{self.around.name} is being stopped; start it again when that has returned"
            )
        if self.runtime is None:
            runtime = self.attach(listening=listening)
            self._host = Host(partial(self._watched, runtime))
        return self._host

    async def _watched(self, runtime: Runtime, child: Child) -> None:
        """Run, and see meanwhile who keeps the event loop from turning."""
        around = self.around
        observer = Observer(runtime.tree, {around.name: around.events}, logger=around.logger)
        with observer.watchdog().watching():
            await runtime.scope.run(child)
        if runtime.failures:
            raise runtime.failures[0]

    def _forget(self, host: Host) -> None:
        if self._host is host:
            self._host = None
            self.detach()

    def _send(self) -> Send:
        """Return the way out; raise where it leads nowhere, or whoever asks is not heard any more."""
        refuse_late(FENCED.get())
        attempt = ATTEMPT.get()
        if attempt is not None and attempt.diverts is not None:
            return attempt.diverts(self._way)
        return self._way()

    def _way(self) -> Send:
        runtime = self.runtime
        return self.live.send if runtime is None or runtime.way is None else runtime.way

    def _home(self, publisher: Publisher[Any]) -> tuple[Surroundings, PlacedPublisher]:
        """Return whose *publisher* is: this broker's, if it is among what is declared here."""
        slots: list[Slot] = [self]
        owner = publisher.outlet.root.owner
        if isinstance(owner, Slot):
            slots.append(owner)
        for around in [each.around for each in slots]:
            for each in around.publishers():
                if each.declaration is publisher:
                    return around, each
        raise DeclarationError(
            f"the router of the publisher to {publisher.target!r} belongs to no broker yet"
        )

    def _heed(self, event: Event) -> None:
        if isinstance(event, ServerLost):
            self.loss = {"lost_at": event.at, **event.attributes}
        elif isinstance(event, ServerFound):
            self.loss = {}


def running(slots: Sequence[Slot]) -> Sequence[Runtime]:
    """Return what runs in *slots*."""
    return [each.runtime for each in slots if each.runtime is not None]
