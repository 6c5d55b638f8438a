"""Routers: declarations that are made apart from a broker, and included in it."""

from __future__ import annotations

import pytest

from callboard import (
    AckPolicy,
    Broker,
    Context,
    DeclarationError,
    Depends,
    Handle,
    MemoryBroker,
    Message,
    Path,
    TestBroker,
)
from callboard.kafka import KafkaBroker, KafkaRouter, TestKafkaBroker, TopicPartition
from callboard.memory import MemoryRouter, MemorySource, MemoryTarget
from callboard.specification import AsyncAPI
from callboard_brokers import Capacity

pytestmark = pytest.mark.anyio


async def test_what_is_declared_on_a_router_runs_on_its_broker(broker: MemoryBroker) -> None:
    router = MemoryRouter()
    heard: list[int] = []

    @router.publisher("out")
    @router.subscriber("in")
    async def double(number: int) -> int:
        return 2 * number

    broker.include_router(router)

    @router.subscriber("out")  # later counts too
    async def hear(number: int) -> None:
        heard.append(number)

    async with TestBroker(broker):
        await broker.publish(1, "in")

    assert heard == [2]


async def test_prefixes_compose_from_the_outside_in_and_reach_publishers(
    broker: MemoryBroker,
) -> None:
    inner, outer = MemoryRouter(prefix="inner."), MemoryRouter(prefix="outer.")
    heard: list[tuple[str, str]] = []
    results = inner.publisher("out")

    @results
    @inner.subscriber("in.{name}")
    async def answer(number: int, name: str = Path()) -> str:
        return f"{name}{number}"

    @inner.subscriber("out")
    async def hear(text: str, message: Message) -> None:
        heard.append((message.address, text))

    outer.include_router(inner)
    broker.include_router(outer, prefix="test.")
    async with TestBroker(broker):
        await broker.publish(1, "test.outer.inner.in.a")
        await results.publish("by hand")
        results.mock.assert_called_with("by hand")

    assert heard == [("test.outer.inner.out", "a1"), ("test.outer.inner.out", "by hand")]


async def test_a_router_may_be_included_in_several_brokers(broker: MemoryBroker) -> None:
    other, router = MemoryBroker(), MemoryRouter()
    seen: list[object] = []

    @router.publisher("out")
    @router.subscriber("in")
    async def handle(number: int, broker: Broker[MemoryTarget] = Context()) -> int:
        seen.append(broker)
        return number

    @router.subscriber("out")
    async def hear(number: int, broker: Broker[MemoryTarget] = Context()) -> None:
        seen.append(broker)

    broker.include_router(router)
    other.include_router(router)
    for each in (broker, other, broker):
        async with TestBroker(each):
            await each.publish(1, "in")

    assert seen == [broker, broker, other, other, broker, broker]


async def test_middlewares_and_dependencies_come_from_the_outside_in(
    broker: MemoryBroker,
) -> None:
    order: list[str] = []

    def middleware(name: str) -> object:
        def around(handle: Handle) -> Handle:
            async def call(message: Message) -> object:
                order.append(name)
                return await handle(message)

            return call

        return around

    def dependency(name: str) -> object:
        return Depends(lambda: order.append(name.upper()))

    broker = MemoryBroker(middlewares=[middleware("a")], dependencies=[dependency("a")])  # type: ignore[list-item] # pyright: ignore[reportArgumentType] - made above
    router = MemoryRouter(middlewares=[middleware("c")], dependencies=[dependency("c")])  # type: ignore[list-item] # pyright: ignore[reportArgumentType] - made above

    @router.subscriber("in", dependencies=[dependency("d")])
    async def handle(number: int) -> None: ...

    broker.include_router(
        router,
        middlewares=[middleware("b")],  # type: ignore[list-item] # pyright: ignore[reportArgumentType] - made above
        dependencies=[dependency("b")],
    )
    async with TestBroker(broker):
        await broker.publish(1, "in")

    assert order == ["a", "b", "c", "A", "B", "C", "D"]


async def test_the_nearest_says_what_is_inherited() -> None:
    broker = MemoryBroker(ack_policy=AckPolicy.REJECT_ON_ERROR, dead_letter="broker.dead")
    router = MemoryRouter(ack_policy=AckPolicy.ACK, dead_letter="router.dead")
    collected: list[str] = []

    @router.subscriber("in", ack_policy=AckPolicy.REJECT_ON_ERROR)
    @router.subscriber("acknowledged")
    async def handle(number: int) -> None:
        raise ValueError

    @broker.subscriber("router.dead")
    async def collect(number: int) -> None:
        collected.append(f"router {number}")

    @broker.subscriber("broker.dead")
    async def collect_elsewhere(number: int) -> None:
        collected.append(f"broker {number}")

    broker.include_router(router)
    async with TestBroker(broker):
        for number, address in enumerate(("in", "acknowledged")):
            with pytest.raises(ValueError):  # noqa: PT011 - raised above, without words
                await broker.publish(number, address)

    assert collected == ["router 0"]


def test_the_document_has_prefixes_and_leaves_out_what_is_hidden(broker: MemoryBroker) -> None:
    shown, hidden = MemoryRouter(prefix="a."), MemoryRouter(prefix="b.", include_in_schema=False)
    for router in (shown, hidden):

        @router.publisher("out")
        @router.subscriber("in")
        async def handle(number: int) -> int:
            return number

    broker.include_routers(shown, hidden)
    document = AsyncAPI(broker).to_specification().to_jsonable()

    assert sorted(each["address"] for each in document["channels"].values()) == ["a.in", "a.out"]


async def test_kafka_prefixes_topics_patterns_and_partitions() -> None:
    broker, router = KafkaBroker(), KafkaRouter(prefix="a.")
    heard: list[str] = []

    @router.subscriber("x", "y")
    @router.subscriber(pattern=r"{name}\.z")
    @router.subscriber(partitions=[TopicPartition("w", 0)])
    async def handle(text: str) -> None:
        heard.append(text)

    broker.include_router(router)
    async with TestKafkaBroker(broker):
        for topic in ("a.x", "a.y", "a.b.z", "a.w", "x", "axb.z"):
            await broker.publish(topic, topic)

    assert heard == ["a.x", "a.y", "a.b.z", "a.w"]


def test_a_router_of_another_broker_is_refused(broker: MemoryBroker) -> None:
    with pytest.raises(DeclarationError, match="a MemoryBroker can't include a KafkaRouter"):
        broker.include_router(KafkaRouter())


def test_a_router_is_not_included_in_itself() -> None:
    inner, outer = MemoryRouter(), MemoryRouter()
    outer.include_router(inner)

    with pytest.raises(DeclarationError, match="in itself"):
        inner.include_router(outer)


async def test_a_publisher_of_a_router_without_a_broker_says_so() -> None:
    with pytest.raises(DeclarationError, match="belongs to no broker yet"):
        await MemoryRouter().publisher("out").publish(1)


def test_options_of_a_router_are_checked() -> None:
    with pytest.raises(DeclarationError, match="ack_policy='ack' of a router"):
        MemoryRouter(ack_policy="ack")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - wrong on purpose


async def test_a_router_that_is_included_twice_in_a_broker_is_refused(
    broker: MemoryBroker,
) -> None:
    router = MemoryRouter()

    @router.subscriber("in")
    async def handle(number: int) -> None: ...

    broker.include_router(router, prefix="a.")
    broker.include_router(router, prefix="b.")
    async with broker:
        with pytest.raises(DeclarationError, match="make a router for each"):
            await broker.start()


async def test_a_prefix_holds_for_every_alternative_of_a_pattern() -> None:
    broker, router = KafkaBroker(), KafkaRouter(prefix="shop.")
    heard: list[str] = []

    @router.subscriber(pattern="a|b")
    async def handle(text: str) -> None:
        heard.append(text)

    broker.include_router(router)
    async with TestKafkaBroker(broker):
        for topic in ("a", "b", "shop.a", "shop.b"):
            await broker.publish(topic, topic)

    assert heard == ["shop.a", "shop.b"]


async def open_group(broker: MemoryBroker, address: str) -> None:
    """Have what is published to *address* kept."""
    async with broker.slot.connection.subscribe(MemorySource(address, group="g"), Capacity(1)):
        pass


async def test_a_publisher_of_a_router_leads_to_the_broker_that_it_was_included_in_last() -> None:
    first, second, router = MemoryBroker(), MemoryBroker(), MemoryRouter(prefix="a.")
    results = router.publisher("out")
    first.include_router(router)
    async with first, second:
        await open_group(first, "a.out")
        await open_group(second, "b.a.out")
        await results.publish(1)
        second.include_router(router, prefix="b.")
        await results.publish(2)

        assert (first.unread("a.out"), second.unread("b.a.out")) == (1, 1)


async def test_a_publisher_that_is_declared_while_its_broker_runs_has_its_prefix(
    broker: MemoryBroker,
) -> None:
    router = MemoryRouter(prefix="a.")
    broker.include_router(router)
    async with broker:
        await router.publisher("first").publish(1)
        await open_group(broker, "a.second")
        await router.publisher("second").publish(2)

        assert broker.unread("a.second") == 1
