"""The life of an application: its hooks, its brokers, and its end."""

from __future__ import annotations

import signal
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

import anyio
import pytest
from anyio import create_task_group, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from callboard import (
    ActorCrash,
    App,
    Context,
    ContextRepo,
    DeclarationError,
    Event,
    GaveUp,
    MemoryBroker,
    NotRunning,
    StopApplication,
    Supervision,
    TestApp,
    TestBroker,
)
from callboard_actors.testing import virtual_backend
from callboard_brokers import ConnectionLost
from callboard_di import MissingValue

from ..faulty import FaultyBroker

pytestmark = pytest.mark.anyio


@pytest.fixture
def calls() -> list[str]:
    return []


@pytest.fixture
def app(broker: MemoryBroker, calls: list[str]) -> App:
    """An application whose lifespan, hooks and actor each leave a line in `calls`."""

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        calls.append("lifespan begins")
        try:
            yield
        finally:
            calls.append("lifespan ends")

    @broker.subscriber("orders")
    class Clerk:
        async def on_start(self) -> None:
            calls.append("broker starts")

        async def receive(self, order: str) -> None:
            calls.append(order)

        async def on_stop(self, reason: object) -> None:
            calls.append("broker stops")

    app = App(broker, lifespan=lifespan)
    app.on_startup(note(calls, "on_startup"))
    app.after_startup(note(calls, "after_startup"))
    app.on_shutdown(note(calls, "on_shutdown"))
    app.after_shutdown(note(calls, "after_shutdown"))
    return app


def note(calls: list[str], line: str) -> Callable[[], Coroutine[Any, Any, None]]:
    """Make an async hook; a sync one runs in a thread, for which virtual time does not wait."""

    async def hook() -> None:
        calls.append(line)

    return hook


def leaving(app: App) -> Callable[[], Coroutine[Any, Any, None]]:
    async def leave() -> None:
        app.exit()

    return leave


START = ["lifespan begins", "on_startup", "broker starts", "after_startup"]
STOP = ["on_shutdown", "broker stops", "after_shutdown", "lifespan ends"]


async def test_start_and_stop_call_everything_in_its_order(app: App, calls: list[str]) -> None:
    await app.start()
    assert calls == START

    await app.stop()
    assert calls == START + STOP


async def test_run_calls_everything_in_its_order(app: App, calls: list[str]) -> None:
    app.after_startup(leaving(app))

    await app.run()

    assert calls == START + STOP


async def test_an_application_can_run_again(app: App, calls: list[str]) -> None:
    app.after_startup(leaving(app))

    await app.run()
    await app.run()

    assert calls == 2 * (START + STOP)


async def test_it_can_run_after_it_was_started_and_stopped(
    app: App, broker: MemoryBroker, calls: list[str]
) -> None:
    await app.start()
    await app.stop()
    async with create_task_group() as tasks:
        tasks.start_soon(app.run)
        await wait_all_tasks_blocked()
        await broker.publish("book", "orders")
        app.exit()

    assert "book" in calls


async def test_starting_twice_is_a_mistake(app: App) -> None:
    await app.start()

    with pytest.raises(DeclarationError, match="running already"):
        await app.start()
    await app.stop()


async def test_running_what_runs_already_is_a_mistake_and_stops_nothing(
    app: App, broker: MemoryBroker
) -> None:
    await app.start()

    with pytest.raises(DeclarationError, match="running already"):
        await app.run()
    await broker.ping()
    await app.stop()


async def test_a_stop_ends_what_was_there_and_not_what_was_started_since(
    app: App, broker: MemoryBroker, calls: list[str]
) -> None:
    async def restart() -> None:
        await app.stop()
        await app.start()

    await app.start()
    async with create_task_group() as tasks:
        tasks.start_soon(restart)
        tasks.start_soon(app.stop)

    running = [app.running, app.tree().state == "running"]
    await app.stop()
    running.append(app.running)

    assert running == [True, True, False]
    assert calls == 2 * (START + STOP)
    assert not await broker.ping()


async def test_a_start_during_the_stop_is_refused(app: App) -> None:
    app.on_shutdown(partial(anyio.sleep, 1))
    await app.start()
    async with create_task_group() as tasks:
        tasks.start_soon(app.stop)
        await wait_all_tasks_blocked()
        with pytest.raises(NotRunning, match="is being stopped; start it again when"):
            await app.start()

    assert not app.running


async def test_an_application_is_ready_when_all_is_up_until_its_stop_begins(
    broker: MemoryBroker,
) -> None:
    app = App(broker)
    ready: list[bool] = []

    async def look() -> None:
        ready.append(app.ready)

    app.after_startup(look)
    app.on_shutdown(look)
    await app.start()
    await look()
    await app.stop()

    assert ready == [False, True, False]


async def test_stopping_what_does_not_run_does_nothing(app: App, calls: list[str]) -> None:
    await app.stop()

    assert calls == []


async def test_exit_before_run_starts_and_stops_at_once(app: App, calls: list[str]) -> None:
    app.exit()

    await app.run()

    assert calls == START + STOP


async def test_exit_ends_one_run_and_not_the_next(app: App, broker: MemoryBroker) -> None:
    app.exit()
    await app.run()
    async with create_task_group() as tasks:
        tasks.start_soon(app.run)
        await wait_all_tasks_blocked()
        await broker.ping()
        app.exit()


async def test_exit_during_a_start_hook_ends_the_start(app: App, calls: list[str]) -> None:
    async def wait_for_a_database() -> None:
        app.exit()
        await anyio.sleep_forever()

    app.on_startup(wait_for_a_database)
    await app.run()

    assert calls == ["lifespan begins", "on_startup", "lifespan ends"]


@pytest.mark.parametrize("anyio_backend", [virtual_backend("asyncio")])  # trio shuffles its tasks
async def test_a_stop_that_comes_before_the_first_step_of_a_start_is_no_failure(
    calls: list[str],
) -> None:
    app = App(on_startup=[note(calls, "on_startup")])
    async with create_task_group() as tasks:
        tasks.start_soon(app.start)
        await checkpoint()
        await app.stop()

    assert calls == []


async def test_exit_during_the_start_of_the_lifespan_ends_the_start(calls: list[str]) -> None:
    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        await anyio.sleep_forever()
        yield

    app = App(MemoryBroker(), lifespan=lifespan, on_startup=[note(calls, "on_startup")])
    async with create_task_group() as tasks:
        tasks.start_soon(app.run)
        await wait_all_tasks_blocked()
        app.exit()

    assert calls == []


async def test_exit_while_the_brokers_start_stops_them_in_good_order(
    app: App, broker: MemoryBroker, calls: list[str]
) -> None:
    late = MemoryBroker()

    @late.subscriber("orders")
    class NeverReady:
        async def on_start(self) -> None:
            await anyio.sleep(10)

        async def receive(self, order: str) -> None: ...

    app.add_broker(late)
    async with create_task_group() as tasks:
        tasks.start_soon(app.run)
        await wait_all_tasks_blocked()
        app.exit()

    assert calls == [*START[:-1], "broker stops", "lifespan ends"]


async def test_hooks_may_be_given_to_the_constructor_too(calls: list[str]) -> None:
    app = App(
        on_startup=[note(calls, "first"), note(calls, "second")],
        after_shutdown=[note(calls, "last")],
    )
    await app.start()
    await app.stop()

    assert calls == ["first", "second", "last"]


async def test_what_a_start_hook_puts_into_the_context_is_there_for_handlers(
    broker: MemoryBroker,
) -> None:
    app = App(broker)
    seen: list[str] = []

    @app.on_startup
    async def prepare(context: ContextRepo) -> None:
        context.set_global("greeting", "hello")

    @broker.subscriber("names")
    async def greet(name: str, greeting: Annotated[str, Context()]) -> None:
        seen.append(f"{greeting} {name}")

    await app.start()
    await broker.publish("Ada", "names")
    await wait_all_tasks_blocked()
    await app.stop()

    assert seen == ["hello Ada"]


async def test_several_brokers_see_the_values_of_the_application_and_their_own() -> None:
    one = MemoryBroker(context=ContextRepo({"name": "one", "secret": "mine"}))
    two = MemoryBroker()
    app = App(one, two, context=ContextRepo({"name": "app", "shared": "ours"}))
    seen: list[tuple[str, str, str]] = []

    for broker in (one, two):

        @broker.subscriber("orders")
        async def handle(
            order: str,
            name: Annotated[str, Context()],
            shared: Annotated[str, Context()],
            secret: Annotated[str, Context(default="-")],
        ) -> None:
            seen.append((name, shared, secret))

    await app.start()
    await one.publish("book", "orders")
    await two.publish("book", "orders")
    await wait_all_tasks_blocked()
    await app.stop()

    assert sorted(seen) == [("app", "ours", "-"), ("one", "ours", "mine")]


async def test_a_value_that_only_another_broker_has_is_missing() -> None:
    one, two = MemoryBroker(context=ContextRepo({"secret": "mine"})), MemoryBroker()
    app = App(one, two)

    @two.subscriber("orders")
    async def handle(order: str, secret: Annotated[str, Context()]) -> None: ...

    async with TestBroker(one, two), TestApp(app):
        with pytest.raises(MissingValue, match="secret"):
            await two.publish("x", "orders")


async def test_a_broker_is_added_once(app: App, broker: MemoryBroker) -> None:
    with pytest.raises(DeclarationError, match="already"):
        app.add_broker(broker)


async def test_a_start_hook_may_add_a_broker(app: App, calls: list[str]) -> None:
    late = MemoryBroker()

    @app.on_startup
    async def add() -> None:
        app.add_broker(late)

    await app.start()
    await late.ping()
    with pytest.raises(DeclarationError, match="add it before"):
        app.add_broker(MemoryBroker())
    await app.stop()


async def test_a_start_hook_that_fails_undoes_the_start(
    app: App, broker: MemoryBroker, calls: list[str]
) -> None:
    async def fail() -> None:
        raise LookupError("no database")

    app.after_startup(fail)

    with pytest.raises(LookupError, match="no database"):
        await app.start()
    assert calls == START + STOP
    assert not await broker.ping()


async def test_shutdown_hooks_are_not_called_if_the_brokers_have_never_been_up(
    app: App, calls: list[str]
) -> None:
    async def fail() -> None:
        raise LookupError("no database")

    app.on_startup(fail)

    with pytest.raises(LookupError):
        await app.start()
    assert calls == ["lifespan begins", "on_startup", "lifespan ends"]


async def test_a_start_that_failed_can_be_tried_again(app: App, calls: list[str]) -> None:
    failures = [LookupError("not yet")]

    async def fail_once() -> None:
        if failures:
            raise failures.pop()

    app.after_startup(fail_once)
    with pytest.raises(LookupError):
        await app.start()
    calls.clear()
    await app.start()
    await app.stop()

    assert calls == START + STOP


async def test_the_cause_of_a_failure_comes_out_of_run_with_it(app: App) -> None:
    cause = OSError("refused")

    async def fail() -> None:
        raise LookupError("no database") from cause

    app.on_startup(fail)

    with pytest.raises(LookupError) as caught:
        await app.run()
    assert caught.value.__cause__ is cause


async def test_a_broker_that_fails_to_start_stops_the_other(
    app: App, broker: MemoryBroker, calls: list[str]
) -> None:
    other = MemoryBroker()

    @other.subscriber("orders")
    class Broken:
        async def on_start(self) -> None:
            raise LookupError("no shelf")

        async def receive(self, order: str) -> None: ...

    app.add_broker(other)

    with pytest.raises(LookupError, match="no shelf"):
        await app.start()
    assert calls == [*START[:-1], "broker stops", "lifespan ends"]
    assert not await broker.ping()


async def test_a_shutdown_hook_that_fails_keeps_nothing_else_from_shutting_down(
    broker: MemoryBroker, calls: list[str]
) -> None:
    app = App(broker)

    @app.on_shutdown
    async def fail_first() -> None:
        raise LookupError("first")

    @app.on_shutdown
    async def go_on() -> None:
        calls.append("second hook")

    @app.after_shutdown
    async def fail_again() -> None:
        raise ValueError("second")

    await app.start()
    with pytest.raises(LookupError, match="first"):
        await app.stop()
    assert calls == ["second hook"]
    assert not await broker.ping()


async def test_a_shutdown_hook_that_asks_for_what_is_not_there_keeps_nothing_else_from_its_end(
    app: App, calls: list[str]
) -> None:
    @app.on_shutdown
    def close(pool: Annotated[object, Context()]) -> None: ...

    await app.start()
    with pytest.raises(MissingValue, match="pool"):
        await app.stop()
    assert calls[-1] == "lifespan ends"


async def test_a_shutdown_hook_that_never_returns_is_cancelled_at_the_deadline(
    broker: MemoryBroker, calls: list[str]
) -> None:
    app = App(broker, graceful_timeout=7, after_shutdown=[note(calls, "after_shutdown")])
    app.on_shutdown(anyio.sleep_forever)
    await app.start()
    began = anyio.current_time()

    with pytest.raises(TimeoutError, match="did not end in time"):
        await app.stop()
    assert anyio.current_time() == began + 7
    assert calls == ["after_shutdown"]


async def test_what_follows_the_brokers_has_a_little_time_after_the_deadline(
    broker: MemoryBroker, calls: list[str]
) -> None:
    async def close() -> None:
        await anyio.sleep(2)
        calls.append("closed")

    app = App(broker, graceful_timeout=7, after_shutdown=[close, anyio.sleep_forever])

    @broker.subscriber("orders")
    async def never_return(order: str) -> None:
        await anyio.sleep_forever()

    await app.start()
    await broker.publish("book", "orders")
    await wait_all_tasks_blocked()
    began = anyio.current_time()

    with pytest.raises(TimeoutError, match="did not end in time"):
        await app.stop()
    assert calls == ["closed"]
    assert began + 9 < anyio.current_time() < began + 12


async def test_one_deadline_holds_for_all_brokers_and_unfinished_messages_are_released() -> None:
    brokers = [MemoryBroker(), MemoryBroker()]
    app = App(*brokers, graceful_timeout=7)
    cancelled: list[str] = []

    for broker in brokers:

        @broker.subscriber("orders", group="clerks")
        async def never_return(order: str) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                cancelled.append(order)

    await app.start()
    for broker in brokers:
        await broker.publish("book", "orders")
    await wait_all_tasks_blocked()
    began = anyio.current_time()
    await app.stop()

    assert began + 5 < anyio.current_time() <= began + 7
    assert cancelled == ["book", "book"]
    assert [broker.unread("orders") for broker in brokers] == [1, 1]


@pytest.mark.parametrize("downstream_first", [True, False])
async def test_no_handler_meets_a_broker_that_is_not_there_yet_or_no_more(
    downstream_first: bool,
) -> None:
    upstream, downstream = MemoryBroker(), MemoryBroker()
    app = App(*((downstream, upstream) if downstream_first else (upstream, downstream)))
    packed: list[str] = []
    unpublished: list[Event] = []
    upstream.events.subscribe(
        lambda event: unpublished.append(event) if event.name == "message.unpublished" else None
    )

    @downstream.publisher("parcels")
    @upstream.subscriber("orders", group="clerks")
    async def pack(order: str) -> str:
        await anyio.sleep(1 if order == "last" else 0)
        return order

    @downstream.subscriber("parcels", group="carriers")
    async def carry(parcel: str) -> None:
        packed.append(parcel)

    await app.start()
    await app.stop()
    async with upstream:  # both groups are known now, so that what is published waits for them
        await upstream.publish("first", "orders")
    await app.start()
    await upstream.publish("last", "orders")
    await wait_all_tasks_blocked()
    await app.stop()

    assert packed == ["first"]  # the intakes stop all at the same time
    assert downstream.unread("parcels") == 1
    assert unpublished == []


async def test_intakes_open_when_every_broker_is_connected(calls: list[str]) -> None:
    first, second = MemoryBroker(), FaultyBroker()
    second.faulty.faults["connect"] = 1

    @first.subscriber("orders")
    class Clerk:
        async def on_start(self) -> None:
            calls.append("opened")

        async def receive(self, order: str) -> None: ...

    with pytest.raises(ConnectionLost):
        await App(first, second).start()

    assert calls == []


async def test_what_is_in_flight_is_finished_before_the_end(
    app: App, broker: MemoryBroker, calls: list[str]
) -> None:
    @broker.subscriber("parcels")
    async def pack(parcel: str) -> None:
        await anyio.sleep(5)
        calls.append(parcel)

    await app.start()
    await broker.publish("book", "parcels")
    await wait_all_tasks_blocked()
    await app.stop()

    assert "book" in calls


async def test_a_cancelled_start_leaves_nothing_running(
    app: App, broker: MemoryBroker, calls: list[str]
) -> None:
    app.after_startup(anyio.sleep_forever)
    with anyio.move_on_after(1):
        await app.start()

    assert calls == START + STOP
    assert not await broker.ping()


async def test_a_cancelled_run_leaves_nothing_running(
    app: App, broker: MemoryBroker, calls: list[str]
) -> None:
    with anyio.move_on_after(1):
        await app.run()

    assert calls == START + STOP
    assert not await broker.ping()


async def test_a_handler_can_end_the_application(
    app: App, broker: MemoryBroker, calls: list[str]
) -> None:
    @broker.subscriber("commands", group="console")
    async def obey(command: str) -> None:
        raise StopApplication

    async with create_task_group() as tasks:
        tasks.start_soon(app.run)
        await wait_all_tasks_blocked()
        await broker.publish("leave", "commands")

    assert calls == START + STOP
    assert broker.unread("commands") == 0


async def test_a_handler_that_leaves_the_process_ends_the_run_in_good_order(
    app: App, broker: MemoryBroker, calls: list[str]
) -> None:
    @broker.subscriber("commands")
    async def obey(command: str) -> None:
        raise SystemExit(3)

    @app.after_startup
    async def command() -> None:
        await broker.publish("leave", "commands")

    with pytest.raises(SystemExit) as caught:
        await app.run()
    assert caught.value.code == 3
    assert calls == [*START, "broker stops", "on_shutdown", "after_shutdown", "lifespan ends"]


async def test_run_raises_that_a_broker_has_given_up(
    app: App, broker: MemoryBroker, calls: list[str]
) -> None:
    starts: list[float] = []

    @broker.subscriber("parcels", supervision=Supervision(intensity=0, on_give_up="stop"))
    class Doomed:
        async def on_start(self) -> None:
            starts.append(anyio.current_time())
            if len(starts) > 1:
                raise LookupError("no shelf")

        async def receive(self, parcel: str) -> None:
            raise ActorCrash("corrupt")

    @app.after_startup
    async def publish() -> None:
        await broker.publish("book", "parcels")

    with pytest.raises(GaveUp, match="app"):
        await app.run()
    assert calls[-3:] == ["on_shutdown", "after_shutdown", "lifespan ends"]


async def test_the_tree_shows_every_part_of_a_running_application(app: App) -> None:
    with pytest.raises(NotRunning):
        app.tree()
    await app.start()
    node = app.tree()
    path = [node.id]
    while node.children:
        node = [each for each in node.children if each.id != "observer"][-1]
        path.append(node.id)
    await app.stop()

    assert path == ["app", "memory", "subscriptions", "Clerk(orders)", "pump"]
    with pytest.raises(NotRunning):
        app.tree()


async def test_brokers_of_one_kind_have_names_of_their_own_in_the_tree() -> None:
    app = App(MemoryBroker(), MemoryBroker())
    await app.start()
    names = [child.id for child in app.tree().children]
    await app.stop()

    assert names == ["memory", "memory-2", "observer"]


async def test_a_broker_that_runs_already_is_left_to_whoever_started_it(
    app: App, broker: MemoryBroker, calls: list[str]
) -> None:
    async with broker:
        await app.start()
        await app.stop()
        await broker.ping()

        assert calls == [*START, "on_shutdown", "after_shutdown", "lifespan ends"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_run_in_good_order(
    app: App, calls: list[str], number: signal.Signals
) -> None:
    async with create_task_group() as tasks:
        tasks.start_soon(app.run)
        await wait_all_tasks_blocked()
        signal.raise_signal(number)

    assert calls == START + STOP
    assert app.hard_stop is None


@pytest.mark.parametrize("silent", ["connect", "subscribe"])
async def test_a_stop_while_a_server_is_waited_for_ends_at_once(silent: str) -> None:
    broker = FaultyBroker()
    broker.faulty.silent.add(silent)
    broker.subscriber("orders")(anyio.sleep)
    ends: list[float] = []

    async def run() -> None:
        await App(MemoryBroker(), broker).run()
        ends.append(anyio.current_time() - began)

    async with create_task_group() as tasks:
        tasks.start_soon(run)
        await wait_all_tasks_blocked()
        began = anyio.current_time()
        signal.raise_signal(signal.SIGTERM)

    assert ends == [0]


async def test_a_signal_during_the_start_ends_it(app: App, calls: list[str]) -> None:
    async def wait_for_a_database() -> None:
        signal.raise_signal(signal.SIGTERM)
        await anyio.sleep_forever()

    app.on_startup(wait_for_a_database)
    await app.run()

    assert calls == ["lifespan begins", "on_startup", "lifespan ends"]


async def test_a_second_signal_stops_hard(app: App, broker: MemoryBroker, calls: list[str]) -> None:
    @broker.subscriber("parcels", group="packers")
    async def never_return(parcel: str) -> None:
        signal.raise_signal(signal.SIGTERM)
        await anyio.sleep(1)
        signal.raise_signal(signal.SIGINT)
        await anyio.sleep_forever()

    @app.after_startup
    async def publish() -> None:
        await broker.publish("book", "parcels")

    began = anyio.current_time()
    await app.run()

    assert anyio.current_time() == began + 1
    assert app.hard_stop == signal.SIGINT
    assert broker.unread("parcels") == 1
    assert calls == START + STOP


async def test_a_worker_thread_may_end_the_application(
    app: App, broker: MemoryBroker, calls: list[str]
) -> None:
    @broker.subscriber("commands")
    def obey(command: str) -> None:
        app.exit()

    @app.after_startup
    async def publish() -> None:
        await broker.publish("leave", "commands")

    await app.run()

    assert calls[-1] == "lifespan ends"


async def test_any_thread_may_end_the_application(app: App, calls: list[str]) -> None:
    thread = threading.Thread(target=app.exit)

    @app.after_startup
    async def leave() -> None:
        thread.start()

    await app.run()
    thread.join()

    assert calls[-1] == "lifespan ends"


async def test_a_signal_handler_may_end_the_application(app: App, calls: list[str]) -> None:
    before = signal.signal(signal.SIGUSR1, lambda number, frame: app.exit())
    try:
        app.after_startup(_raise_signal)
        await app.run()
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert calls[-1] == "lifespan ends"


async def _raise_signal() -> None:
    signal.raise_signal(signal.SIGUSR1)


async def test_an_exit_after_the_end_does_nothing(app: App) -> None:
    await app.start()
    host = app._host  # pyright: ignore[reportPrivateUsage] - as a thread has it that asks too late
    await app.stop()
    assert host is not None

    host.ask_soon(1)
