"""Hooks of an application, and what they may ask for."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated

import anyio
import pytest
from anyio import create_task_group

from callboard import (
    App,
    Context,
    ContextRepo,
    DeclarationError,
    Depends,
    Logger,
    MemoryBroker,
    TestApp,
    TestBroker,
)
from callboard.exceptions import StartupValidationError
from callboard_actors import ForeignCancellation
from callboard_actors.testing import virtual_backend
from callboard_di import MissingValue

pytestmark = pytest.mark.anyio


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def calls() -> list[str]:
    return []


async def test_a_decorated_hook_stays_the_function_that_it_was(app: App) -> None:
    @app.on_startup
    def double(number: int = 2) -> int:
        return 2 * number

    assert double(4) == 8


async def test_a_sync_hook_runs_in_a_worker_thread(app: App) -> None:
    threads: list[threading.Thread] = []

    @app.on_startup
    def prepare() -> None:
        threads.append(threading.current_thread())

    await app.start()
    await app.stop()

    assert threads[0] is not threading.current_thread()


async def test_hooks_get_values_of_the_context_by_name(app: App) -> None:
    app.context.set_global("settings", {"url": "memory://"})
    seen: list[object] = []

    @app.on_startup
    async def prepare(url: Annotated[str, Context("settings.url")]) -> None:
        seen.append(url)

    await app.start()
    await app.stop()

    assert seen == ["memory://"]


async def test_hooks_get_the_application_its_logger_and_its_context(app: App) -> None:
    seen: list[object] = []

    @app.on_startup
    async def prepare(app: Annotated[App, Context()], logger: Logger, repo: ContextRepo) -> None:
        seen.extend([app, logger, repo])

    await app.start()
    await app.stop()

    assert seen == [app, app.logger, app.context]


async def test_hooks_may_have_dependencies_with_an_end(app: App) -> None:
    seen: list[str] = []

    def connection() -> Generator[str]:
        seen.append("opened")
        yield "connection"
        seen.append("closed")

    @app.on_startup
    async def prepare(connection: Annotated[str, Depends(connection)]) -> None:
        seen.append(connection)

    await app.start()
    await app.stop()

    assert seen == ["opened", "connection", "closed"]


async def test_the_dependencies_of_hooks_can_be_overridden(app: App) -> None:
    seen: list[str] = []

    def database() -> str:
        return "real"

    @app.on_startup
    async def prepare(database: Annotated[str, Depends(database)]) -> None:
        seen.append(database)

    with app.provider.scope(database, lambda: "fake"):
        await app.start()
        await app.stop()

    assert seen == ["fake"]


async def test_a_lifespan_gets_the_context_and_what_it_sets_is_there_for_hooks(app: App) -> None:
    seen: list[object] = []

    @asynccontextmanager
    async def lifespan(context: ContextRepo) -> AsyncGenerator[None]:
        context.set_global("model", 42)
        yield
        context.reset_global("model")

    async def prepare(model: Annotated[int, Context()]) -> None:
        seen.append(model)

    app = App(lifespan=lifespan, on_startup=[prepare], after_shutdown=[prepare])
    await app.start()
    await app.stop()

    assert seen == [42, 42]
    assert "model" not in app.context


async def test_a_lifespan_may_keep_a_task_group_open(broker: MemoryBroker) -> None:
    @asynccontextmanager
    async def lifespan(context: ContextRepo) -> AsyncGenerator[None]:
        async with create_task_group() as tasks:
            tasks.start_soon(anyio.sleep_forever)
            yield
            tasks.cancel_scope.cancel()

    app = App(broker, lifespan=lifespan)
    await app.start()
    await broker.ping()
    await app.stop()


async def test_a_lifespan_that_fails_to_start_says_so_itself() -> None:
    @asynccontextmanager
    async def lifespan(model: Annotated[str, Context(default="")]) -> AsyncGenerator[None]:
        if not model:
            raise LookupError("no model")
        yield

    with pytest.raises(LookupError, match="no model"):
        await App(lifespan=lifespan).start()


async def test_a_lifespan_sees_what_kept_the_application_from_starting() -> None:
    seen: list[Exception] = []

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        try:
            yield
        except LookupError as error:
            seen.append(error)
            raise

    async def fail() -> None:
        raise LookupError("no database")

    with pytest.raises(LookupError) as caught:
        await App(lifespan=lifespan, on_startup=[fail]).start()
    assert seen == [caught.value]


async def test_a_lifespan_that_never_ends_is_cancelled_a_little_after_the_deadline() -> None:
    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        yield
        await anyio.sleep_forever()

    app = App(lifespan=lifespan, graceful_timeout=7)
    await app.start()
    began = anyio.current_time()

    with pytest.raises(TimeoutError, match="did not end in time"):
        await app.stop()
    assert began + 7 < anyio.current_time() < began + 12


async def test_a_lifespan_that_fails_to_end_says_so() -> None:
    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        yield
        raise LookupError("lost")

    app = App(lifespan=lifespan)
    await app.start()

    with pytest.raises(LookupError, match="lost"):
        await app.stop()


async def test_a_hook_that_asks_for_what_nobody_has_is_named(app: App) -> None:
    @app.on_startup
    async def prepare(name: Annotated[str, Context("nobody")]) -> None: ...

    with pytest.raises(MissingValue, match=r"'name' of 'prepare' \(test_hooks.py:\d+\).*'nobody'"):
        await app.start()


async def test_a_hook_of_the_end_has_no_body_to_take(app: App) -> None:
    @app.after_startup
    async def prepare(number: int) -> None: ...

    with pytest.raises(DeclarationError, match=r"hook 'prepare'.*'number'"):
        await app.start()


async def test_hooks_and_lifespan_take_options_of_the_start_by_name() -> None:
    seen: list[object] = []

    @asynccontextmanager
    async def lifespan(context: ContextRepo, dsn: str = "local") -> AsyncGenerator[None]:
        seen.append(dsn)
        with context.scope("dsn", dsn):
            yield

    broker = MemoryBroker()
    app = App(broker, lifespan=lifespan)

    @app.on_startup
    async def prepare(port: int, rest: str = "none", **more: object) -> None:
        seen.extend([port, rest, more])

    @app.on_startup
    def connect(port: int, dsn: str) -> None:
        seen.append((port, dsn))

    @broker.subscriber("in")
    async def handle(dsn: str = Context()) -> None:
        seen.append(dsn)

    async with TestBroker(broker, connect_only=True), TestApp(app, {"port": "80", "dsn": "db"}):
        await broker.publish(None, "in")

    assert seen == ["db", 80, "none", {"dsn": "db"}, (80, "db"), "db"]


async def test_options_that_are_missing_or_not_valid_are_all_named(app: App) -> None:
    @app.on_startup
    async def prepare(port: int, host: str, dsn: str) -> None: ...

    with pytest.raises(StartupValidationError, match=r"missing: dsn; not valid: port") as refused:
        await app.start(port="x", host="h")

    assert refused.value.missed_fields == ["dsn"]
    assert refused.value.invalid_fields == ["port"]


async def test_an_application_is_a_context_manager_and_knows_its_first_broker() -> None:
    app = App()
    first = app.broker
    app.add_broker(broker := MemoryBroker())
    async with app:
        assert app.running
        assert await broker.ping(5)

    assert (first, app.broker) == (None, broker)
    assert not await broker.ping(5)
    assert app.schema.brokers == [broker]


def test_an_application_may_be_tested_without_async() -> None:
    seen: list[object] = []
    app = App(MemoryBroker())

    @app.on_startup
    async def prepare(name: str) -> None:
        seen.append(name)

    with TestApp(app, {"name": "x"}) as tested:
        assert tested.running

    assert seen == ["x"]


async def test_a_lifespan_must_be_a_context_manager() -> None:
    async def lifespan() -> AsyncGenerator[None]:
        yield

    with pytest.raises(DeclarationError, match="lifespan"):
        await App(lifespan=lifespan).start()  # type: ignore[arg-type] # the mistake under test


async def test_a_failing_shutdown_hook_is_logged(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    @app.on_shutdown
    async def fail() -> None:
        raise LookupError("lost")

    await app.start()
    with pytest.raises(LookupError):
        await app.stop()

    assert caplog.record_tuples == [
        (
            "callboard",
            logging.ERROR,
            f"the shutdown hook 'fail' (test_hooks.py:{_line(fail)}) failed",
        )
    ]


def _line(function: object) -> int:
    return function.__code__.co_firstlineno  # type: ignore[attr-defined, no-any-return] # a function


async def start_and_stop(app: App) -> None:
    await app.start()
    await app.stop()


async def lose_a_connection() -> None:
    """Do as client libraries do: cancel a future, and whoever waits for it."""
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


@pytest.mark.parametrize("anyio_backend", [virtual_backend("asyncio")])
@pytest.mark.parametrize("moment", ["on_startup", "after_startup", "on_shutdown", "after_shutdown"])
@pytest.mark.parametrize("natively", [True, False])
async def test_a_hook_that_no_scope_has_cancelled_fails_and_is_named(
    app: App, moment: str, natively: bool
) -> None:
    ended: list[str] = []

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        try:
            yield
        finally:
            ended.append("lifespan")

    async def hook() -> None:
        if natively:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await anyio.sleep_forever()
        await lose_a_connection()

    async def last() -> None:
        ended.append("after_shutdown")

    app = App(MemoryBroker(), lifespan=lifespan)
    getattr(app, moment)(hook)
    app.after_shutdown(last)
    with pytest.raises(
        ForeignCancellation, match=r"hook 'hook' \(test_hooks.py:\d+\) was cancelled"
    ):
        await start_and_stop(app)

    assert not app.running
    assert ended[-1] == "lifespan"
    assert ("after_shutdown" in ended) is (moment != "on_startup")


@pytest.mark.parametrize("anyio_backend", [virtual_backend("asyncio")])
@pytest.mark.parametrize("late", [True, False])
async def test_a_lifespan_that_no_scope_has_cancelled_fails_and_is_named(late: bool) -> None:
    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        if not late:
            await lose_a_connection()
        yield
        await lose_a_connection()

    app = App(lifespan=lifespan)
    with pytest.raises(ForeignCancellation, match=r"the lifespan 'lifespan' .* was cancelled"):
        await start_and_stop(app)

    assert not app.running


@pytest.mark.parametrize("anyio_backend", [virtual_backend("asyncio")])
async def test_an_application_whose_task_is_cancelled_natively_ends_in_good_order_and_fails(
    calls: list[str],
) -> None:
    app = App(MemoryBroker(), on_shutdown=[anyio.sleep_forever], graceful_timeout=3)
    victims: list[asyncio.Task[object]] = []

    @app.after_startup
    async def remember() -> None:
        task = asyncio.current_task()
        assert task is not None
        victims.append(task)

    @app.after_shutdown
    async def last() -> None:
        calls.append("after_shutdown")

    await app.start()
    victims[0].cancel()
    await anyio.sleep(10)
    with pytest.raises(ForeignCancellation, match="the application was cancelled"):
        await app.stop()

    assert calls == ["after_shutdown"]


@pytest.mark.parametrize("anyio_backend", [virtual_backend("asyncio")])
@pytest.mark.parametrize("kind", ["on_start", "on_stop"])
async def test_a_hook_of_an_actor_that_no_scope_has_cancelled_is_told(
    app: App, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    broker = MemoryBroker()
    app.add_broker(broker)

    @broker.subscriber("orders")
    class Clerk:
        async def on_start(self) -> None:
            if kind == "on_start":
                await lose_a_connection()

        async def receive(self, order: str) -> None: ...

        async def on_stop(self, reason: object) -> None:
            if kind == "on_stop":
                await lose_a_connection()

    with pytest.raises(ForeignCancellation):
        await start_and_stop(app)

    assert not app.running
    assert kind == "on_start" or "on_stop was cancelled" in caplog.text


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
async def test_who_leaves_the_process_in_a_shutdown_hook_skips_nothing(
    app: App, error: BaseException, calls: list[str]
) -> None:
    async def leave() -> None:
        raise error

    async def note(name: str) -> None:
        calls.append(name)

    app = App(
        MemoryBroker(),
        on_shutdown=[leave, partial(note, "on_shutdown")],
        after_shutdown=[leave, partial(note, "after_shutdown")],
    )
    await app.start()
    with pytest.raises(type(error)):
        await app.stop()

    assert calls == ["on_shutdown", "after_shutdown"]
