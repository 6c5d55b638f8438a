"""A broker under test: its own declarations, on the memory adapter with its own routing.

Nothing is patched. The broker acts through another runtime until the test is over: groups,
settlement, redelivery and delays are those of the broker in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import inf
from typing import Any, Generic, TypeVar, overload

from anyio import current_time, move_on_after

from callboard._broker import Broker
from callboard._errors import DeclarationError
from callboard.declare._codec import plain
from callboard.declare._recorded import Recorded
from callboard.instruments import Handle, Instrument, OnOutcome, Place, Send
from callboard.run._host import Host
from callboard.run._runtime import Runtime, stop_subscriptions
from callboard.run._services import Service
from callboard.run._surroundings import Surroundings
from callboard_actors import Child, ChildSpec, Supervisor
from callboard_brokers.events import Event as AdapterEvent
from callboard_brokers.kit import hinted
from callboard_brokers.memory import Memory

from ._connection import WatchedConnection, awaiting, recording
from ._quiescence import INSIDE, Quiescence
from ._recorder import CallRecorder

B = TypeVar("B", bound=Broker[Any])
C = TypeVar("C", bound=Broker[Any])
Yields = TypeVar("Yields")


@hinted()
class TestBroker(Generic[Yields]):
    """Run brokers in memory: `async with TestBroker(broker) as broker:`.

    `publish` returns when everything that it caused has settled, and raises what a handler
    raised; a message that was nacked counts as settled until its redelivery is due, and so does
    one that was left unsettled on purpose. Publishing inside a handler waits for nothing.
    `request` waits as well; it raises `RequestFailed` for a handler that failed.
    Handlers and publishers have a `mock` meanwhile.

    Several brokers of one kind share one memory, so that messages pass between them; those of
    another kind are another server, as they are in production. Whichever they are, and entered
    here or one after another, a `publish` waits for what it causes on all of them.

    Args:
        with_real: Leave the brokers to their servers: only calls are remembered. A `publish`
            returns when the server has the message; `wait_call` waits for the handler.
        connect_only: Do not start the subscribers yet: `await broker.start()` does, or a
            `TestApp` after the hooks that prepare their context.

    Attributes:
        memory: The broker in memory that stands in for the first of them and for all of its kind,
            with its statistics and dead letters.
    """

    __test__ = False  # pytest takes every class named Test… for a test

    @overload
    def __init__(
        self: TestBroker[B],
        broker: B,
        /,
        *,
        with_real: bool = False,
        connect_only: bool | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: TestBroker[tuple[B, C]],
        one: B,
        two: C,
        /,
        *,
        with_real: bool = False,
        connect_only: bool | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: TestBroker[tuple[B, ...]],
        *brokers: B,
        with_real: bool = False,
        connect_only: bool | None = None,
    ) -> None: ...
    def __init__(
        self, *brokers: Any, with_real: bool = False, connect_only: bool | None = None
    ) -> None:
        if not brokers:
            raise DeclarationError("a TestBroker of no brokers tests nothing; give it one or more")
        self._brokers: tuple[Broker[Any], ...] = brokers
        self._is_real = with_real
        self._listening = not connect_only
        self._undo: list[Callable[[], object]] = []
        self._host: Host
        self._runtimes: list[Runtime] = []
        self.memory: Memory

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(map(repr, self._brokers))}>"

    async def __aenter__(self) -> Yields:
        try:
            self._runtimes = self._real() if self._is_real else self._in_memory()
            children = [
                ChildSpec(f"{runtime.around.name}-{n}", runtime.scope.run, drain=inf)
                for n, runtime in enumerate(self._runtimes, 1)
            ]
            self._host = Host(partial(_inside, Supervisor(children, name="test")))
            async with self._host.claim():
                for runtime in self._runtimes if self._listening else ():
                    await runtime.listen()
        except BaseException:
            self._restore()
            raise
        yields: Any = self._brokers[0] if len(self._brokers) == 1 else self._brokers
        return yields  # type: ignore[no-any-return] # which of the two, the overloads say

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        try:
            # A test that failed waits for no handler: it may be the reason why none will end.
            timeout = self._brokers[0].slot.around.options.graceful_timeout if error is None else 0
            began = current_time()
            with move_on_after(timeout):
                await stop_subscriptions(self._runtimes, began + timeout)
            await self._host.stop(began + timeout - current_time())
        finally:
            self._restore()
        failures = [self._host.failure, *(each for one in self._runtimes for each in one.failures)]
        failure = next((each for each in failures if each is not None), None)
        if error is None and failure is not None:
            raise failure

    def _real(self) -> list[Runtime]:
        """Let each broker act as ever, with recorders under its handlers and publishers."""
        runtimes: list[Runtime] = []
        for broker in self._brokers:
            self._record(broker)
            around, adapter = broker.slot.around, broker.slot.adapter
            looking = [_Recording(around)]
            runtimes.append(
                Runtime(around, adapter, listening=self._listening, instruments=looking)
            )
            self._install(broker, runtimes[-1])
        return runtimes

    def _in_memory(self) -> list[Runtime]:
        """Let the brokers act in memory, those of a kind in one."""
        memories: dict[str, Memory] = {}
        for broker in self._brokers:
            if broker.name not in memories:
                memories[broker.name] = Memory(
                    routing=broker.slot.around.kind.routing(),
                    notify=partial(self._hear, broker.name),
                )
        self.memory = memories[self._brokers[0].name]
        quiescence = Quiescence.around()
        self._undo.append(quiescence.watch(memories.values()))
        return [self._enlist(broker, memories[broker.name], quiescence) for broker in self._brokers]

    def _hear(self, name: str, event: AdapterEvent) -> None:
        """Tell on all brokers called *name* what happens in the memory that they share."""
        for broker in self._brokers:
            if broker.name == name:
                broker.slot.hear(event)

    def _enlist(self, broker: Broker[Any], memory: Memory, quiescence: Quiescence) -> Runtime:
        """Let *broker* act in *memory*, with recorders under its handlers and publishers."""
        self._record(broker)
        runtime = _TestRuntime(broker.slot.around, memory, quiescence, listening=self._listening)
        self._install(broker, runtime)
        self._undo.append(broker.events.subscribe(quiescence.note))
        return runtime

    def _install(self, broker: Broker[Any], runtime: Runtime) -> None:
        broker.slot.install(runtime)
        self._undo.append(broker.slot.detach)

    def _record(self, broker: Broker[Any]) -> None:
        handlers = [call.target for each in broker.subscribers for call in each.calls]
        for target in (*handlers, *broker.publishers):
            # One function may handle the messages of several brokers: its mock counts them all.
            if isinstance(target, Recorded) and target.recorder is None:
                codec = plain(broker.slot.around.options.codec)
                target.recorder = CallRecorder(codec, broker.context)
                self._undo.append(partial(setattr, target, "recorder", None))

    def _restore(self) -> None:
        while self._undo:
            self._undo.pop()()


class _TestRuntime(Runtime):
    """Acts in memory, and tells what keeps the test from being over."""

    def __init__(
        self, around: Surroundings, memory: Memory, quiescence: Quiescence, *, listening: bool
    ) -> None:
        self._quiescence = quiescence
        looking = [_Watching(quiescence), _Recording(around)]
        super().__init__(around, memory, listening=listening, instruments=looking)

    @staticmethod
    def _service(service: Service) -> Service | None:
        return replace(service, run=service.under_test) if service.under_test else None

    @property
    def connection(self) -> Any:
        """The connection, watched."""
        return WatchedConnection(super().connection, self._quiescence)


class _Recording(Instrument):
    """Lets publishers remember what they send."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around

    def around_send(self, send: Send, place: Place, /) -> Send:
        del place
        around = self._around
        return recording(send, around.publishers, around.options)


class _Watching(Instrument):
    """Looks on, to know when all is over."""

    def __init__(self, quiescence: Quiescence) -> None:
        self._quiescence = quiescence

    def around_handle(self, handle: Handle, place: Place, /) -> Handle:
        del place
        return self._quiescence.attending(handle)

    def around_send(self, send: Send, place: Place, /) -> Send:
        del place
        return awaiting(send, self._quiescence)

    def on_outcome(self, place: Place, /) -> OnOutcome:
        del place
        return self._quiescence.leave


async def _inside(supervisor: Supervisor, child: Child) -> None:
    """Run the tree so that whatever runs in it knows that it does."""
    INSIDE.set(True)
    await supervisor.run(child)
