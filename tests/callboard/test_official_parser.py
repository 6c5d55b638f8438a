"""Documents of every version, broker and example application, as the official parser judges them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from pydantic import BaseModel

from callboard import App, Broker, Header, MemoryBroker
from callboard.kafka import KafkaBroker
from callboard.nats import NatsBroker
from callboard.rabbit import RabbitBroker, RabbitExchange, RabbitQueue
from callboard.security import (
    NatsNKey,
    NatsToken,
    RabbitExternalAuth,
    SASLOAuthBearer,
    SASLPlaintext,
    SASLScram256,
    SASLScram512,
)
from callboard.specification import AsyncAPI
from callboard_asyncapi import VERSIONS

from ..official_parser import judge

TOLD: dict[str, Any] = {
    "title": "Shop",
    "description": "Sells things.",
    "identifier": "urn:example:shop",
    "contact": {"name": "Ann", "url": "https://example.com", "email": "ann@example.com"},
    "license": {"name": "MIT", "url": "https://example.com/license"},
    "tags": ["sales"],
    "external_docs": {"url": "https://example.com/docs"},
    "terms_of_service": "https://example.com/terms",
}
EXAMPLES = ("alerts", "orders", "payments", "ports")


class Order(BaseModel):
    id: int
    items: list[str] = []


async def token() -> str:
    return "secret"


def on_kafka() -> KafkaBroker:
    security = SASLOAuthBearer(token=token, use_ssl=True)
    broker = KafkaBroker("one:9092,two:9092", security=security, tags=["main"])

    @broker.publisher("out", schema=str)
    @broker.subscriber("a", "b", group_id="g", batch=True)
    async def on_batch(orders: list[Order]) -> None: ...

    @broker.subscriber(pattern=r"year\d{4}\.{kind}")
    async def on_pattern(order: Order, tenant: str = Header()) -> int: ...  # type: ignore[empty-body] # never called

    return broker


def on_rabbit() -> RabbitBroker:
    security = SASLPlaintext("ann", "secret")
    broker = RabbitBroker("amqp://h:1/shop", security=security, description="In the cellar.")
    logs, all_of_it = RabbitExchange("logs", type="topic"), RabbitExchange("all", type="fanout")

    @broker.publisher("out", exchange="e", routing_key="k")
    @broker.subscriber(RabbitQueue("q", routing_key="logs.{level}"), logs)
    async def on_log(number: int, order: Order) -> Order:
        return order

    @broker.publisher(exchange=all_of_it)
    @broker.subscriber("everything", all_of_it)
    async def on_all() -> None: ...

    broker.subscriber("by_hand")
    return broker


def on_nats() -> NatsBroker:
    broker = NatsBroker(["nats://one", "nats://two"], security=NatsToken("secret"))

    @broker.publisher("out")
    @broker.subscriber("logs.{level}.*", queue="workers")
    async def on_log(text: str) -> list[Order]: ...  # type: ignore[empty-body] # never called

    @broker.subscriber("js.>", stream="s", durable="d", title="Of/all")
    async def on_stream(order: Order) -> None: ...

    return broker


def secured() -> list[AsyncAPI]:
    brokers: list[Broker[Any]] = [
        KafkaBroker(security=SASLScram256("ann", "secret")),
        KafkaBroker(security=SASLScram512("ann", "secret")),
        NatsBroker(security=NatsNKey("seed")),
        RabbitBroker(security=RabbitExternalAuth(use_ssl=True)),
    ]
    return [AsyncAPI(*brokers, **TOLD)]


def test_the_official_parser_finds_nothing_wrong_and_nothing_missing() -> None:
    brokers = (on_kafka, on_rabbit, on_nats)
    written = [(make.__name__, AsyncAPI(make(), **TOLD)) for make in brokers]
    written += [("secured", each) for each in secured()]
    for name in EXAMPLES:
        app: App = import_module(f"{name}.app").app
        urls = {} if app.broker and app.broker.slot.around.kind.url else {"in_memory": True}
        told = AsyncAPI(*app.brokers, **TOLD)
        written.append((f"{name}{' in memory' if urls else ''}", told))
    documents = {
        f"{name}, {version}": schema.to_specification(version).to_json()
        for name, schema in written
        for version in VERSIONS
    }

    judged = judge(documents)

    # A broker in this process has no server, which version 2 recommends to have.
    wrong = {
        name: rest
        for name, lines in judged.items()
        if (rest := [e for e in lines if "in memory" not in name or "asyncapi-servers" not in e])
    }
    assert wrong == {}
    assert len(judged) == 3 * (len(brokers) + 1 + len(EXAMPLES))
    assert not any("secret" in each for each in documents.values())


ADDRESSES = st.sampled_from(["a", "a.b", "a/b", "a-{x}", "{x}.{y}", "ä", "a b", "%41", "a~1", "#"])
TYPES = st.sampled_from([int, str, bytes, Order, list[Order], dict[str, int], int | None, Any])
DECLARED = st.tuples(
    ADDRESSES,
    TYPES,
    st.sampled_from([None, "Title", "/", "A title/of it", "a.b:Handle"]),
    st.booleans(),
    st.sampled_from(["receive", "send", "both"]),
)


def declared(ends: list[tuple[str, Any, str | None, bool, str]]) -> AsyncAPI:
    broker = MemoryBroker()
    for address, kind, title, batch, what in ends:
        several: Any = list[kind]  # type: ignore[valid-type] # known at run time only
        if what != "receive" and "{" not in address:
            broker.publisher(address, schema=kind, title=title, batch=batch)
        if what != "send":

            async def handle(body: Any) -> Any: ...

            handle.__annotations__ = {"body": several if batch else kind, "return": kind}
            broker.subscriber(address, title=title, batch=batch)(handle)
    return AsyncAPI(broker, **TOLD)


@settings(max_examples=30)
@given(st.lists(DECLARED, max_size=5))
def test_whatever_is_declared_has_a_valid_document(
    official_of: Callable[[str], Draft7Validator],
    ends: list[tuple[str, Any, str | None, bool, str]],
) -> None:
    schema = declared(ends)

    for version in VERSIONS:
        written = schema.to_specification(version).to_jsonable()
        found = official_of(version).iter_errors(written)  # pyright: ignore[reportUnknownMemberType] - its stub leaves a parameter open
        assert [error.message for error in found] == []


def test_a_sample_of_what_may_be_declared_passes_the_official_parser() -> None:
    ends = [
        (address, kind, title, batch, "both")
        for n, address in enumerate(["a", "a.b", "a/b", "a-{x}", "{x}.{y}", "a b", "%41", "#"])
        for kind, title, batch in [
            (int, None, False),
            (Order, f"Title {n}", True),
            (list[Order], "a.b:Handle", n % 2 == 0),
        ]
    ]
    schema = declared(ends)

    judged = judge({each: schema.to_specification(each).to_json() for each in VERSIONS})

    assert [e for lines in judged.values() for e in lines if "asyncapi-servers" not in e] == []


@pytest.mark.parametrize("version", ["4.0.0", "2.5.0", "3"])
def test_a_version_that_is_not_written_is_refused(version: str) -> None:
    with pytest.raises(NotImplementedError, match=r"give one of 3\.0\.0, 3\.1\.0, 2\.6\.0"):
        AsyncAPI(schema_version=version)
