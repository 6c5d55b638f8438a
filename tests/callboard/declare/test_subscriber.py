"""Declarations of subscribers: which handler takes which message, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import pytest
from anyio import wait_all_tasks_blocked

from callboard import DeclarationError, MemoryBroker, Message, TestBroker

pytestmark = pytest.mark.anyio


async def test_one_function_may_be_subscribed_to_several_addresses(broker: MemoryBroker) -> None:
    handled: list[str] = []

    @broker.subscriber("one")
    @broker.subscriber("two")
    async def handle(order: str, message: Message) -> None:
        handled.append(f"{message.address}: {order}")

    async with TestBroker(broker):
        await broker.publish("a", "one")
        await broker.publish("b", "two")

    assert handled == ["one: a", "two: b"]


async def test_without_a_group_every_subscriber_gets_every_message(broker: MemoryBroker) -> None:
    handled: list[str] = []

    @broker.subscriber("orders")
    async def first(order: int) -> None:
        handled.append("first")

    @broker.subscriber("orders")
    async def second(order: int) -> None:
        handled.append("second")

    async with TestBroker(broker):
        await broker.publish(1, "orders")

    assert sorted(handled) == ["first", "second"]


async def test_the_members_of_a_group_share_its_messages(broker: MemoryBroker) -> None:
    handled: list[int] = []

    @broker.subscriber("orders", group="g")
    async def first(order: int) -> None:
        handled.append(order)

    @broker.subscriber("orders", group="g")
    async def second(order: int) -> None:
        handled.append(order)

    async with TestBroker(broker):
        for n in range(10):
            await broker.publish(n, "orders")

    assert sorted(handled) == [*range(10)]


async def test_the_first_handler_whose_filter_fits_takes_the_message(
    broker: MemoryBroker,
) -> None:
    handled: list[str] = []
    subscriber = broker.subscriber("orders")

    async def is_rush(message: Message) -> bool:
        return message.headers.get("kind") == "rush"

    @subscriber(filter=is_rush)
    async def rush(order: int) -> None:
        handled.append(f"rush {order}")

    @subscriber(filter=lambda message: message.headers.get("kind"))  # type: ignore[arg-type,return-value] # true is enough
    async def other(order: int) -> None:
        handled.append(f"other {order}")

    @subscriber
    async def plain(order: int) -> None:
        handled.append(f"plain {order}")

    async with TestBroker(broker):
        await broker.publish(1, "orders", headers={"kind": "rush"})
        await broker.publish(2, "orders", headers={"kind": "slow"})
        await broker.publish(3, "orders")

    assert handled == ["rush 1", "other 2", "plain 3"]


async def test_a_filter_may_look_into_the_decoded_body(broker: MemoryBroker) -> None:
    handled: list[int] = []
    subscriber = broker.subscriber("orders")

    async def is_large(message: Message) -> bool:
        return await message.decode() == {"size": 10}

    @subscriber(filter=is_large)
    async def large(size: int, comment: str = "") -> None:
        handled.append(size)

    @subscriber
    async def small(size: int, comment: str = "") -> None:
        handled.append(-size)

    async with TestBroker(broker):
        await broker.publish({"size": 10}, "orders")
        await broker.publish({"size": 1}, "orders")

    assert handled == [10, -1]


async def test_a_message_that_no_filter_fits_is_rejected(
    broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    subscriber = broker.subscriber("orders", dead_letter="dead")
    letters: list[Message] = []

    @subscriber(filter=lambda message: bool(message.headers))
    async def rush(order: int) -> None:
        pytest.fail("has no headers")

    @broker.subscriber("dead")
    async def collect(message: Message) -> None:
        letters.append(message)

    async with broker:
        await broker.start()
        await broker.publish(1, "orders")
        await wait_all_tasks_blocked()

    assert [letter.headers["x-exception-message"] for letter in letters] == [
        "no handler of the subscriber has a filter that fits the message"
    ]


async def test_a_partial_and_a_callable_object_are_handlers(broker: MemoryBroker) -> None:
    handled: list[str] = []

    async def handle(prefix: str, order: int) -> None:
        handled.append(f"{prefix} {order}")

    class Greeter:
        async def __call__(self, order: int) -> None:
            handled.append(f"object {order}")

        async def greet(self, order: int) -> None:
            handled.append(f"method {order}")

    broker.subscriber("partial")(partial(handle, "partial"))
    broker.subscriber("object")(Greeter())
    broker.subscriber("method")(Greeter().greet)
    async with TestBroker(broker):
        for address in ("partial", "object", "method"):
            await broker.publish(1, address)

    assert handled == ["partial 1", "object 1", "method 1"]
    assert [each.name for each in broker.subscribers] == [
        "handle(partial)",
        "Greeter(object)",
        "Greeter.greet(method)",
    ]


async def test_a_handler_of_two_brokers_serves_both() -> None:
    first, second = MemoryBroker(), MemoryBroker()
    handled: list[int] = []

    @first.subscriber("orders")
    @second.subscriber("orders")
    async def handle(order: int) -> None:
        handled.append(order)

    async with TestBroker(first):
        await first.publish(1, "orders")
    async with TestBroker(second):
        await second.publish(2, "orders")

    assert handled == [1, 2]


def test_a_function_subscribed_twice_to_one_source_is_refused(broker: MemoryBroker) -> None:
    with pytest.raises(DeclarationError) as refused:

        @broker.subscriber("orders")
        @broker.subscriber("orders")
        async def on_order(order: int) -> None: ...

    assert str(refused.value).startswith("'on_order' (test_subscriber.py:")
    assert str(refused.value).endswith(
        "is subscribed to MemorySource(address='orders', group=None) already; say it once"
    )


def test_so_is_one_that_is_decorated_by_hand(broker: MemoryBroker) -> None:
    async def on_order(order: int) -> None: ...

    broker.subscriber("orders")(on_order)
    with pytest.raises(DeclarationError, match=r"'on_order' .* already; say it once"):
        broker.subscriber("orders")(on_order)


async def test_a_handler_behind_one_that_takes_everything_is_never_called(
    broker: MemoryBroker,
) -> None:
    subscriber = broker.subscriber("orders")
    taken: list[str] = []

    @subscriber
    async def everything(order: int) -> None:
        taken.append("everything")

    @subscriber(filter=lambda message: True)
    async def late(order: int) -> None:
        taken.append("late")

    async with TestBroker(broker):
        await broker.publish(1, "orders")

    assert taken == ["everything"]


def test_what_cannot_be_called_is_no_handler(broker: MemoryBroker) -> None:
    with pytest.raises(
        DeclarationError, match="a subscriber decorates a function or an actor class, not 5"
    ):
        broker.subscriber("orders")(5)  # type: ignore[call-overload] # wrong on purpose


def test_an_annotation_that_cannot_be_resolved_is_refused(broker: MemoryBroker) -> None:
    async def on_order(order: object) -> None: ...

    on_order.__annotations__["order"] = "Ordr"
    with pytest.raises(
        DeclarationError,
        match=r"'order' of 'on_order' .* the annotation 'Ordr', which cannot be resolved",
    ):
        broker.subscriber("orders")(on_order)


async def test_a_parameter_that_no_body_can_fill_is_refused_at_the_start(
    broker: MemoryBroker,
) -> None:
    class Database: ...

    @broker.subscriber("orders")
    async def on_order(database: Database) -> None: ...

    with pytest.raises(DeclarationError) as refused:
        await broker.start()

    assert str(refused.value).startswith("'on_order' (test_subscriber.py:")
    assert "can't get database from a body: " in str(refused.value)
    assert str(refused.value).endswith("what is no part of the body needs Depends() or Context()")


@pytest.mark.parametrize("address", ["", "logs.{level", "logs.{}", "logs.}", "{a}.{a}"])
def test_an_address_that_cannot_be_read_is_refused_at_the_declaration(
    broker: MemoryBroker, address: str
) -> None:
    with pytest.raises(DeclarationError, match="cannot read '"):
        broker.subscriber(address)


async def test_two_callable_objects_that_are_equal_are_two_handlers(broker: MemoryBroker) -> None:
    handled: list[str] = []

    @dataclass(frozen=True)
    class Clerk:
        name: str = field(compare=False)

        async def __call__(self, order: int) -> None:
            handled.append(self.name)

    broker.subscriber("orders")(Clerk("Ann"))
    broker.subscriber("orders")(Clerk("Bob"))

    async with TestBroker(broker):
        await broker.publish(1, "orders")

    assert sorted(handled) == ["Ann", "Bob"]


def test_the_same_method_is_refused_a_second_time(broker: MemoryBroker) -> None:
    class Clerk:
        async def take(self, order: int) -> None: ...

    clerk = Clerk()
    broker.subscriber("orders")(clerk.take)
    broker.subscriber("orders")(Clerk().take)

    with pytest.raises(DeclarationError, match="is subscribed to"):
        broker.subscriber("orders")(clerk.take)


def test_a_method_is_refused_in_the_body_of_its_class(broker: MemoryBroker) -> None:
    def declare() -> object:
        class Desk:
            @broker.subscriber("orders")
            async def take(self, order: int) -> None: ...

        return Desk

    with pytest.raises(
        DeclarationError, match=r"Desk.take' .* nobody gives it 'self': .*\(instance.take\)"
    ):
        declare()


def test_so_is_a_class_method_and_a_function_of_a_class(broker: MemoryBroker) -> None:
    class Desk:
        async def take(self, order: int) -> None: ...

    def declare() -> object:
        class Till:
            @classmethod
            @broker.subscriber("orders")
            async def take(cls, order: int) -> None: ...

        return Till

    with pytest.raises(DeclarationError, match="nobody gives it 'self'"):
        broker.subscriber("orders")(Desk.take)
    with pytest.raises(DeclarationError, match="nobody gives it 'cls'"):
        declare()


async def test_static_class_and_bound_methods_are_handlers(broker: MemoryBroker) -> None:
    handled: list[str] = []

    class Desk:
        @staticmethod
        @broker.subscriber("inner")
        async def inner(order: str) -> None:
            handled.append(f"inner {order}")

        @broker.subscriber("outer")
        @staticmethod
        async def outer(order: str) -> None:
            handled.append(f"outer {order}")

        @classmethod
        async def of_class(cls, order: str) -> None:
            handled.append(f"class {order}")

        async def bound(self, order: str) -> None:
            handled.append(f"bound {order}")

    broker.subscriber("class")(Desk.of_class)
    broker.subscriber("bound")(Desk().bound)

    async with TestBroker(broker):
        for address in ("inner", "outer", "class", "bound"):
            await broker.publish("1", address)
    assert handled == ["inner 1", "outer 1", "class 1", "bound 1"]
