"""What is read as it is published."""

from __future__ import annotations

import pytest

from callboard_brokers import Capacity, Message
from callboard_brokers.events import MessagesDropped
from callboard_brokers.nats import Nats, NatsSource, NatsTarget
from callboard_brokers.nats.connection import NatsConnection

from .server import Events, Server, bodies, take

pytestmark = [pytest.mark.anyio, pytest.mark.broker("nats"), pytest.mark.slow]


async def test_what_is_too_much_is_dropped_counted_and_told_once(
    connection: NatsConnection, server: Server, events: Events, nats: Nats, name: str
) -> None:
    source = NatsSource(name, pending_msgs_limit=10)
    async with connection.subscribe(source, Capacity(5)) as reading:
        for n in range(100):
            await server.publish(name, b"%d" % n)
        await server.settled()
        await connection.ping()
        assert bodies(await take(reading, 10)) == [b"%d" % n for n in range(10)]
        await connection.publish(Message(b"room again"), NatsTarget(name))
        assert bodies(await take(reading, 1)) == [b"room again"]
    told = [each for each in events if isinstance(each, MessagesDropped)]

    assert sum(each.dropped for each in told) == nats.counts["dropped"] == 90
    assert len(told) <= 2


async def test_what_nobody_has_received_when_it_is_left_is_told(
    connection: NatsConnection, events: Events, name: str
) -> None:
    async with connection.subscribe(NatsSource(name), Capacity(5)):
        await connection.publish(Message(b"unread"), NatsTarget(name))
        await connection.ping()

    assert [each.dropped for each in events if isinstance(each, MessagesDropped)] == [1]


async def test_a_name_in_a_subject_becomes_a_parameter(
    connection: NatsConnection, name: str
) -> None:
    async with connection.subscribe(NatsSource(f"{name}.{{level}}.>"), Capacity(5)) as reading:
        await connection.publish(Message(b""), NatsTarget(f"{name}.error.disk.full"))
        message = (await take(reading, 1))[0].message

    assert message.address == f"{name}.error.disk.full"
    assert message.path == {"level": "error"}
