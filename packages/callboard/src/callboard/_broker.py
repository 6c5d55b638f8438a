"""A broker: declarations, and the way to start them, stop them and publish."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Generic, ParamSpec, Self, TypeAlias, TypeVar

from anyio import move_on_after

from callboard_actors import Node
from callboard_brokers import BrokerError

from ._errors import DeclarationError, NotRunning
from ._logger import shown
from .declare._broker_kind import BrokerKind
from .declare._handler import Handler, handler_of, refuse_unbound, where
from .declare._idempotency import MemoryStore, Store
from .declare._middleware import Middleware
from .declare._options import BrokerOptions
from .declare._router import Router
from .declare._schedule import seconds_of, times_of
from .handle._way_out import WayOut
from .run._schedule import Schedule, Timer
from .run._services import Service
from .run._slot import MakesAdapter, Slot
from .watch._view import unready

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
Reached: TypeAlias = Callable[[Any], tuple[MakesAdapter, BrokerKind[T]]]


class Broker(Router, Generic[T]):
    """Subscribers and publishers of one broker.

    `async with broker:` connects, so that one can publish; `await broker.start()` starts the
    subscribers too; `await broker.stop()`, or the end of the block, stops both. They may be called
    from any task, and again. In an `App`, the application does it.

    A module for a broker says what *makes* its adapter, and of which *kind* it is; None: that of
    its class.

    Attributes:
        name: What the log and the supervision tree call it.
        events: Tells those who subscribe what happens.
        context: What handlers may ask for.
        provider: What stands in for dependencies.
        slot: Where that is which runs: for applications and test brokers.
        out: By what messages leave: for the methods of a broker that publish.
    """

    def __init__(
        self, make: MakesAdapter, options: BrokerOptions, kind: BrokerKind[T] | None = None
    ) -> None:
        if (kind := kind or self._kind) is None:
            raise DeclarationError(
                f"{type(self).__name__} is of no kind: give its class one, kind=BrokerKind(...)"
            )
        self._kind = kind
        self._options = options
        super().__init__(routers=options.routers)
        self.declared.check_dead_letter(options)
        self.slot = Slot(make, kind, options, self.declared)
        self.declared.owner = self.slot
        self.out: WayOut[T] = self.slot.out
        around = self.slot.around
        self.name = around.name
        self.events = around.events
        self.provider = around.overrides
        self.context = around.context
        named = {"broker": self, "logger": shown(around.logger), "context": self.context}
        for key, value in named.items():
            self.context.set_global(key, value)

    def __repr__(self) -> str:
        url = self.slot.around.kind.url
        return f"<{type(self).__name__}{f' at {url}' if url else ''}>"

    @property
    def running(self) -> bool:
        """Whether it is connected and its supervisor has not given up."""
        return self.slot.running

    @property
    def ready(self) -> bool:
        """Whether it may be sent traffic: nothing is `unready`. To be asked from any thread."""
        return not self.unready

    @property
    def unready(self) -> list[str]:
        """Why it is not ready, a line for each reason; to be asked from any thread.

        It has not started or is stopping; its server has been away for over 10 seconds; a
        subscription is down, or crashes again and again.
        """
        try:
            return unready(self.slot.live.view())
        except NotRunning:
            return [f"{self.name} is not running"]

    async def connect(self) -> None:
        """Connect, without starting the subscribers.

        Raises:
            NotRunning: It is being stopped, or was stopped meanwhile.
        """
        await self.slot.run(listening=False)

    async def start(self) -> None:
        """Connect, and start the subscribers; return when all are up.

        Beside another start it waits for the same. What fails, or is cancelled, undoes what was
        started for nobody else. One that has given up starts anew.

        Raises:
            DeclarationError: A handler asks for what nobody can give.
            NotRunning: It is being stopped, or was stopped meanwhile.
            Exception: What an actor raised that can't be made, or can't start.
        """
        await self.slot.run(listening=True)

    async def stop(self) -> None:
        """Stop in good order: the intake, the workers when nothing is left, the connection.

        Raises:
            StopTimedOut: Something outlived `graceful_timeout` and its cancellation.
            GaveUp: It had ended before, by too many crashes.
            Exception: What an actor's `on_stop` raised.
        """
        await self.slot.stop()

    async def ping(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - as users know it
        """Return whether the broker answers, within *timeout* seconds; None: however long it takes."""
        with move_on_after(timeout):
            try:
                await self.slot.connection.ping()
            except (BrokerError, NotRunning):
                return False
            return True
        return False

    def _told(self, said: Mapping[str, Any], reached: Reached[T]) -> None:
        """Connect as it is *said* now, by the names of the broker's options; the rest stays.

        What *reached* makes of all of them is what makes the adapter, and the kind.

        Raises:
            DeclarationError: It is connected already, and otherwise.
        """
        options = replace(self._options, **said)
        if options != self._options:
            self.slot.connect_by(*reached(options))
            self._options = options

    @property
    def _middlewares(self) -> Sequence[Middleware]:
        return self.slot.around.options.middlewares

    def _put(self, middlewares: Sequence[Middleware]) -> None:
        around = self.slot.around
        options = replace(around.options, middlewares=middlewares)
        self.slot.around = replace(around, options=options)

    def schedule(  # noqa: PLR0913 - options, by name
        self,
        cron: str | None = None,
        *,
        every: float | timedelta | None = None,
        timezone: str | None = None,
        store: Store | None = None,
        missed: float | timedelta = 0.0,
        lease: float = 60.0,
        name: str | None = None,
    ) -> Callable[[Callable[P, R]], Handler[P, R]]:
        """Have the function below called at its times while the broker runs, by one process.

        It may have dependencies and the context, in which `due` is the time that it is called for;
        publishers above it publish what it returns. What it raises is told of, and that is all.

        Args:
            cron: An expression of cron, as `"30 3 * * *"`: `pip install "callboard[cron]"`.
            every: In the place of one, seconds or a `timedelta`; it is due at multiples of these.
            timezone: Whose clocks an expression means, as `"Europe/Paris"`; None: those of UTC.
            store: Where processes claim each time: one does what is due. None: there is only one.
            missed: For how many seconds a time is made up for that nobody was there for. Of several,
                the last is.
            lease: Seconds after which another process takes over from one that has died.
            name: By what the processes know it; None: the module and name of the function.

        Raises:
            DeclarationError: There is no such time, or the function wants more than there is.
        """

        def decorate(function: Callable[P, R]) -> Handler[P, R]:
            handler = handler_of(function)
            refuse_unbound(handler)
            called = name or f"{handler.__module__}.{handler.__qualname__}"
            schedule = Schedule(
                name=called,
                times=times_of(cron, every, timezone, f"the schedule of {where(function)}"),
                store=store or MemoryStore(),
                missed=seconds_of(missed),
                lease=lease,
            )
            timer = Timer(schedule, handler, lambda: self.slot.around)
            services, service = self.slot.around.services, f"schedule({called})"
            if any(each.name == service for each in services):
                raise DeclarationError(f"{service} is there already; give this one another name=")
            services.append(Service(service, timer.run, timer.run_alone))
            return handler

        return decorate

    def tree(self) -> Node:
        """Return the supervision tree as plain data."""
        return self.slot.live.tree()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
