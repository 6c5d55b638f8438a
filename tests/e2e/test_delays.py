"""A message that is published for later comes then, on every broker that can keep it back."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from callboard import MemoryBroker, Message
from callboard.nats import JStream, NatsBroker
from callboard.rabbit import RabbitBroker

from ..brokers.nats import server as nats_server
from ..brokers.rabbit import server as rabbit_server
from .test_kafka import Heard

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

Place = tuple[Any, dict[str, Any], dict[str, Any]]
"""A broker, and what its subscriber and its publications are told."""


@pytest.fixture
async def place(request: pytest.FixtureRequest) -> AsyncGenerator[Place]:
    name = f"late_{uuid4().hex}"
    if request.param == "rabbit":
        url = os.environ["CALLBOARD_RABBIT"]
        yield RabbitBroker(url), {"queue": name}, {"queue": name}
        async with rabbit_server.server_at(url) as server:
            await server.delete(name)
    elif request.param == "nats":
        address = os.environ["CALLBOARD_NATS"]
        async with nats_server.server_at(address) as server:
            if server.version < (2, 12):
                pytest.skip("a stream keeps messages back from NATS 2.12 on")
            server.made.add(name)
            stream = JStream(name, [f"{name}.>"], storage="memory")
            told = {"subject": f"{name}.a", "stream": name}
            yield NatsBroker(address), {"stream": stream, "durable": "d"}, told
    else:
        yield MemoryBroker(), {"address": name}, {"address": name}


KINDS = [
    "memory",
    pytest.param("rabbit", marks=pytest.mark.broker("rabbit")),
    pytest.param("nats", marks=pytest.mark.broker("nats")),
]


@pytest.mark.parametrize("place", KINDS, indirect=True)
async def test_a_message_waits_for_its_time(place: Place) -> None:
    broker, source, target = place
    heard = Heard[tuple[object, bool]](3)

    async def hear(body: dict[str, Any], message: Message) -> None:
        due = datetime.fromisoformat(body["due"])
        in_time = datetime.now(UTC) >= due - timedelta(seconds=0.05)
        heard.hear((body["name"], in_time and message.headers.get("kind") == "late"))

    broker.subscriber(**source)(hear)
    async with broker:
        await broker.start()
        now, told = datetime.now(UTC), {"headers": {"kind": "late"}, **target}

        def body(name: str, after: float) -> dict[str, str]:
            return {"name": name, "due": (now + timedelta(seconds=after)).isoformat()}

        at = now + timedelta(seconds=1.5)
        await broker.publish(body("at", 1.5), at=at, **told)
        await broker.publish(body("delay", 0.5), delay=timedelta(seconds=0.5), **told)
        await broker.publish(body("now", 0), at=now - timedelta(hours=1), **told)
        await heard.complete()

    assert sorted(heard, key=str) == [("at", True), ("delay", True), ("now", True)]
