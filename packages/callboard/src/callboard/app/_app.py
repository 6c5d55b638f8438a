"""An application: brokers, hooks around their life, and one deadline for the end of it all."""

from __future__ import annotations

import logging
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeVar

import anyio
from anyio.lowlevel import EventLoopToken, current_token

from callboard._broker import Broker
from callboard._caller import caller
from callboard._context import ContextRepo
from callboard._errors import DeclarationError, NotRunning, StopApplication, StopTimedOut
from callboard._logger import LoggerProto, logger_of, shown
from callboard.app._hooks import Hook, Hooks, Lifespan
from callboard.app._last_resort import LastResort, abandon, obeying
from callboard.app._life import Life, Phases
from callboard.declare._checks import check_provider, check_serializer
from callboard.declare._handler import signature_of
from callboard.declare._options import UNSET, Unset
from callboard.events import Event, HandlerDecided, Notify
from callboard.run._host import Host
from callboard.run._slot import running
from callboard.specification import AsyncAPI
from callboard.watch._inspect import Inspection
from callboard.watch._observer import OFTEN, SELDOM, SLOW, Observer
from callboard.watch._view import View, seen_from, unready
from callboard_actors import ChildSpec, Node, Supervision
from callboard_brokers.kit import hinted
from callboard_di import Overrides
from callboard_validation import Serializer

H = TypeVar("H", bound=Hook)


@hinted()
class App:
    """Runs brokers: by `await app.run()`, by `start` and `stop`, or from the command line.

    Its life: lifespan, `on_startup`, the brokers, `after_startup` … `on_shutdown`, the brokers,
    `after_shutdown`, lifespan. The shutdown hooks follow once the brokers have been up. One that
    fails keeps nothing else from shutting down; the first such failure is raised at the end.

    Args:
        brokers: Independent of each other: the end of one is not the end of the others' tree.
        lifespan: Entered before everything else, left after everything else. It and the hooks
            may ask for what is in the context, `ContextRepo` itself included.
        on_startup: More may be added by the decorator of the same name; so for the other hooks.
        after_startup: When all brokers are up.
        on_shutdown: While all brokers are still up.
        after_shutdown: When all brokers are down.
        graceful_timeout: Seconds in which a stop has to be done, for all brokers together. What is
            unfinished then is cancelled, and delivered again by brokers that can.
        supervision: How often workers may crash, and what is a crash, where neither the subscriber
            nor its broker says it.
        context: Values for handlers and hooks, seen by all brokers.
        provider: What stands in for dependencies, of hooks, and of handlers where their broker's
            says nothing.
        serializer: By which library values are validated, on brokers that don't say otherwise; None:
            they stay as they were decoded.
        logger: A `logging.Logger`, or any object with a method `log(level, line)`. None: nothing
            is written. Unless given: the logger of the name `callboard`.
        title: For the AsyncAPI document, like `version` and `description`.
        version: Of the application.
        description: Of the application; may be Markdown.
        inspect: The Unix socket at which `callboard tree` and `callboard top` may look at it.
        slow: Seconds after which a message in hand is reported as `handler.slow`.
        specification: What the document is made from; None: of the title and what follows it.

    Raises:
        DeclarationError: An option makes no sense, or a broker is there twice.
    """

    def __init__(  # noqa: PLR0913 - an application's options, by name
        self,
        *brokers: Broker[Any],
        lifespan: Lifespan | None = None,
        on_startup: Sequence[Hook] = (),
        after_startup: Sequence[Hook] = (),
        on_shutdown: Sequence[Hook] = (),
        after_shutdown: Sequence[Hook] = (),
        graceful_timeout: float = 25.0,
        supervision: Supervision | None = None,
        context: ContextRepo | None = None,
        provider: Overrides | None = None,
        serializer: Serializer | Unset | None = UNSET,
        logger: LoggerProto | Unset | None = UNSET,
        title: str = "Callboard",
        version: str = "0.1.0",
        description: str | None = None,
        inspect: str | Path | None = None,
        slow: float = SLOW,
        specification: AsyncAPI | None = None,
    ) -> None:
        self._specification = specification
        if not slow > 0:
            raise DeclarationError(f"slow={slow!r} of an application must be seconds, more than 0")
        if not isinstance(supervision, Supervision | None):  # pyright: ignore[reportUnnecessaryIsInstance] - of those who use no checker
            raise DeclarationError(
                f"supervision={supervision!r} of an application must be a"
                " Supervision(intensity, period)"
            )
        self._place = caller()
        self.supervision = supervision
        self.serializer = serializer
        self.brokers: list[Broker[Any]] = []
        self.graceful_timeout = graceful_timeout
        self.context = context if context is not None else ContextRepo()
        given = logging.getLogger("callboard") if logger is UNSET else logger
        self.logger = logger_of(given, "an application")
        check_provider(provider, "an application")
        check_serializer(serializer, "an application", UNSET)
        self.provider = Overrides() if provider is None else provider
        self.title = title
        self.version = version
        self.description = description
        self.inspect = inspect
        self.slow = slow
        named = {"app": self, "context": self.context, "logger": shown(self.logger)}
        for key, value in named.items():
            self.context.set_global(key, value)
        self.hard_stop: int | None = None
        """The signal that stopped the last `run` hard; None if none did."""
        self.stop_signal: int | None = None
        """The signal that told the last `run` to stop; None if none did."""
        self._phases = Phases(
            lifespan=None if lifespan is None else signature_of(lifespan),
            on_startup=[signature_of(hook) for hook in on_startup],
            after_startup=[signature_of(hook) for hook in after_startup],
            on_shutdown=[signature_of(hook) for hook in on_shutdown],
            after_shutdown=[signature_of(hook) for hook in after_shutdown],
        )
        self._life: Life | None = None
        self._host: Host | None = None
        self._loop: EventLoopToken | None = None
        self._observer: Observer | None = None
        self._exits_at_once = False
        for broker in brokers:
            self.add_broker(broker)

    def __repr__(self) -> str:
        brokers = ", ".join(map(repr, self.brokers)) or "no broker"
        return f"<{type(self).__name__} {self.title!r} of {brokers}>"

    def add_broker(self, broker: Broker[Any]) -> None:
        """Let *broker* run with the application.

        Raises:
            DeclarationError: It is here already, or the brokers have started.
        """
        if not isinstance(broker, Broker):  # pyright: ignore[reportUnnecessaryIsInstance] - of those who use no checker
            raise DeclarationError(
                f"the application of {self._place} is given {broker!r}, which is no broker: make one,"
                " KafkaBroker(...), and give that"
            )
        if broker in self.brokers:
            raise DeclarationError(f"{broker.name} is in the application already; add it once")
        if self._life is not None and self._life.tree() is not None:
            raise DeclarationError(f"the application runs without {broker.name}; add it before")
        self.brokers.append(broker)
        broker.context.widen(self.context)
        broker.provider.widen(self.provider)
        slot = broker.slot
        options = slot.around.options
        if options.serializer is UNSET:
            options = replace(options, serializer=self.serializer)
        slot.around = replace(
            slot.around,
            options=options,
            supervision=self.supervision or slot.around.supervision,
            version=self.version,
            companions=lambda: running([each.slot for each in self.brokers]),
        )
        broker.events.subscribe(self._heed)

    @property
    def broker(self) -> Broker[Any] | None:
        """The first of its brokers; None: it has none yet."""
        return self.brokers[0] if self.brokers else None

    @property
    def schema(self) -> AsyncAPI:
        """What its document is made from, with all of its brokers."""
        said = self._specification
        if said is None:
            said = AsyncAPI(title=self.title, version=self.version, description=self.description)
        for broker in self.brokers:
            said.add_broker(broker)
        return said

    @property
    def options(self) -> set[str] | None:
        """The names of the options that its start takes; None: any."""
        first = [each for each in (self._phases.lifespan, *self._phases.on_startup) if each]
        parameters = [each for hook in first for each in hook.parameters if each.marker is None]
        if any(each.kind is each.kind.VAR_KEYWORD for each in parameters):
            return None
        return {each.name for each in parameters}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def running(self) -> bool:
        """Whether it has started, hooks included, and has not ended."""
        return self._host is not None and self._host.running

    @property
    def ready(self) -> bool:
        """Whether it may be sent traffic: nothing is `unready`. To be asked from any thread."""
        return not self.unready

    @property
    def unready(self) -> list[str]:
        """Why it is not ready, a line for each reason; to be asked from any thread.

        It starts or stops, or one of its brokers is not ready. If others run the brokers and not
        it, that alone counts.
        """
        if not self.brokers:
            return ["the application has no broker"]
        if self._host is None:
            return [reason for broker in self.brokers for reason in broker.unready]
        try:
            return unready(self.view())
        except NotRunning:
            return ["the application is not running"]

    def view(self) -> View:
        """Return what there is to see of it, asked from any thread.

        Raises:
            NotRunning: It was not started, or has stopped.
        """
        if self._loop is None or self._host is None:
            raise NotRunning("the application is not running, so that there is nothing to see")
        return seen_from(self._loop, self._look)

    def on_startup(self, hook: H) -> H:
        """Call *hook* before the brokers start."""
        self._phases.on_startup.append(signature_of(hook))
        return hook

    def after_startup(self, hook: H) -> H:
        """Call *hook* when all brokers are up."""
        self._phases.after_startup.append(signature_of(hook))
        return hook

    def on_shutdown(self, hook: H) -> H:
        """Call *hook* before the brokers stop."""
        self._phases.on_shutdown.append(signature_of(hook))
        return hook

    def after_shutdown(self, hook: H) -> H:
        """Call *hook* when all brokers are down."""
        self._phases.after_shutdown.append(signature_of(hook))
        return hook

    async def start(self, **options: object) -> None:
        """Start everything; return when it is up, or over because `exit` was called meanwhile.

        The lifespan and `on_startup` take *options* by name, as their annotations say.

        What fails undoes what had been started. A broker that runs already, under test for
        example, is left to whoever started it.

        Raises:
            DeclarationError: A declaration can't work, or it runs already.
            NotRunning: It is being stopped.
            StartupValidationError: Options are missing, or not valid.
            Exception: Whatever a hook or a broker raised.
        """
        host = self._host
        if host is not None and host.stopping:
            raise NotRunning(
                "the application is being stopped; start it again when that has returned"
            )
        if host is not None and not host.over:
            raise DeclarationError("the application is running already; stop it first")
        hooks = Hooks(self.context, self.provider, self.logger, options)
        self._life = Life(self._phases, hooks, self.brokers, self.graceful_timeout, self._beside)
        host = self._host = Host(self._life.run)
        self._loop, self._observer = current_token(), None
        try:
            await host.start()
        except BaseException:
            self._forget(host)
            raise

    async def stop(self) -> None:
        """Stop everything in good order, within `graceful_timeout`; nothing where nothing runs.

        If cancelled, it stops hard.

        Raises:
            StopTimedOut: Something outlived its cancellation.
            Exception: What a shutdown hook or an actor's `on_stop` raised, or what had ended the
                tree before.
        """
        host = self._host
        if host is None:
            return
        try:
            await host.stop(self.graceful_timeout)
        finally:
            self._forget(host)
        if host.failure is not None:
            raise host.failure

    def exit(self) -> None:
        """Begin to stop in good order, and return. Called before `run`, it lets that only start.

        It may be called from any thread, and from a signal handler.
        """
        if (host := self._host) is not None:
            host.ask_soon(self.graceful_timeout)
        else:
            self._exits_at_once = True

    async def run(
        self,
        log_level: int | None = None,
        run_extra_options: Mapping[str, object] | None = None,
    ) -> None:
        """Start, wait for SIGINT, SIGTERM or `exit`, and stop; it owns the process meanwhile.

        *run_extra_options* are those of the start; *log_level* is that of the logger (None: as it
        is).

        A second signal stops hard: what runs is cancelled at once. Should something outlive even
        that, or block the event loop, the process ends with status 70, since nothing else would
        end it; see `graceful_timeout`. Only the main thread may run it.

        Raises:
            DeclarationError: It has no broker.
            Exception: What kept it from starting, or what ended it: a supervisor that gave up.
        """
        if not self.brokers:
            raise DeclarationError(
                f"the application of {self._place} has no broker to run: App(broker), or"
                " app.add_broker(broker)"
            )
        if log_level is not None:
            self.logger.setLevel(log_level)
        self.hard_stop = self.stop_signal = None
        loop = current_token().native_token
        with obeying(loop, self.logger, lambda: self.graceful_timeout, self._obey) as last_resort:
            try:
                await self._run(last_resort, run_extra_options or {})
            except StopTimedOut as error:
                abandon(self.logger, f"{error}; the process ends")
            finally:
                self._exits_at_once = False

    def _look(self) -> View:
        samples = self._observer.samples if self._observer is not None else {}
        return View(tree=self._whole(), now=anyio.current_time(), samples=samples)

    async def _shown(self) -> View:
        return self._look()

    def _whole(self) -> Node:
        """Return the tree with the brokers that others run."""
        host, life = self._host, self._life
        node = life.tree() if life is not None else None
        if host is None or life is None or node is None:
            return Node("app", "supervisor", "starting")
        elsewhere = [
            runtime.tree()
            for runtime in running([broker.slot for broker in self.brokers])
            if not life.runs(runtime)
        ]
        state = node.state
        if state == "running" and not host.running:
            state = "starting"
        if state == "running" and host.stopping:
            state = "stopping"
        return replace(node, state=state, children=(*node.children, *elsewhere))

    def tree(self) -> Node:
        """Return the supervision tree as plain data.

        Raises:
            NotRunning: The brokers have not begun to start, or have stopped.
        """
        node = self._life.tree() if self._life is not None else None
        if node is None:
            raise NotRunning("the application is not running, so that there is no tree")
        return node

    def _beside(self, buses: Mapping[str, Notify]) -> Sequence[ChildSpec]:
        every = OFTEN if self.inspect is not None else min(SELDOM, self.slow / 8)
        self._observer = Observer(self.tree, buses, logger=self.logger, slow=self.slow, every=every)
        beside = [ChildSpec("observer", self._observer.run)]
        if self.inspect is not None:
            inspection = Inspection(Path(self.inspect), self._shown)
            beside.append(ChildSpec("inspection", inspection.run))
        return beside

    async def _run(self, last_resort: LastResort, options: Mapping[str, object]) -> None:
        await self.start(**options)
        try:
            if self._exits_at_once:
                self.exit()
            if self._host is not None:
                await self._host.ending()
        finally:
            last_resort.within(self.graceful_timeout)
            await self.stop()

    def _obey(self, number: signal.Signals) -> None:
        if self.stop_signal is not None and self._host is not None:
            self.logger.warning("%s again: stopping hard", number.name)
            self.hard_stop = number
            self._host.ask(0)
        else:
            self.logger.info("%s: stopping", number.name)
            self.exit()
        self.stop_signal = self.stop_signal or number

    def _forget(self, host: Host) -> None:
        """Let go of *host*, which has ended; not of one that was started since."""
        if self._host is host:
            self._host = self._life = None
            self._exits_at_once = False

    def _heed(self, event: Event) -> None:
        is_told = isinstance(event, HandlerDecided) and isinstance(event.error, StopApplication)
        if is_told and self._host is not None:
            self.exit()
