"""A broker that has been started: its connection, and its subscriptions after it.

Should the connection be replaced (not merely reconnect), what hangs on it is started again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Any, Final, TypeVar

import anyio
from anyio.lowlevel import current_token

from callboard._errors import DeclarationError, NotRunning
from callboard.declare._live import Aim
from callboard.declare._options import PublishOptions, resolve
from callboard.declare._publisher import PlacedPublisher
from callboard.declare._subscriber import PlacedSubscriber
from callboard.handle._instruments import Instruments
from callboard.handle._output import straight
from callboard.handle._passage import Chain
from callboard.instruments import Instrument, Place, Send
from callboard.run._reading import Reading
from callboard.run._services import Service, Services
from callboard.run._subscriptions import Subscriptions
from callboard.run._surroundings import Surroundings
from callboard.watch._view import View, seen_from
from callboard_actors import Child, ChildSpec, Decision, GaveUp, Node, Supervisor
from callboard_brokers import Adapter, Connection, Message, Preparing, Subscription

T = TypeVar("T")

HANDLERS: Final = 0.8
"""The part of the time to stop that handlers have; the rest is for settlements and connections."""


class Runtime:
    """What stands behind a broker between its start and its stop.

    Its scope connects; its subscriptions are started then, when all is there that they publish to.
    A test broker puts one with another adapter in the place of the real one, and *instruments* of
    its own around those of the broker.
    """

    def __init__(
        self,
        around: Surroundings,
        adapter: Adapter[Any, Any],
        *,
        listening: bool,
        graceful_timeout: float | None = None,
        instruments: Sequence[Instrument] = (),
    ) -> None:
        self.around = around
        self.instruments = Instruments(
            [*instruments, *around.options.instruments],
            Place(broker=around.kind.name, server=around.kind.url),
        )
        """What is put around handlers, and around whatever is sent."""
        self.adapter = adapter
        self._connection: Connection[Any, Any] | None = None
        self.way: Send | None = None
        """`send`, where there is a connection."""
        self._loop = current_token()
        self._listening = listening
        total = around.options.graceful_timeout if graceful_timeout is None else graceful_timeout
        self.drain = HANDLERS * total
        """Seconds that handlers have to finish when they are stopped."""
        self.failures: list[Exception] = []
        """What failed in actors that were asked to stop."""
        self._targets: dict[object, tuple[Any, Chain]] = {}
        """Where publishers lead, and through what."""
        around.out.chain = around.chain()
        self.subscriptions = Subscriptions(self)
        if listening:  # what can't work is found before anything is connected
            self.subscriptions.assemble()
        services = [self._service(each) for each in around.services]
        self._services = Services([*filter(None, services)], self.drain, around.events)
        beside = ChildSpec("services", self._services.run, drain=inf)
        self.scope = Supervisor(
            [
                ChildSpec("connection", self._connect, start_timeout=inf),
                # It ends alone when all are stopped, and then stays ended; or when a subscription
                # has said that all is to end: nothing would help.
                ChildSpec(
                    "subscriptions",
                    self.subscriptions.run,
                    restart="transient",
                    drain=inf,
                    start_timeout=inf,
                    decide=[(GaveUp, Decision.ESCALATE)],
                ),
                *([beside] if any(services) else []),
            ],
            "rest_for_one",
            intensity=1,
            period=60.0,
            name=around.name,
            notify=around.events,
        )

    @property
    def listening(self) -> bool:
        """Whether the subscribers that start with the broker are to run."""
        return self._listening

    @property
    def connection(self) -> Connection[Any, Any]:
        """The connection.

        Raises:
            NotRunning: There is none at the moment.
        """
        return self._here(self._connection)

    @property
    def send(self) -> Send:
        """The way out of the connection.

        Raises:
            NotRunning: There is no connection at the moment.
        """
        return self._here(self.way)

    def view(self) -> View:
        """Return what there is to see of it, called from any thread.

        Raises:
            NotRunning: Its event loop has ended.
        """
        return seen_from(self._loop, lambda: View(tree=self.tree(), now=anyio.current_time()))

    def tree(self) -> Node:
        """Return its supervision tree as plain data."""
        return self.scope.tree()

    @property
    def awaited(self) -> bool:
        """Whether more of its subscriptions are about to start."""
        return self.subscriptions.awaited

    async def listen(self) -> None:
        """Start what starts with the broker; return when it is up."""
        self._listening = True
        await self._prepare(self.connection)
        await self.subscriptions.start_all()
        self._services.begin()

    async def start(self, declaration: object, /) -> None:
        """Start a subscriber alone; return when it is up."""
        await self.subscriptions.start(declaration)

    async def stop(self, declaration: object, /) -> None:
        """Stop a subscriber alone, in good order; nothing, if it does not run."""
        await self.subscriptions.stop(declaration)

    def retire(self, declaration: object, /) -> None:
        """Have a subscriber stop, whose handler has said so; return at once."""
        self.subscriptions.retire(declaration, self.drain)

    def running(self, declaration: object, /) -> bool:
        """Whether a subscriber is up, and nobody stops it."""
        return self.subscriptions.running(declaration)

    def reader(self, declaration: object, /) -> Callable[[], Awaitable[Message]]:
        """Return what waits for the next message of a subscriber that is read by hand."""
        active = self.subscriptions.active(declaration)
        if not isinstance(active, Reading):
            raise DeclarationError("the subscriber was started with a handler")
        return active.take

    def subscription(self, declaration: object, /) -> Subscription:
        """Return what the adapter reads with."""
        return self.subscriptions.active(declaration).subscription

    async def publish(
        self, declaration: object, message: object, options: PublishOptions, aim: Aim, /
    ) -> object:
        """Publish *message* to where a publisher leads; return the receipt when the broker has it."""
        target, chain = self._target_of(declaration)
        return await self.around.out.publish_through(chain, message, aim(target), options)

    async def publish_batch(
        self, declaration: object, messages: Sequence[object], options: PublishOptions, aim: Aim, /
    ) -> None:
        """Publish *messages* at once; return when the broker has them all."""
        target, chain = self._target_of(declaration)
        await self.around.out.publish_batch(messages, aim(target), options, chain=chain)

    async def request(
        self,
        declaration: object,
        message: object,
        options: PublishOptions,
        aim: Aim,
        timeout: float,  # noqa: ASYNC109 - travels with the request
        /,
    ) -> Message:
        """Publish *message* and return the answer to it."""
        target, chain = self._target_of(declaration)
        return await self.around.out.request(message, aim(target), options, timeout, chain)

    async def _prepare(self, connection: Connection[Any, Any]) -> None:
        """Have there what is published to, and what is read from the start on."""
        if isinstance(connection, Preparing):
            subscribers = self.around.subscribers() if self._listening else ()
            sources = [each.source for each in subscribers if each.declaration.options.persistent]
            targets = [each.target for each in self.around.publishers()]
            if self.around.kind.makes_dead_letters:
                targets += filter(None, map(self._grave, subscribers))
            await connection.prepare(sources, targets)  # pyright: ignore[reportUnknownMemberType] - isinstance can't say of what

    @staticmethod
    def _service(service: Service) -> Service | None:
        """Return what runs of *service* here; None: nothing."""
        return service

    def _grave(self, placed: PlacedSubscriber) -> Any:
        """Return where the dead letters of *placed* go; None: it has no address for them."""
        options = resolve(placed.declaration.options, *placed.scopes, self.around.options)
        if options.dead_letter is None:
            return None
        address = options.dead_letter.replace("{address}", placed.source.address)
        return self.around.kind.dead_letter(address, placed.source)

    def _target_of(self, publisher: object) -> tuple[Any, Chain]:
        if publisher not in self._targets:  # it was declared since
            placed: Sequence[PlacedPublisher] = self.around.publishers()
            self._targets = {
                each.declaration: (each.target, self._through(each)) for each in placed
            }
        return self._targets[publisher]

    def _through(self, placed: PlacedPublisher) -> Chain:
        return self.around.chain(placed.scopes, codec=placed.declaration.options.codec)

    def _here(self, part: T | None) -> T:
        if part is None:
            raise NotRunning(f"{self.around.name} is not connected at the moment")
        return part

    async def _connect(self, child: Child) -> None:
        child.details = self.around.loss
        with child.unless_stopped(), child.until_deadline():
            await self._hold(child)

    async def _hold(self, child: Child) -> None:
        async with self.adapter.connect() as connection:
            await self._prepare(connection)
            self._connection = connection
            direct = straight(connection, self.around.out.unanswered)
            self.way = self.instruments.around_send(direct)
            try:
                child.ready()
                await child.stopping()
            finally:
                self._connection = self.way = None


async def stop_subscriptions(runtimes: Sequence[Runtime], deadline: float) -> None:
    """Stop all intakes, and finish what is in hand by *deadline*, before any connection closes.

    So no handler meets a broker that is not there any more.
    """
    async with anyio.create_task_group() as group:
        for runtime in runtimes:
            group.start_soon(runtime.subscriptions.stop_all, deadline)


def is_lost(error: Exception) -> bool:
    """Whether a broker has ended because of its subscriptions: to start it anew would not help."""
    return isinstance(error, GaveUp) and isinstance(error.__cause__, GaveUp)
