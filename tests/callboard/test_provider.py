"""What stands in for dependencies, on brokers and applications."""

from __future__ import annotations

from typing import Annotated

import pytest

from callboard import (
    App,
    DeclarationError,
    Depends,
    MemoryBroker,
    Provider,
    TestApp,
    TestBroker,
)

pytestmark = pytest.mark.anyio


def who() -> str:
    return "nobody"


Who = Annotated[str, Depends(who)]


def told(broker: MemoryBroker) -> list[str]:
    said: list[str] = []

    @broker.subscriber("in")
    async def handle(_: int, name: Who) -> None:
        said.append(name)

    return said


async def test_a_provider_may_be_shared_by_brokers() -> None:
    provider = Provider()
    one, other = MemoryBroker(provider=provider), MemoryBroker(provider=provider)
    said, heard = told(one), told(other)
    provider.override(who, lambda: "Ann")

    async with TestBroker(one):
        await one.publish(1, "in")
    async with TestBroker(other):
        await other.publish(1, "in")

    assert said == heard == ["Ann"]


async def test_what_an_application_overrides_holds_on_its_brokers() -> None:
    broker = MemoryBroker()
    app = App(broker)
    said = told(broker)

    async with TestBroker(broker):
        app.provider.override(who, lambda: "app")
        await broker.publish(1, "in")
        with broker.provider.scope(who, lambda: "broker"):
            await broker.publish(2, "in")
        await broker.publish(3, "in")

    assert said == ["app", "broker", "app"]


async def test_a_provider_of_an_application_holds_for_its_hooks() -> None:
    provider = Provider()
    provider[who] = lambda: "Ann"
    broker, said = MemoryBroker(), list[str]()
    app = App(broker, provider=provider)

    @app.on_startup
    async def greet(name: Who) -> None:
        said.append(name)

    async with TestBroker(broker), TestApp(app):
        assert app.provider is provider

    assert said == ["Ann"]


@pytest.mark.parametrize("owner", [MemoryBroker, App])
async def test_what_can_t_stand_in_for_anything_is_refused(owner: type) -> None:
    with pytest.raises(
        DeclarationError, match=r"provider=\{\} of an? \w+ must be a callboard\.Prov"
    ):
        owner(provider={})
