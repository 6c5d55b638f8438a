"""What becomes of everything while the server is away, or says that it will be."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator

import pytest
from anyio import create_task_group, current_time, fail_after

from callboard_brokers import Capacity, ConnectionLost, Message, StoppingIntake
from callboard_brokers.events import ServerFound, ServerLost
from callboard_brokers.nats import JStream, Nats, NatsSource, NatsTarget
from callboard_brokers.nats.connection import NatsConnection

from ...proxy import Proxy, proxy
from .server import Events, Server, bodies, take

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.broker("nats"),
    pytest.mark.slow,
    pytest.mark.timeout(120),
]


@pytest.fixture
async def network(address: str) -> AsyncGenerator[Proxy]:
    async with proxy(os.environ["CALLBOARD_NATS_PROXY"], address) as network:
        yield network


@pytest.fixture
async def far(network: Proxy, events: Events) -> AsyncGenerator[NatsConnection]:
    """Connect through what can be cut."""
    nats = Nats(os.environ["CALLBOARD_NATS_PROXY"], notify=events.append)
    async with nats.connect() as connection:
        yield connection


@pytest.fixture
def stream(name: str, server: Server) -> JStream:
    server.made.add(name)
    return JStream(name, [f"{name}.>"], storage="memory")


async def test_what_is_published_while_the_server_is_away_waits_for_it(
    far: NatsConnection, network: Proxy, events: Events, name: str
) -> None:
    async with far.subscribe(NatsSource(name), Capacity(5)) as reading:
        network.refuse = True
        network.cut()
        await events.until(ServerLost)
        async with create_task_group() as tasks:
            tasks.start_soon(far.publish, Message(b"later"), NatsTarget(name))
            network.restore()

        assert bodies(await take(reading, 1)) == [b"later"]
    assert [type(event) for event in events] == [ServerLost, ServerFound]


async def test_who_waits_for_a_stream_hears_at_once_that_it_is_lost(
    far: NatsConnection, network: Proxy, stream: JStream
) -> None:
    target = NatsTarget(f"{stream.name}.x", stream=stream, timeout=60)
    await far.prepare([], [target])
    network.swallow()
    sent = await far.send(Message(b""), target)
    network.cut()
    with fail_after(15), pytest.raises(ConnectionLost):
        await sent.wait()


async def test_a_silent_stream_is_not_waited_for_without_end(
    far: NatsConnection, network: Proxy, stream: JStream
) -> None:
    target = NatsTarget(f"{stream.name}.x", stream=stream, timeout=0.5)
    await far.prepare([], [target])
    network.swallow()
    began = current_time()
    with pytest.raises(ConnectionLost, match="in time"):
        await far.publish(Message(b""), target)
    network.restore()

    assert current_time() - began < 15


async def test_what_is_held_longer_than_its_time_over_a_cut_is_still_handled_once(
    far: NatsConnection, network: Proxy, stream: JStream, server: Server, events: Events
) -> None:
    target = NatsTarget(f"{stream.name}.x", stream=stream)
    source = NatsSource(target.subject, stream=stream, durable="d", ack_wait=0.5)
    async with far.subscribe(source, Capacity(5)) as reading:
        for n in range(2):
            await far.publish(Message(b"%d" % n), target)
        held = await take(reading, 1)
        network.refuse = True
        network.cut()
        await events.until(ServerLost)
        # Somebody else gets both, is silent, and the server tries again.
        async with Nats(os.environ["CALLBOARD_NATS"]).connect() as other:
            inbox = other.new_inbox()
            async with other.subscribe(NatsSource(inbox), Capacity(5)) as taken:
                ask = Message(b'{"batch":2,"expires":9000000000}', reply_to=inbox)
                next_ones = NatsTarget(f"$JS.API.CONSUMER.MSG.NEXT.{stream.name}.d")
                await other.publish(ask, next_ones)
                await take(taken, 2)
        network.restore()
        await events.until(ServerFound)
        held += await take(reading, 1)
        await server.until(stream.name, "d", lambda it: it["num_redelivered"] == 2)
        await far.publish(Message(b"new"), target)
        held += await take(reading, 1)
        for delivery in held:
            delivery.ack()
        await server.until(stream.name, "d", lambda it: it["num_ack_pending"] == 0)

    assert bodies(held) == [b"0", b"1", b"new"]


@pytest.mark.parametrize("pull", [True, False])
async def test_who_has_stopped_taking_takes_nothing_after_a_loss_either(
    far: NatsConnection,
    network: Proxy,
    stream: JStream,
    server: Server,
    events: Events,
    pull: bool,
) -> None:
    target = NatsTarget(f"{stream.name}.x", stream=stream)
    source = NatsSource(target.subject, stream=stream, durable="d", pull_sub=pull)
    async with far.subscribe(source, Capacity(5)) as reading:
        await far.publish(Message(b"in hand"), target)
        (held,) = await take(reading, 1)
        assert isinstance(reading, StoppingIntake)
        await reading.stop_intake()
        network.refuse = True
        network.cut()
        await events.until(ServerLost)
        network.restore()
        await events.until(ServerFound)
        await far.publish(Message(b"for others"), target)
        held.ack()
        await server.until(stream.name, "d", lambda it: it["num_ack_pending"] == 0)

        assert (await server.consumer(stream.name, "d"))["num_pending"] == 1


async def test_streams_that_a_server_forgot_are_there_again(
    far: NatsConnection, network: Proxy, stream: JStream, server: Server, events: Events
) -> None:
    target = NatsTarget(f"{stream.name}.x", stream=stream)
    source = NatsSource(target.subject, stream=stream, durable="d")
    await far.prepare([source], [target])
    async with far.subscribe(source, Capacity(5)) as reading:
        network.refuse = True
        network.cut()
        await events.until(ServerLost)
        await server.delete(stream.name)
        network.restore()
        await events.until(ServerFound)
        await server.until(stream.name, "d", lambda it: "error" not in it)
        await far.publish(Message(b"1"), target)

        assert bodies(await take(reading, 1)) == [b"1"]


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_stream_that_was_made_anew_is_read_from_its_beginning(
    far: NatsConnection,
    network: Proxy,
    stream: JStream,
    server: Server,
    events: Events,
    ordered: bool,
) -> None:
    target = NatsTarget(f"{stream.name}.x", stream=stream)
    source = NatsSource(target.subject, stream=stream, ordered_consumer=ordered)
    async with far.subscribe(source, Capacity(5)) as reading:
        for n in range(3):
            await far.publish(Message(b"%d" % n), target)
        await take(reading, 3)
        network.refuse = True
        network.cut()
        await events.until(ServerLost)
        await server.delete(stream.name)
        config = {"name": stream.name, "subjects": [f"{stream.name}.>"], "storage": "memory"}
        await server.ask(f"STREAM.CREATE.{stream.name}", config)
        await server.publish(target.subject, b"first of the new one")
        network.restore()

        assert bodies(await take(reading, 1)) == [b"first of the new one"]


async def test_a_connection_that_the_server_ends_for_a_reason_is_opened_again(
    connection: NatsConnection, events: Events, name: str
) -> None:
    # Too large for the server, by the client's own way: it would be closed for good.
    limit = connection.max_payload
    await connection.client.publish(name, b"x" * limit, headers={"a": "b"})
    await events.until(ServerFound)
    await connection.ping()

    assert "Maximum Payload" in next(e.error for e in events if isinstance(e, ServerLost))
