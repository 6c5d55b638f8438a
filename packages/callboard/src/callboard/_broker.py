"""A broker: declarations, and the way to start them, stop them and publish."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from operator import itemgetter
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import anyio

from callboard_actors import Child, Node
from callboard_brokers import Adapter, Connection, Message, can_request
from callboard_brokers.events import Event as AdapterEvent
from callboard_di import Overrides
from callboard_validation import Codec

from ._context import ContextRepo
from ._errors import DeclarationError, NotRunning, RequestFailed
from .declare._broker_kind import BrokerKind
from .declare._live import Live
from .declare._options import DEFAULT_SUPERVISION, BrokerOptions, PublishOptions
from .declare._publisher import PlacedPublisher, Publisher
from .declare._router import Router
from .declare._subscriber import PlacedSubscriber
from .events import AnswerWithheld, Event, ServerFound, ServerLost
from .handle._envelope import content_type_of, envelope, identities
from .handle._outcome import FAILURE_HEADER
from .handle._output import Output, Send
from .run._host import Host
from .run._runtime import Runtime
from .run._surroundings import Surroundings
from .watch._bus import Bus
from .watch._log import Log
from .watch._observer import Observer
from .watch._view import View, unready

T = TypeVar("T")


class Broker(Router, Generic[T]):
    """Subscribers and publishers of one broker.

    `async with broker:` connects, so that one can publish; `await broker.start()` starts the
    subscribers too; `await broker.stop()`, or the end of the block, stops both. They may be called
    from any task, and again. In an `App`, the application does it.
    """

    complete = True

    def __init__(
        self, adapter: Adapter[Any, T], kind: BrokerKind[T], options: BrokerOptions
    ) -> None:
        super().__init__()
        self.check_dead_letter(options)
        self.codec = options.codec
        self.identify = identities()
        self.adapter = adapter
        self.kind = kind
        self.options = options
        self.name = kind.name
        self.logger = options.logger or logging.getLogger(f"callboard.{kind.name}")
        self.events = Bus(self.logger)
        self._answers = _allowing(options.reply_to)
        self.loss: Mapping[str, object] = {}
        """Since when its server is away, where that is, and why; empty while it is there."""
        self.events.subscribe(self._heed)
        self.events.subscribe(Log(self.logger))
        self.provider = Overrides()
        self.context = options.context if options.context is not None else ContextRepo()
        for key, value in {"broker": self, "logger": self.logger, "context": self.context}.items():
            self.context.set_global(key, value)
        self.fallback = DEFAULT_SUPERVISION
        """What supervises workers of which neither a subscriber nor the broker says anything."""
        self.companions: Sequence[Broker[Any]] = [self]
        """Those of the same application, itself among them."""
        self.runtime: Runtime | None = None
        self._host: Host | None = None

    @property
    def running(self) -> bool:
        """Whether it is connected and its supervisor has not given up."""
        return self.runtime is not None and (self._host is None or self._host.running)

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
            return unready(self.view())
        except NotRunning:
            return [f"{self.name} is not running"]

    def view(self) -> View:
        """Return what there is to see of it, asked from any thread.

        Raises:
            NotRunning: The broker was not started, or is stopped.
        """
        return self.started.view()

    @property
    def connection(self) -> Connection[Any, T]:
        """The connection of the running broker.

        Raises:
            NotRunning: The broker was not started, or is stopped.
        """
        return self.started.connection

    async def connect(self) -> None:
        """Connect, without starting the subscribers.

        Raises:
            NotRunning: It is being stopped, or was stopped meanwhile.
        """
        await self._run(listening=False)

    async def start(self) -> None:
        """Connect, and start the subscribers; return when all are up.

        Beside another start it waits for the same. What fails, or is cancelled, undoes what was
        started for nobody else. One that has given up starts anew.

        Raises:
            DeclarationError: A handler asks for what nobody can give.
            NotRunning: It is being stopped, or was stopped meanwhile.
            Exception: What an actor raised that can't be made, or can't start.
        """
        await self._run(listening=True)

    async def stop(self) -> None:
        """Stop in good order: the intake, the workers when nothing is left, the connection.

        Raises:
            StopTimedOut: Something outlived `graceful_timeout` and its cancellation.
            GaveUp: It had ended before, by too many crashes.
        """
        host = self._host
        if host is None:
            return
        try:
            await host.stop(self.options.graceful_timeout)
        finally:
            self._forget(host)
        if host.failure is not None:
            raise host.failure

    async def ping(self) -> None:
        """Return once the broker has answered."""
        await self.connection.ping()

    async def send(self, message: object, target: T, options: PublishOptions) -> Any:
        """Encode *message* and publish it to *target*; return the receipt when the broker has it."""
        return await self._leave([Output(self, target, self.envelope(message, options), "own")])

    async def send_all(self, messages: Sequence[tuple[Message, T]]) -> None:
        """Publish encoded *messages*, each to its target; return when the broker has them all.

        If one fails, the broker may have others.
        """
        for target, group in groupby(messages, itemgetter(1)):
            await self._leave([Output(self, target, message, "own") for message, _ in group])

    async def ask(
        self,
        message: object,
        target: T,
        options: PublishOptions,
        timeout: float,  # noqa: ASYNC109 - travels with the request
    ) -> Message:
        """Publish *message* and return the answer to it.

        Raises:
            RequestTimeout: None came within *timeout* seconds.
            RequestFailed: The handler that was asked has failed.
        """
        if not can_request(self.connection):
            raise DeclarationError(f"{self.name} has no way to wait for an answer")
        request = self.envelope(message, options)
        asking = Output(self, target, request, "own", timeout=timeout)
        answer: Message = await self._leave([asking])
        if (kind := answer.headers.get(FAILURE_HEADER)) is not None:
            raise RequestFailed(str(kind), answer.body.decode(errors="replace"))
        answer.binding = _Plain(self.codec)
        return answer

    @property
    def way_out(self) -> Send:
        """What brings outputs to it.

        Raises:
            NotRunning: It is not connected.
        """
        return self.started.send

    def letter(self, source: Any, address: str, message: Message) -> Output:
        """Return *message*, which came from *source*, as a dead letter to *address*."""
        return Output(self, self.kind.dead_letter(address, source), message, "dead letter")

    def answer(self, reply_to: str) -> T | None:
        """Return where the answer to *reply_to* goes; None: none may go there."""
        if not self._answers(reply_to):
            reason = f"{self.name} was told reply_to={self.options.reply_to!r}"
            self.events(AnswerWithheld(self.name, reply_to, reason))
            return None
        return self.kind.answer(reply_to)

    def tree(self) -> Node:
        """Return the supervision tree as plain data."""
        return self.started.tree()

    @property
    def live(self) -> Live:
        """What runs behind it, to its declarations.

        Raises:
            NotRunning: The broker was not started, or is stopped.
        """
        return self.started

    def surroundings(self) -> Surroundings:
        """Return what running needs of it."""
        return Surroundings(
            name=self.name,
            kind=self.kind,
            options=self.options,
            context=self.context,
            overrides=self.provider,
            logger=self.logger,
            events=self.events,
            identify=self.identify,
            sender=self,
            letter=self.letter,
            supervision=self.fallback,
            subscribers=partial(self.placed, PlacedSubscriber),
            publishers=partial(self.placed, PlacedPublisher),
            home=self._home,
            companions=self._companions,
            loss=lambda: self.loss,
        )

    def _home(self, publisher: Publisher[Any]) -> tuple[Surroundings, Any]:
        """Return whose *publisher* is: this broker's, if it is among what is declared here."""
        brokers: list[Broker[Any]] = [self]
        if isinstance(root := publisher.outlet.root, Broker):
            brokers.append(root)  # pyright: ignore[reportUnknownArgumentType] - isinstance can't say of what
        for broker in brokers:
            for each in broker.placed(PlacedPublisher):
                if each.declaration is publisher:
                    return broker.surroundings(), each.target
        raise DeclarationError(
            f"the router of the publisher to {publisher.target!r} belongs to no broker yet"
        )

    def _companions(self) -> Sequence[Runtime]:
        return [each.runtime for each in self.companions if each.runtime is not None]

    def attach(
        self,
        adapter: Adapter[Any, T],
        *,
        listening: bool,
        graceful_timeout: float | None = None,
    ) -> Runtime:
        """Put a runtime with *adapter* in the place from which this broker will act.

        For whoever runs it: an application, which has a *graceful_timeout* for all of its brokers,
        or the broker itself.

        Raises:
            DeclarationError: It is running, or a declaration can't work.
        """
        return self.install(
            Runtime(
                self.surroundings(),
                adapter,
                listening=listening,
                graceful_timeout=graceful_timeout,
            )
        )

    def install(self, runtime: Runtime) -> Runtime:
        """Act through *runtime* from now on."""
        if self.runtime is not None:
            raise DeclarationError(f"{self.name} is running already; stop it first")
        self.runtime = runtime
        return runtime

    def detach(self) -> None:
        """Take the runtime away, once it has ended."""
        self.runtime = None
        self.loss = {}

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _run(self, *, listening: bool) -> None:
        """Begin to run, or to run whole, unless it does so already."""
        host = self._host_of_now(listening=listening)
        if host is None:  # an application or a test runs it
            if listening:
                await self.started.subscriptions.start_all()
            return
        try:
            async with host.claim():
                if self._host is not host or host.over:
                    raise NotRunning(f"{self.name} was stopped before it was up")
                if listening:
                    await self.started.subscriptions.start_all()
        finally:
            if host.over:
                self._forget(host)

    def _host_of_now(self, *, listening: bool) -> Host | None:
        """Return what runs it, made now if nothing does; None: somebody else has attached it."""
        host = self._host
        if host is not None and host.over:
            self._forget(host)
        elif host is not None and host.stopping:
            raise NotRunning(f"{self.name} is being stopped; start it again when that has returned")
        if self.runtime is None:
            runtime = self.attach(self.adapter, listening=listening)
            self._host = Host(partial(self._watched, runtime))
        return self._host

    async def _leave(self, outputs: Sequence[Output]) -> Any:
        """Send *outputs* of one's own accord; return the receipt when they have arrived."""
        sent = await self.way_out(outputs, None)
        return await sent.wait()

    def hear(self, event: AdapterEvent) -> None:
        """Tell what its adapter tells; this is the `notify` of that."""
        self.events(replace(event, path=self.name, at=anyio.current_time()))

    def _heed(self, event: Event) -> None:
        if isinstance(event, ServerLost):
            self.loss = {"lost_at": event.at, **event.attributes}
        elif isinstance(event, ServerFound):
            self.loss = {}

    async def _watched(self, runtime: Runtime, child: Child) -> None:
        """Run, and see meanwhile who keeps the event loop from turning."""
        buses = {self.name: self.events}
        observer = Observer(runtime.tree, buses, logger=self.logger)
        with observer.watchdog().watching():
            await runtime.scope.run(child)

    def _forget(self, host: Host) -> None:
        if self._host is host:
            self._host = None
            self.detach()

    @property
    def started(self) -> Runtime:
        """What runs behind it.

        Raises:
            NotRunning: The broker was not started, or is stopped.
        """
        if self.runtime is None:
            raise NotRunning(
                f"{self.name} is not running: `await broker.start()`, or run the App, before you"
                " publish; after a stop nothing is published any more"
            )
        return self.runtime

    def envelope(self, message: object, options: PublishOptions) -> Message:
        """Return the message that carries *message*, encoded."""
        return envelope(message, options, self.codec.encode, self.identify)


def _allowing(patterns: str | Sequence[str] | None) -> Callable[[str], bool]:
    """Return what tells whether an address is one of *patterns*.

    Raises:
        DeclarationError: They are no texts.
    """
    if patterns is None:
        return lambda _: True
    listed: Sequence[Any] = [patterns] if isinstance(patterns, str) else patterns
    parts: list[str] = []
    for each in listed:
        if not isinstance(each, str):
            raise DeclarationError(
                f"reply_to={patterns!r} of a broker: give addresses, with * for any text"
            )
        parts.append(".*".join(map(re.escape, each.split("*"))))
    fullmatch = re.compile("|".join(parts), re.DOTALL).fullmatch
    return lambda address: fullmatch(address) is not None


class _Plain:
    """Reads answers, which belong to no subscription."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    def decode(self, message: Message, /) -> object:
        return self._codec.decode(message.body, content_type_of(message))

    async def reject(self, message: Message, /) -> None:
        """Do nothing: an answer is nobody's to settle."""
