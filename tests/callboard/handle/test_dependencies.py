"""`Depends` in handlers: what runs when, and what is found out at the declaration."""

from __future__ import annotations

import functools
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Annotated

import pytest
from anyio import sleep_forever, wait_all_tasks_blocked
from pydantic import ValidationError

from callboard import (
    Context,
    DeclarationError,
    Depends,
    Header,
    MemoryBroker,
    Message,
    TestBroker,
)

pytestmark = pytest.mark.anyio


async def test_dependencies_of_all_kinds_are_injected(broker: MemoryBroker) -> None:
    taken: list[object] = []

    class Session:
        def __init__(self, tenant: str = Header()) -> None:
            self.tenant = tenant

    def plain() -> str:
        return "plain"

    async def waited(session: Session = Depends(Session)) -> str:
        return f"waited for {session.tenant}"

    def generated(plain: str = Depends(plain)) -> Iterator[str]:
        yield f"{plain}, generated"

    @broker.subscriber("orders")
    async def on_order(
        order: int,
        session: Annotated[Session, Depends(Session)],
        waited: str = Depends(waited),
        generated: str = Depends(generated),
    ) -> None:
        taken.extend([order, session.tenant, waited, generated])

    async with TestBroker(broker):
        await broker.publish(1, "orders", headers={"tenant": "acme"})

    assert taken == [1, "acme", "waited for acme", "plain, generated"]


async def test_a_dependency_runs_once_for_a_message(broker: MemoryBroker) -> None:
    calls: list[str] = []

    def counted() -> int:
        calls.append("counted")
        return len(calls)

    def other(counted: int = Depends(counted)) -> int:
        return counted

    @broker.subscriber("orders")
    async def on_order(
        counted: int = Depends(counted),
        other: int = Depends(other),
        again: int = Depends(counted, use_cache=False),
    ) -> None:
        calls.append(f"{counted}{other}{again}")

    async with TestBroker(broker):
        await broker.publish(None, "orders")

    assert calls == ["counted", "counted", "112"]


async def test_a_dependency_shares_the_body_by_the_parameters_name(broker: MemoryBroker) -> None:
    taken: list[object] = []

    def total(price: int, count: int = 1) -> int:
        return price * count

    @broker.subscriber("orders")
    async def on_order(price: int, count: int, total: int = Depends(total)) -> None:
        taken.append(total)

    async with TestBroker(broker):
        await broker.publish({"price": 2, "count": 3}, "orders")

    assert taken == [6]


async def test_the_result_of_a_dependency_is_cast_to_the_parameter(broker: MemoryBroker) -> None:
    taken: list[object] = []

    @broker.subscriber("orders")
    async def on_order(
        number: int = Depends(lambda: "100"),
        text: object = Depends(lambda: "100", cast=False),
    ) -> None:
        taken.extend([number, text])

    async with TestBroker(broker):
        await broker.publish(None, "orders")

    assert taken == [100, "100"]


async def test_a_result_that_cannot_be_cast_names_the_parameter(
    broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    @broker.subscriber("orders")
    async def on_order(number: int = Depends(lambda: "x")) -> None: ...

    async with TestBroker(broker):
        with pytest.raises(ValidationError, match="it = 'x': Input should be a valid integer"):
            await broker.publish(None, "orders")

    assert "while casting parameter 'number' of 'on_order' (test_dependencies.py:" in caplog.text


async def test_teardown_runs_after_the_handler_and_before_anything_is_published_or_settled(
    broker: MemoryBroker,
) -> None:
    calls: list[str] = []

    async def connection(message: Message) -> AsyncIterator[None]:
        calls.append("open")
        yield
        calls.append(f"close, settled: {message.processed}")

    @broker.publisher("out")
    @broker.subscriber("in")
    async def handle(connection: None = Depends(connection)) -> str:
        calls.append("handle")
        return "result"

    @broker.subscriber("out")
    async def on_result(result: str) -> None:
        calls.append(f"published {result}")

    async with TestBroker(broker):
        await broker.publish(None, "in")

    assert calls == ["open", "handle", "close, settled: False", "published result"]


async def test_a_teardown_that_fails_fails_the_message(broker: MemoryBroker) -> None:
    def transaction() -> Iterator[None]:
        yield
        raise OSError("the commit failed")

    @broker.publisher("out")
    @broker.subscriber("in")
    async def handle(transaction: None = Depends(transaction)) -> str:
        return "never published"

    @broker.subscriber("out")
    async def on_result(result: str) -> None:
        pytest.fail(result)

    async with TestBroker(broker):
        with pytest.raises(OSError, match="the commit failed"):
            await broker.publish(None, "in")


async def test_the_handlers_exception_is_raised_at_the_yield(broker: MemoryBroker) -> None:
    seen: list[str] = []

    def transaction() -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            seen.append(f"rolled back: {error}")
            raise

    @broker.subscriber("in")
    async def handle(transaction: None = Depends(transaction)) -> None:
        raise ValueError("no")

    async with TestBroker(broker):
        with pytest.raises(ValueError, match="no"):
            await broker.publish(None, "in")

    assert seen == ["rolled back: no"]


async def test_teardown_runs_also_for_a_handler_that_is_cancelled(broker: MemoryBroker) -> None:
    seen: list[str] = []
    broker = MemoryBroker(graceful_timeout=1)

    def lock() -> Iterator[None]:
        try:
            yield
        finally:
            seen.append("unlocked")

    @broker.subscriber("in", group="g")
    async def handle(lock: None = Depends(lock)) -> None:
        await sleep_forever()

    async with broker:
        await broker.start()
        await broker.publish(None, "in")
        await wait_all_tasks_blocked()

    assert seen == ["unlocked"]
    assert broker.unread("in") == 1


async def test_dependencies_for_their_effect_run_broker_first(broker: MemoryBroker) -> None:
    calls: list[str] = []

    def named(name: str) -> object:
        return Depends(lambda: calls.append(name))

    broker = MemoryBroker(dependencies=[named("broker")])

    @broker.subscriber("orders", dependencies=[named("subscriber 1"), named("subscriber 2")])
    async def on_order(order: int, own: None = Depends(lambda: calls.append("own"))) -> None:
        calls.append("handler")

    async with TestBroker(broker):
        await broker.publish(1, "orders")

    assert calls == ["broker", "subscriber 1", "subscriber 2", "own", "handler"]


async def test_a_dependency_for_its_effect_can_keep_the_handler_from_running() -> None:
    def authorized(word: str = Header(default="")) -> None:
        if word != "open sesame":
            raise PermissionError("not the word")

    broker = MemoryBroker(dependencies=[Depends(authorized)])
    calls: list[int] = []

    @broker.subscriber("orders")
    async def on_order(order: int) -> None:
        calls.append(order)

    async with TestBroker(broker):
        await broker.publish(1, "orders", headers={"word": "open sesame"})
        with pytest.raises(PermissionError):
            await broker.publish(2, "orders")

    assert calls == [1]


async def test_the_provider_overrides_a_dependency_also_while_running(
    broker: MemoryBroker,
) -> None:
    taken: list[str] = []

    def database() -> str:
        return "real"

    @broker.subscriber("orders")
    async def on_order(database: str = Depends(database)) -> None:
        taken.append(database)

    async with TestBroker(broker):
        await broker.publish(None, "orders")
        with broker.provider.scope(database, lambda: "fake"):
            await broker.publish(None, "orders")
        await broker.publish(None, "orders")

    assert taken == ["real", "fake", "real"]


async def test_sync_handlers_run_in_worker_threads_and_sync_dependencies_do_not(
    broker: MemoryBroker,
) -> None:
    threads: list[threading.Thread] = []
    here = threading.current_thread()

    def inline() -> threading.Thread:
        return threading.current_thread()

    @broker.subscriber("orders")
    def on_order(
        order: int,
        inline: threading.Thread = Depends(inline),
        apart: threading.Thread = Depends(inline, sync_to_thread=True),
    ) -> None:
        threads.extend([inline, apart, threading.current_thread()])

    async with TestBroker(broker):
        await broker.publish(1, "orders")

    assert threads[0] is here
    assert here not in threads[1:]


async def test_a_decorated_async_handler_is_awaited(broker: MemoryBroker) -> None:
    calls: list[int] = []

    def plain(function: Callable[[int], Awaitable[None]]) -> Callable[[int], Awaitable[None]]:
        @functools.wraps(function)
        def wrapper(order: int) -> Awaitable[None]:
            return function(order)

        return wrapper

    @broker.subscriber("orders")
    @plain
    async def on_order(order: int) -> None:
        calls.append(order)

    async with TestBroker(broker):
        await broker.publish(1, "orders")

    assert calls == [1]


def test_a_circle_of_dependencies_is_refused_at_the_declaration(broker: MemoryBroker) -> None:
    def hen(egg: object = None) -> None: ...

    def egg(hen: object = Depends(hen)) -> None: ...

    hen.__defaults__ = (Depends(egg),)

    with pytest.raises(DeclarationError, match=r"in a circle: .*'hen' .* → 'egg' .* → 'hen'"):

        @broker.subscriber("eggs")
        async def on_egg(hen: object = Depends(hen)) -> None: ...


async def test_a_dependency_reads_fields_of_the_body_like_the_handler(broker: MemoryBroker) -> None:
    taken: list[object] = []

    def total(price: int, count: int = 1) -> int:
        return price * count

    @broker.subscriber("orders")
    async def on_order(number: int, total: int = Depends(total)) -> None:
        taken.append((number, total))

    async with TestBroker(broker):
        await broker.publish({"number": 7, "price": 5, "count": 2}, "orders")
        await broker.publish({"number": 8, "price": 5}, "orders")

    assert taken == [(7, 10), (8, 5)]


def test_two_markers_on_one_parameter_are_refused_at_the_declaration(
    broker: MemoryBroker,
) -> None:
    with pytest.raises(DeclarationError, match=r"'order' of 'on_order' .* has 2 markers"):

        @broker.subscriber("orders")
        async def on_order(order: Annotated[int, Context()] = Header()) -> None: ...


def test_a_generator_is_no_handler(broker: MemoryBroker) -> None:
    with pytest.raises(DeclarationError, match=r"'on_order' .* is no handler but a generator"):

        @broker.subscriber("orders")
        async def on_order(order: int) -> AsyncIterator[int]:
            yield order


def test_a_dependency_without_depends_is_refused_at_the_declaration(broker: MemoryBroker) -> None:
    def effect() -> None: ...

    with pytest.raises(
        DeclarationError, match=r"\(test_dependencies\.py:\d+\) hold .*; write Depends\("
    ):

        @broker.subscriber("orders", dependencies=[effect])
        async def on_order(order: int) -> None: ...
