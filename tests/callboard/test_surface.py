"""What users see of a broker, of a router and of what is declared: no name more unnoticed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from callboard import App, DeclarationError, Depends, MemoryBroker, Message, Response
from callboard.kafka import KafkaBroker, KafkaRouter
from callboard.memory import MemoryRouter
from callboard.nats import NatsBroker, NatsRouter
from callboard.rabbit import RabbitBroker, RabbitRouter

ROUTER = {
    "subscriber", "publisher", "subscribers", "publishers", "routers",
    "include_router", "include_routers", "add_middleware", "insert_middleware",
    "declared",  # for modules of brokers
}  # fmt: skip
BROKER = ROUTER | {
    "connect", "start", "stop", "ping", "publish", "request", "schedule",
    "running", "ready", "unready", "tree",
    "name", "events", "context", "provider",
    "out",  # for modules of brokers
    "slot",  # for whoever runs it
}  # fmt: skip


@pytest.mark.parametrize(
    ("thing", "members"),
    [
        (KafkaBroker(), BROKER | {"publish_batch", "flush"}),
        (MemoryBroker(), BROKER | {"unread", "dead_letters"}),
        (RabbitBroker(), BROKER | {"declare_queue", "declare_exchange"}),
        (NatsBroker(), BROKER | {"key_value", "object_storage", "new_inbox"}),
        (NatsRouter(), ROUTER),
        (KafkaRouter(), ROUTER),
        (RabbitRouter(), ROUTER),
        (MemoryRouter(), ROUTER),
        (
            MemoryBroker().publisher("out"),
            {"publish", "request", "target", "options", "outlet", "decorated"}
            | {"mock", "wait_call", "recorder", "called"}
            | {"assert_called_once_with", "assert_called_with", "assert_any_call"},
        ),
        (
            MemoryBroker().subscriber("in"),
            {"start", "stop", "running", "get_one", "subscription"}
            | {"name", "source", "options", "calls"},
        ),
    ],
    ids=lambda each: type(each).__name__,
)
def test_no_member_becomes_public_unnoticed(thing: object, members: set[str]) -> None:
    assert {name for name in dir(thing) if not name.startswith("_")} == members


def made_here() -> None: ...


WRONG: Any = made_here  # which no checker would let pass
HERE = r"\(test_surface.py:\d+\)"


@pytest.mark.parametrize(
    ("declare", "says"),
    [
        (lambda: MemoryBroker().subscriber(WRONG), f"'made_here' {HERE} is decorated by Memory"),
        (lambda: KafkaBroker().subscriber(WRONG), f"'made_here' {HERE} is decorated by Kafka"),
        (lambda: KafkaRouter().publisher(WRONG), r"told an address first: @broker.publisher\("),
    ],
)
def test_a_decorator_without_parentheses_says_what_is_missing(
    declare: Callable[[], object], says: str
) -> None:
    with pytest.raises(DeclarationError, match=says):
        declare()


def test_a_result_is_no_dependency() -> None:
    with pytest.raises(DeclarationError, match=rf"'handle' {HERE} depends on 1, which can't be"):

        @MemoryBroker().subscriber("orders")
        def handle(order: int, one: int = Depends(1)) -> None: ...  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - what is refused


@pytest.mark.anyio
async def test_an_application_without_a_broker_says_where_it_was_made() -> None:
    app = App()
    with pytest.raises(DeclarationError, match=r"the application of test_surface.py:\d+ has no br"):
        await app.run()


def test_what_users_meet_says_what_it_is() -> None:
    broker = MemoryBroker()
    orders = broker.subscriber("orders")

    @orders
    async def handle(order: int) -> None: ...

    assert repr(orders) == "<Subscriber of 'orders', handled by handle>"
    assert repr(broker.publisher("out")) == "<Publisher to 'out'>"
    assert (
        repr(App(KafkaBroker("kafka:9092"))) == "<App 'Callboard' of <KafkaBroker at kafka:9092>>"
    )
    assert repr(handle).startswith("<Handler 'handle' (test_surface.py:")
    assert repr(Response({"id": 1})) == "<Response of {'id': 1}>"
    assert repr(Message(b"1234", message_id="7")) == "<Message '7' of '', 4 bytes>"
    assert repr(MemoryRouter()) == "<MemoryRouter of no subscribers>"
