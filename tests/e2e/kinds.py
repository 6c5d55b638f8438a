"""The brokers on which failure has to mean the same, each with a place of its own to read from."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Protocol

import pytest

from callboard import MemoryBroker, Subscriber
from callboard.kafka import KafkaBroker
from callboard.nats import JStream, NatsBroker
from callboard.rabbit import QueueType, RabbitBroker, RabbitQueue

from ..brokers.rabbit.server import server_at


class Kind(NamedTuple):
    """A broker, and how its subscribers are told where to read.

    Attributes:
        source: The place of its own.
        dead: The place of its dead letters.
        key: What a message of a lane is published with.
    """

    broker: Any
    name: str
    source: dict[str, Any]
    dead: dict[str, Any]
    key: dict[str, str] = {}  # noqa: RUF012 - of a named tuple
    server: str = ""

    def subscriber(self, **options: Any) -> Subscriber[Any]:
        """Return a subscriber of the place."""
        named = () if {"queue", "address"} & self.source.keys() else (self.name,)
        made: Subscriber[Any] = self.broker.subscriber(*named, **self.source, **options)
        return made

    def graveyard(self) -> Subscriber[Any]:
        """Return a subscriber of its dead letters."""
        made: Subscriber[Any] = self.broker.subscriber(f"{self.name}.dead", **self.dead)
        return made

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run it, and leave nothing behind."""
        async with self.broker:
            await self.broker.start()
            yield
        if self.server:
            async with server_at(os.environ[self.server]) as server:
                await server.delete(self.name)
                await server.delete(f"{self.name}.dead")


class Make(Protocol):
    def __call__(self, name: str, /, **options: Any) -> Kind: ...


def memory(name: str, /, **options: Any) -> Kind:
    broker = MemoryBroker(dead_letter="{address}.dead", **options)
    return Kind(broker, name, {"address": name, "group": name}, {"group": name}, {"key": "k"})


def kafka(name: str, /, **options: Any) -> Kind:
    broker = KafkaBroker(os.environ["CALLBOARD_KAFKA"], dead_letter="{address}.dead", **options)
    reads = {"group_id": name, "auto_offset_reset": "earliest"}
    return Kind(broker, name, reads, reads, {"key": "k"})


def rabbit(kind: QueueType, variable: str) -> Make:
    def made(name: str, /, **options: Any) -> Kind:
        broker = RabbitBroker(os.environ[variable], dead_letter="{address}.dead", **options)
        return Kind(broker, name, {"queue": RabbitQueue(name, kind)}, {}, {}, variable)

    return made


def jetstream(name: str, /, **options: Any) -> Kind:
    broker = NatsBroker(os.environ["CALLBOARD_NATS"], dead_letter="{address}.dead", **options)
    stream = JStream(name.replace(".", "-"), subjects=[f"{name}.>", name])
    return Kind(
        broker,
        name,
        {"stream": stream, "durable": "work"},
        {"stream": stream, "durable": "dead"},
    )


_RABBITS = [("rabbit", "CALLBOARD_RABBIT"), ("rabbit_newer", "CALLBOARD_RABBIT_NEWER")]

KINDS = [
    pytest.param(memory, id="memory"),
    pytest.param(kafka, id="kafka", marks=pytest.mark.broker("kafka")),
    *(
        pytest.param(
            rabbit(kind, variable), id=f"{node}-{kind.value}", marks=pytest.mark.broker(node)
        )
        for node, variable in _RABBITS
        for kind in (QueueType.CLASSIC, QueueType.QUORUM)
    ),
    pytest.param(jetstream, id="jetstream", marks=pytest.mark.broker("nats")),
]
on_each = pytest.mark.parametrize("make", KINDS)
"""Run a test with each."""
