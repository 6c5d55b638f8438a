"""Nothing of a message outlives it: what it has set is not set for the worker's next one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from anyio import sleep

from callboard import AckPolicy, Depends, Handle, MemoryBroker, Message, TestBroker
from callboard.annotations import ContextRepo

pytestmark = pytest.mark.anyio

span: ContextVar[str | None] = ContextVar("span", default=None)


async def publish_twice(broker: MemoryBroker) -> None:
    async with TestBroker(broker):
        await broker.publish("one", "words")
        await broker.publish("two", "words")


async def test_what_a_handler_sets_locally_is_gone_for_the_next_message(
    broker: MemoryBroker,
) -> None:
    found: list[object] = []

    @broker.subscriber("words")
    async def handle(body: str, context: ContextRepo) -> None:
        found.append(context.get("tenant"))
        context.set_local("tenant", body)
        await sleep(1)
        found.append(context.get("tenant"))

    await publish_twice(broker)

    assert found == [None, "one", None, "two"]


def plain(body: str) -> None:
    span.set(body)


async def waiting(body: str) -> None:
    await sleep(1)
    span.set(body)


def generator(body: str) -> Iterator[None]:
    span.set(body)
    yield


async def async_generator(body: str) -> AsyncIterator[None]:
    span.set(body)
    yield
    span.set("closed")


@pytest.mark.parametrize("dependency", [plain, waiting, generator, async_generator])
async def test_a_variable_that_a_dependency_sets_is_for_its_own_message_alone(
    broker: MemoryBroker, dependency: Callable[..., Any]
) -> None:
    found: list[object] = []

    @broker.subscriber("words", dependencies=[Depends(lambda: found.append(span.get()))])
    async def handle(body: str, _: object = Depends(dependency)) -> None:
        found.append(span.get())

    await publish_twice(broker)

    assert found == [None, "one", None, "two"]


async def test_a_variable_that_a_middleware_sets_is_for_its_own_message_alone() -> None:
    found: list[object] = []

    def tracing(handle: Handle) -> Handle:
        async def traced(message: Message) -> object:
            found.append(span.get())
            span.set(message.body.decode())
            return await handle(message)

        return traced

    broker = MemoryBroker(middlewares=[tracing])

    @broker.subscriber("words")
    async def handle(body: str) -> None:
        found.append(span.get())

    await publish_twice(broker)

    assert found == [None, "one", None, "two"]


async def test_a_sync_handler_finds_in_its_thread_what_its_message_has_set(
    broker: MemoryBroker,
) -> None:
    found: list[object] = []

    @broker.subscriber("words")
    def handle(body: str, _: object = Depends(plain)) -> None:
        found.append(span.get())
        span.set("in the thread")

    await publish_twice(broker)

    assert found == ["one", "two"]


async def test_what_is_set_for_a_message_that_fails_is_gone_as_well(broker: MemoryBroker) -> None:
    found: list[object] = []

    @broker.subscriber("words", ack_policy=AckPolicy.REJECT_ON_ERROR)
    async def handle(body: str) -> None:
        found.append(span.get())
        span.set(body)
        raise ValueError(body)

    async with TestBroker(broker):
        for word in ("one", "two"):
            with pytest.raises(ValueError, match=word):
                await broker.publish(word, "words")

    assert found == [None, None]


async def test_an_actor_keeps_its_state_and_no_context_variable(broker: MemoryBroker) -> None:
    found: list[object] = []

    @broker.subscriber("words")
    class Clerk:
        async def on_start(self) -> None:
            span.set("clerk")

        async def receive(self, body: str) -> None:
            found.append(span.get())
            span.set(body)

        async def on_stop(self, reason: object) -> None:
            found.append(span.get())

    await publish_twice(broker)

    assert found == ["clerk", "clerk", "clerk"]


async def test_a_batch_finds_nothing_of_the_one_before(broker: MemoryBroker) -> None:
    found: list[object] = []

    @broker.subscriber("words", batch=True)
    async def handle(bodies: list[str]) -> None:
        found.append(span.get())
        span.set(bodies[0])

    await publish_twice(broker)

    assert found == [None, None]


async def test_the_halves_of_a_batch_find_nothing_of_the_calls_before(
    broker: MemoryBroker,
) -> None:
    calls: list[tuple[int, object]] = []

    @broker.subscriber(
        "words", group="g", batch=True, max_records=2, batch_timeout=1, on_batch_error="split"
    )
    async def handle(bodies: list[str]) -> None:
        calls.append((len(bodies), span.get()))
        span.set(bodies[0])
        raise ValueError(bodies)

    async with broker:
        await broker.start()
        await broker.publish("one", "words")
        await broker.publish("two", "words")
        await sleep(2)

    assert calls == [(2, None), (1, None), (1, None)]


async def test_the_valid_messages_of_a_batch_find_nothing_of_the_call_before() -> None:
    found: list[object] = []

    def tracing(handle: Handle) -> Handle:
        async def traced(message: Message) -> object:
            found.append(span.get())
            span.set("set")
            return await handle(message)

        return traced

    broker = MemoryBroker(middlewares=[tracing])

    @broker.subscriber("numbers", group="g", batch=True, max_records=2, batch_timeout=1)
    async def handle(bodies: list[int]) -> None: ...

    async with broker:
        await broker.start()
        await broker.publish(1, "numbers")
        await broker.publish("no number", "numbers")
        await sleep(2)

    assert found == [None, None]
