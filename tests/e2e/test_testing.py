"""A broker under test may be left to its server: its handlers and publishers remember calls."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import pytest

from callboard import TestBroker
from callboard.kafka import KafkaBroker
from callboard.nats import NatsBroker
from callboard.rabbit import RabbitBroker, RabbitQueue

# The client reads its version from a file when it is first imported, which is refused in a loop.
import_module("aiormq")

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


def kafka(topic: str) -> tuple[Any, Any]:
    broker = KafkaBroker(os.environ["CALLBOARD_KAFKA"])
    return broker, broker.subscriber(topic, group_id=topic, auto_offset_reset="earliest")


def rabbit(queue: str) -> tuple[Any, Any]:
    broker = RabbitBroker(os.environ["CALLBOARD_RABBIT"])
    broker.subscriber(RabbitQueue(f"{queue}.out", auto_delete=True))(written)
    return broker, broker.subscriber(RabbitQueue(queue, auto_delete=True))


def nats(subject: str) -> tuple[Any, Any]:
    broker = NatsBroker(os.environ["CALLBOARD_NATS"])
    return broker, broker.subscriber(subject)


async def written(number: int) -> None: ...


async def squared(number: int) -> int:
    return number * number


@pytest.mark.parametrize(
    "make",
    [pytest.param(each, marks=pytest.mark.broker(each.__name__)) for each in (kafka, rabbit, nats)],
)
async def test_calls_are_remembered_while_a_server_carries_the_messages(
    make: Any, topic: str
) -> None:
    broker, subscriber = make(topic)
    out = broker.publisher(f"{topic}.out")

    square = out(subscriber(squared))
    async with TestBroker(broker, with_real=True):
        await broker.publish(3, topic, headers={"kind": "small"})
        await square.wait_call(timeout=45)
        await out.wait_call(timeout=45)

        await square.assert_called_once_with(3, headers={"kind": "small"})
        await out.assert_called_once_with(9)

    assert not broker.running
