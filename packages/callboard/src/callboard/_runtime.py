"""A broker that has been started: its connection, and its subscriptions after it.

Should the connection be replaced (not merely reconnect), what hangs on it is started again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any, Final

from callboard_actors import Backoff, Child, ChildSpec, Decision, Event, GaveUp, Supervisor
from callboard_brokers import Adapter, Connection, Message, can_batch

from ._errors import DeclarationError, NotRunning
from ._pipeline import Middleware
from ._printable import last_words
from ._reading import Reading
from ._running import Running
from ._view import last_standing

if TYPE_CHECKING:
    from ._broker import Broker
    from ._subscriber import Subscriber

__all__ = ["Runtime", "is_lost"]

HANDLERS: Final = 0.8
"""The part of the time to stop that handlers have; the rest is for settlements and connections."""
PAUSES: Final = Backoff(first=30.0, min=60.0, max=600.0, jitter="none", reset_after=600.0)
"""Before a subscription that has given up is tried again."""


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
        self._begun: dict[int, tuple[ChildSpec, Running | Reading]] = {}
        """What was started, by the list of its handlers, which is the same from everywhere."""
        self._planted = listening
        self._down = set[str]()
        self._why = ""
        self._tree: Supervisor
        children = [ChildSpec("connection", self._connect, start_timeout=inf)]
        if listening:
            for each in self._persistent():
                self._spec(*each)
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

    @property
    def connected(self) -> bool:
        """Whether there is a connection at the moment."""
        return self._connection is not None

    async def listen(self) -> None:
        """Start the subscriptions too, unless they run; if that fails, it can be tried again."""
        if self._listening:
            return
        self._listening = True
        try:
            await self._plant(self._persistent())
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

    async def begin(self, declared: Subscriber) -> None:
        """Start *declared*, whatever else runs; with handlers it runs, without it is read."""
        if id(declared.calls) in self._begun:
            raise DeclarationError(f"{declared.name} is running already")
        make = Running if declared.calls else Reading
        await self._plant([(declared, make(declared, self))])

    async def end(self, declared: Subscriber) -> None:
        """Stop *declared* in good order, alone; nothing, if it is not running."""
        begun = self._begun.pop(id(declared.calls), None)
        if begun is not None:
            spec, _ = begun
            await self._tree.stop_child(spec.id)

    def active(self, declared: Subscriber) -> Running | Reading:
        """Return what *declared* runs as.

        Raises:
            NotRunning: It was not started.
        """
        try:
            _, active = self._begun[id(declared.calls)]
        except KeyError:
            raise NotRunning(
                f"{declared.name} is not running: `await subscriber.start()`"
            ) from None
        return active

    def _persistent(self) -> list[tuple[Subscriber, Running]]:
        """Return what starts with the broker and does not run yet."""
        subscribers = self.broker.subscribers
        waiting = (each for each in subscribers if id(each.calls) not in self._begun)
        return [(each, Running(each, self)) for each in waiting if each.options.persistent]

    async def _plant(self, starting: Sequence[tuple[Subscriber, Running | Reading]]) -> None:
        """Start them, under a supervisor that is made when there is something to supervise."""
        specs = [self._spec(*each) for each in starting]
        started = 0
        try:
            if self._planted:
                for spec in specs:
                    await self._tree.start_child(spec)
                    started += 1
            else:
                await self.scope.start_child(self._subscriptions())
        except BaseException:
            for declared, _ in starting[started:]:
                self._begun.pop(id(declared.calls), None)
            raise
        self._planted = True

    def _subscriptions(self) -> ChildSpec:
        # It ends by itself only when a subscription has said that it is to: nothing would help.
        return ChildSpec(
            "subscriptions",
            self._subscribe,
            drain=inf,
            start_timeout=inf,
            decide=[(GaveUp, Decision.ESCALATE)],
        )

    async def _subscribe(self, child: Child) -> None:
        """Run what has begun; after the loss of a connection, again."""
        specs = [spec for spec, _ in self._begun.values()]
        self._tree = Supervisor(specs, intensity=inf, notify=self._hear)
        await self._tree.run(child)

    def _hear(self, event: Event) -> None:
        """Tell what becomes of the subscriptions: one that waits for another try is down."""
        if event.name == "actor.crashed":
            self._why = last_words(str(event.attributes.get("error", "")))
        elif event.name == "actor.restarting":
            self._down.add(event.path)
            told = {**event.attributes, "error": self._why}
            event = Event("subscription.down", event.path, told)
        elif event.name == "actor.started" and event.path in self._down:
            self._down.discard(event.path)
            self.broker.events(Event("subscription.up", event.path))
        self.broker.events(event)

    def _spec(self, declared: Subscriber, active: Running | Reading) -> ChildSpec:
        if id(declared.calls) in self._begun:
            raise DeclarationError(
                f"{declared.name} is in {self.broker.name} twice, since its router was included"
                " twice: make a router for each"
            )
        name = self._name(declared)

        def ends_all(_error: Exception) -> bool:
            # What is read by hand is nobody's livelihood.
            if isinstance(active, Reading):
                return False
            return active.on_give_up == "stop" or self._is_last(name)

        spec = ChildSpec(
            name,
            active.run,
            restart="transient",
            drain=inf,
            start_timeout=inf,
            backoff=PAUSES,
            decide=[(ends_all, Decision.ESCALATE), (Exception, Decision.RESTART)],
        )
        self._begun[id(declared.calls)] = (spec, active)
        return spec

    def _name(self, declared: Subscriber) -> str:
        """Name *declared*: several subscribers of an address may have handlers of one name."""
        taken = {spec.id for spec, _ in self._begun.values()}
        names = (f"{declared.name}-{n}" if n > 1 else declared.name for n in count(1))
        return next(name for name in names if name not in taken)

    def _is_last(self, name: str) -> bool:
        """Whether no other subscription of the application is left that runs."""
        runtimes = [broker.runtime for broker in self.broker.companions]
        return last_standing(
            [(each.scope.tree(), name if each is self else None) for each in runtimes if each]
        )

    async def _connect(self, child: Child) -> None:
        async with self.adapter.connect() as connection:
            self._connection = connection
            try:
                child.ready()
                await child.stopping()
            finally:
                self._connection = None


def is_lost(error: Exception) -> bool:
    """Whether a broker has ended because of its subscriptions: to start it anew would not help."""
    return isinstance(error, GaveUp) and isinstance(error.__cause__, GaveUp)
