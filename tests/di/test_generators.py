from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from callboard_di import Depends, InjectionError, SwallowedError, plan

from .toy import Toy

pytestmark = pytest.mark.anyio


def bound(handle: Any, *dependencies: Any) -> Any:
    return plan(handle, resolver=Toy(), dependencies=dependencies).bind()


def noting(order: list[str], name: str) -> Callable[[], AsyncIterator[str]]:
    async def generate() -> AsyncIterator[str]:
        order.append(f"open {name}")
        try:
            yield name
        except BaseException as error:
            order.append(f"{type(error).__name__} in {name}")
            raise
        finally:
            order.append(f"close {name}")

    return generate


async def test_generators_are_closed_after_the_handler_in_reverse_order() -> None:
    order: list[str] = []

    def sync() -> Iterator[str]:
        order.append("open sync")
        yield "sync"
        order.append("close sync")

    async def handle(a: str = Depends(noting(order, "async")), b: str = Depends(sync)) -> object:
        order.append("handle")
        return a, b

    assert await bound(handle)({}) == ("async", "sync")
    assert order == ["open async", "open sync", "handle", "close sync", "close async"]


async def test_the_exception_of_the_handler_is_raised_in_every_generator() -> None:
    order: list[str] = []

    async def handle(
        a: str = Depends(noting(order, "a")), b: str = Depends(noting(order, "b"))
    ) -> None:
        raise LookupError("x")

    with pytest.raises(LookupError, match="x"):
        await bound(handle)({})
    assert order[2:] == ["LookupError in b", "close b", "LookupError in a", "close a"]


async def test_the_exception_of_a_later_dependency_closes_the_earlier_ones() -> None:
    order: list[str] = []

    def deny() -> None:
        raise PermissionError

    async def handle() -> None: ...

    with pytest.raises(PermissionError):
        await bound(handle, Depends(noting(order, "a")), Depends(deny))({})
    assert order == ["open a", "PermissionError in a", "close a"]


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_generator_that_swallows_the_exception_is_an_error(in_thread: bool) -> None:
    def swallow() -> Iterator[None]:
        with suppress(ValueError):
            yield

    async def handle() -> None:
        raise ValueError("hidden")

    with pytest.raises(SwallowedError, match="'swallow' caught ValueError") as caught:
        await bound(handle, Depends(swallow, sync_to_thread=in_thread))({})
    assert isinstance(caught.value.__cause__, ValueError)


async def test_a_generator_may_raise_another_exception_which_the_next_one_gets() -> None:
    order: list[str] = []

    async def translate() -> AsyncIterator[None]:
        try:
            yield
        except ValueError as error:
            raise TypeError from error

    async def handle() -> None:
        raise ValueError

    with pytest.raises(TypeError):
        await bound(handle, Depends(noting(order, "a")), Depends(translate))({})
    assert order[1:] == ["TypeError in a", "close a"]


async def test_an_exception_while_closing_fails_the_call_and_is_raised_in_the_rest() -> None:
    order: list[str] = []

    async def commit() -> AsyncIterator[None]:
        yield
        raise ConnectionError

    async def handle() -> str:
        return "lost"

    with pytest.raises(ConnectionError):
        await bound(handle, Depends(noting(order, "a")), Depends(commit))({})
    assert order[1:] == ["ConnectionError in a", "close a"]


async def test_a_generator_cannot_stop_a_cancellation() -> None:
    async def swallow() -> AsyncIterator[None]:
        with suppress(BaseException):
            yield

    async def handle() -> None:
        await anyio.sleep_forever()

    with anyio.move_on_after(1) as scope:
        await bound(handle, Depends(swallow))({})
    assert scope.cancelled_caught


@pytest.mark.parametrize("yields", [0, 2])
async def test_a_generator_has_to_yield_exactly_once(yields: int) -> None:
    async def generate() -> AsyncIterator[None]:
        for _ in range(yields):
            yield

    async def handle(it: None = Depends(generate)) -> None: ...

    with pytest.raises(InjectionError, match="'generate' has to yield exactly once"):
        await bound(handle)({})


async def test_a_generator_that_yields_again_after_a_failure_is_an_error() -> None:
    async def generate() -> AsyncIterator[None]:
        try:
            yield
        except ValueError:
            yield

    async def handle(it: None = Depends(generate)) -> None:
        raise ValueError

    with pytest.raises(InjectionError, match="'generate' has to yield exactly once"):
        await bound(handle)({})


async def test_a_sync_generator_runs_in_threads_if_it_asks_for_them() -> None:
    threads: list[int] = []

    def generate() -> Iterator[str]:
        threads.append(threading.get_ident())
        yield "value"
        threads.append(threading.get_ident())

    async def handle(it: str = Depends(generate, sync_to_thread=True)) -> str:
        return it

    assert await bound(handle)({}) == "value"
    assert len(threads) == 2
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_sync_generator_can_reset_what_it_has_set(in_thread: bool) -> None:
    session: ContextVar[str] = ContextVar("session", default="none")
    found: list[str] = []

    def generate() -> Iterator[str]:
        token = session.set("open")
        yield session.get()
        found.append(session.get())
        session.reset(token)
        found.append(session.get())

    async def handle(it: str = Depends(generate, sync_to_thread=in_thread)) -> str:
        return it

    assert await bound(handle)({}) == "open"
    assert found == ["open", "none"]


async def test_a_generator_in_a_thread_is_closed_after_a_cancellation() -> None:
    closed = threading.Event()

    def generate() -> Iterator[None]:
        try:
            yield
        finally:
            closed.set()

    async def handle(it: None = Depends(generate, sync_to_thread=True)) -> None:
        await anyio.sleep_forever()

    with anyio.move_on_after(1):
        await bound(handle)({})
    assert closed.is_set()


async def test_a_scope_closes_generators_when_its_block_is_left() -> None:
    order: list[str] = []

    class Tally:
        def __init__(self, session: str = Depends(noting(order, "session"))) -> None:
            self.session = session

    scope = plan(Tally, resolver=Toy()).bind_scope()

    async with scope({}) as tally:
        assert isinstance(tally, Tally)
        assert order == ["open session"]
    assert order == ["open session", "close session"]


async def test_an_exception_out_of_a_scope_is_raised_in_its_generators() -> None:
    order: list[str] = []

    def build(session: str = Depends(noting(order, "session"))) -> str:
        return session

    with pytest.raises(ValueError, match="crash"):
        async with plan(build, resolver=Toy()).bind_scope()({}):
            raise ValueError("crash")
    assert order == ["open session", "ValueError in session", "close session"]
