"""A broker that has been started: its connection, and its subscriptions after it.

Should the connection be replaced (not merely reconnect), what hangs on it is started again.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Any, Final

from callboard_actors import Child, ChildSpec, Supervisor
from callboard_brokers import Adapter, Connection, Message, can_batch

from ._errors import NotRunning
from ._pipeline import Middleware
from ._running import Running

if TYPE_CHECKING:
    from ._broker import Broker

__all__ = ["Runtime"]

HANDLERS: Final = 0.8
"""The part of the time to stop that handlers have; the rest is for settlements and connections."""


class Runtime:
    """What stands behind a broker between its start and its stop.

    A test broker puts one with another adapter in the place of the real one, and *layers* of its
    own around every handler.
    """

    layers: Sequence[Middleware] = ()

    def __init__(
        self,
        broker: Broker[Any],
        adapter: Adapter[Any, Any],
        *,
        listening: bool,
        graceful_timeout: float | None = None,
    ) -> None:
        self.broker = broker
        self.adapter = adapter
        self._connection: Connection[Any, Any] | None = None
        self._listening = listening
        total = broker.options.graceful_timeout if graceful_timeout is None else graceful_timeout
        self.drain = HANDLERS * total
        """Seconds that handlers have to finish when they are stopped."""
        children = [ChildSpec("connection", self._connect, start_timeout=inf)]
        if listening:
            children.append(self._subscriptions())
        self.scope = Supervisor(
            children,
            "rest_for_one",
            intensity=1,
            period=60.0,
            name=broker.name,
            notify=broker.events,
        )

    @property
    def connection(self) -> Connection[Any, Any]:
        """The connection.

        Raises:
            NotRunning: There is none at the moment.
        """
        if self._connection is None:
            raise NotRunning(f"{self.broker.name} is not connected at the moment")
        return self._connection

    async def listen(self) -> None:
        """Start the subscriptions too, unless they run; if that fails, it can be tried again."""
        if self._listening:
            return
        subscriptions = self._subscriptions()
        self._listening = True
        try:
            await self.scope.start_child(subscriptions)
        except BaseException:
            self._listening = False
            raise

    async def publish(self, message: Message[Any], target: Any) -> None:
        """Publish of one's own accord, not as the result of a handler."""
        await self.connection.publish(message, target)

    async def publish_batch(self, messages: Sequence[Message[Any]], target: Any) -> None:
        """Publish several of one's own accord, at once where the broker can."""
        connection = self.connection
        if can_batch(connection):
            await connection.publish_batch(messages, target)
        else:
            for message in messages:
                await connection.publish(message, target)

    def _subscriptions(self) -> ChildSpec:
        specs: list[ChildSpec] = []
        names: list[str] = []
        for declared in self.broker.subscribers:
            # Several subscribers of an address may have handlers of one name.
            names.append(declared.name)
            twins = names.count(declared.name)
            name = declared.name if twins == 1 else f"{declared.name}-{twins}"
            run = Running(declared, self).run
            specs.append(ChildSpec(name, run, restart="transient", drain=inf))
        supervisor = Supervisor(specs, intensity=1, period=60.0, notify=self.broker.events)
        return ChildSpec("subscriptions", supervisor.run, drain=inf)

    async def _connect(self, child: Child) -> None:
        async with self.adapter.connect() as connection:
            self._connection = connection
            try:
                child.ready()
                await child.stopping()
            finally:
                self._connection = None
