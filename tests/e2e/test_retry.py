"""A `Retry` means the same on every broker."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from anyio import Event, fail_after

from callboard import Backoff, MemoryBroker, Message, Retry
from callboard.kafka import KafkaBroker
from callboard.nats import JStream, NatsBroker
from callboard.rabbit import QueueType, RabbitBroker, RabbitQueue

from ..brokers.rabbit.server import server_at

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SOON = Backoff(0.05, 0.05, first=0.05)


def memory(name: str) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    options = {"group": name}
    return MemoryBroker(dead_letter="{address}.dead"), {"address": name, **options}, options


def kafka(name: str) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    broker = KafkaBroker(os.environ["CALLBOARD_KAFKA"], dead_letter="{address}.dead")
    options = {"group_id": name, "auto_offset_reset": "earliest"}
    return broker, options, options


def rabbit(kind: QueueType) -> Callable[[str], tuple[Any, dict[str, Any], dict[str, Any]]]:
    def made(name: str) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        broker = RabbitBroker(os.environ["CALLBOARD_RABBIT"], dead_letter="{address}.dead")
        return broker, {"queue": RabbitQueue(name, kind)}, {}

    return made


def jetstream(name: str) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    broker = NatsBroker(os.environ["CALLBOARD_NATS"], dead_letter="{address}.dead")
    stream = JStream(name.replace(".", "-"), subjects=[f"{name}.>", name])
    return broker, {"stream": stream, "durable": "work"}, {"stream": stream, "durable": "dead"}


KINDS = [
    pytest.param(memory, id="memory"),
    pytest.param(kafka, id="kafka", marks=pytest.mark.broker("kafka")),
    *(
        pytest.param(rabbit(kind), id=kind.value, marks=pytest.mark.broker("rabbit"))
        for kind in (QueueType.CLASSIC, QueueType.QUORUM)
    ),
    pytest.param(jetstream, id="jetstream", marks=pytest.mark.broker("nats")),
]


@pytest.mark.parametrize("ordered_by", ["key", "none"])
@pytest.mark.parametrize("make", KINDS)
async def test_a_message_is_tried_as_often_as_it_may_be_and_then_it_is_a_dead_letter(
    make: Any, ordered_by: Any, topic: str
) -> None:
    broker, source, other = make(topic)
    tries, dead, over = list[tuple[str, int]](), list[bytes](), Event()
    source = {"max_workers": 2, "ordered_by": ordered_by, **source}
    named = () if {"queue", "address"} & source.keys() else (topic,)

    async def handle(text: str, message: Message) -> None:
        tries.append((text, message.attempt))
        if text == "hopeless" or message.attempt < 2:
            raise ConnectionError(text)

    async def bury(message: Message) -> None:
        dead.append(message.body)
        over.set()

    broker.subscriber(*named, retry=Retry(attempts=3, backoff=SOON), **source)(handle)
    broker.subscriber(f"{topic}.dead", **other)(bury)

    key = {} if make not in (memory, kafka) else {"key": "k"}
    async with broker:
        await broker.start()
        await broker.publish("better", topic, **key)
        await broker.publish("hopeless", topic, **key)
        with fail_after(20):
            await over.wait()

    if isinstance(broker, RabbitBroker):
        async with server_at(os.environ["CALLBOARD_RABBIT"]) as server:
            await server.delete(topic)
            await server.delete(f"{topic}.dead")
    assert sorted(tries) == [("better", 1), ("better", 2), *(("hopeless", n) for n in (1, 2, 3))]
    assert dead == [b"hopeless"]
