# The client does not say all of its types:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import pytest

from callboard_brokers import Capacity, Message, TopologyError
from callboard_brokers.nats import JStream, NatsSource, NatsTarget
from callboard_brokers.nats.connection import NatsConnection

from .server import Server, bodies, take

pytestmark = [pytest.mark.anyio, pytest.mark.broker("nats"), pytest.mark.slow]


@pytest.fixture
def stream(name: str, server: Server) -> JStream:
    server.made.add(name)
    return JStream(name, storage="memory", max_age=60)


async def test_a_stream_gets_the_subjects_that_it_lacks(
    connection: NatsConnection, stream: JStream, server: Server, name: str
) -> None:
    await connection.prepare([NatsSource(f"{name}.a.*", stream=stream)], [])
    await connection.prepare(
        [NatsSource(f"{name}.b", stream=name)],
        [NatsTarget(f"{name}.a.x", stream=name), NatsTarget(f"{name}.c", stream=name)],
    )
    config = (await server.ask(f"STREAM.INFO.{name}"))["config"]

    assert sorted(config["subjects"]) == [f"{name}.a.*", f"{name}.b", f"{name}.c"]
    assert config["storage"] == "memory"


async def test_a_stream_that_overlaps_another_ends_the_start_and_names_it(
    connection: NatsConnection, stream: JStream, name: str
) -> None:
    await connection.prepare([], [NatsTarget(f"{name}.a", stream=stream)])
    with pytest.raises(TopologyError, match=f"'{name}' reads '{name}.a'"):
        await connection.prepare([], [NatsTarget(f"{name}.a", stream=f"{name}_2")])


async def test_a_stream_that_differs_ends_the_start_and_says_in_what(
    connection: NatsConnection, stream: JStream, name: str
) -> None:
    await connection.prepare([], [NatsTarget(f"{name}.a", stream=stream)])
    other = JStream(name, storage="memory", max_age=90, max_msgs=5)
    with pytest.raises(TopologyError, match="max_msgs is -1, and should be 5, max_age is 60 s"):
        await connection.prepare([], [NatsTarget(f"{name}.a", stream=other)])


async def test_a_consumer_that_differs_ends_the_start_and_says_in_what(
    connection: NatsConnection, stream: JStream, name: str
) -> None:
    await connection.prepare([NatsSource(f"{name}.a", stream=stream, durable="d")], [])
    other = NatsSource(f"{name}.a", stream=stream, durable="d", ack_wait=5, max_deliver=3)
    for attempt in (connection.prepare([other], []), _read(connection, other)):
        with pytest.raises(TopologyError, match="ack_wait is 30 s, and should be 5 s, max_deliver"):
            await attempt


async def test_a_consumer_that_acknowledges_several_at_once_is_refused(
    connection: NatsConnection, stream: JStream, server: Server, name: str
) -> None:
    await connection.prepare([], [NatsTarget(f"{name}.a", stream=stream)])
    config = {"durable_name": "d", "ack_policy": "all"}
    words = {"stream_name": name, "config": config}
    await server.ask(f"CONSUMER.DURABLE.CREATE.{name}.d", words)
    with pytest.raises(TopologyError, match="ack_policy is 'all', and should be 'explicit'"):
        await connection.prepare([NatsSource(stream=stream, durable="d")], [])


async def test_a_stream_that_there_cannot_be_ends_the_start(
    connection: NatsConnection, name: str
) -> None:
    never = JStream(name, [name], storage="memory", max_age=60, duplicate_window=120)
    with pytest.raises(TopologyError, match=f"'{name}': duplicates window can not be larger"):
        await connection.prepare([], [NatsTarget(name, stream=never)])


async def test_a_stream_that_is_not_declared_is_neither_made_nor_changed(
    connection: NatsConnection, stream: JStream, server: Server, name: str
) -> None:
    theirs = JStream(name, declare=False)
    source = NatsSource(f"{name}.a", stream=theirs, durable="d")
    for attempt in (connection.prepare([source], []), _read(connection, source)):
        with pytest.raises(TopologyError, match=f"missing.*{name}"):
            await attempt
    assert "error" in await server.ask(f"STREAM.INFO.{name}")

    await server.ask(f"STREAM.CREATE.{name}", {"name": name, "subjects": [f"{name}.>"]})
    async with connection.subscribe(source, Capacity(5)) as reading:
        await connection.publish(Message(b"1"), NatsTarget(f"{name}.a", stream=theirs))

        assert bodies(await take(reading, 1)) == [b"1"]


async def test_a_bucket_that_is_there_stays_as_it_is(
    connection: NatsConnection, server: Server, name: str
) -> None:
    server.made |= {f"KV_{name}", f"OBJ_{name}"}
    await connection.client.jetstream().create_key_value(bucket=name, history=5)
    bucket = await connection.client.jetstream().key_value(name)
    await bucket.put("a.b", b"1")
    async with connection.subscribe(NatsSource("a.{what}", kv_watch=name), Capacity(5)) as reading:
        await bucket.put("a.c", b"2")
        await bucket.delete("a.b")
        seen = [(each.message.address, each.message.body) for each in await take(reading, 3)]

    assert seen == [("a.b", b"1"), ("a.c", b"2"), ("a.b", b"")]


async def _read(connection: NatsConnection, source: NatsSource) -> None:
    async with connection.subscribe(source, Capacity(5)) as reading:
        await take(reading, 1)
