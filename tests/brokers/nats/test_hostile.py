"""What others write, or do to what is read, harms nobody."""

from __future__ import annotations

import os
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from anyio import (
    BrokenResourceError,
    Event,
    create_task_group,
    create_tcp_listener,
    fail_after,
    move_on_after,
    sleep,
)
from anyio.abc import SocketAttribute, SocketStream

from callboard_brokers import (
    Capacity,
    DestinationError,
    Message,
    TopologyError,
    Unpublishable,
    Unroutable,
)
from callboard_brokers.events import FetchFailed, MessagesDropped, ServerFound
from callboard_brokers.nats import JStream, Nats, NatsOptions, NatsSource, NatsTarget
from callboard_brokers.nats.connection import NatsConnection

from ...proxy import proxy
from .server import Events, Server, bodies, take

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.broker("nats"),
    pytest.mark.slow,
    pytest.mark.timeout(120),
]


@pytest.fixture
def stream(name: str, server: Server) -> JStream:
    server.made.add(name)
    return JStream(name, [f"{name}.>"], storage="memory")


@pytest.fixture
def target(stream: JStream) -> NatsTarget:
    return NatsTarget(f"{stream.name}.x", stream=stream)


@pytest.mark.parametrize("reply_to", ["x 0\r\n\r\nPUB {name} 0\r\n\r\nPUB y", "a b", "a" * 4000])
async def test_a_place_to_answer_at_cannot_speak_to_the_server(
    connection: NatsConnection, name: str, reply_to: str
) -> None:
    target = NatsTarget(f"{name}.x")
    async with connection.subscribe(NatsSource(f"{name}.>"), Capacity(5)) as reading:
        with pytest.raises(Unpublishable, match="reply_to"):
            await connection.publish(Message(b"", reply_to=reply_to.format(name=name)), target)
        await connection.publish(Message(b"next"), target)

        assert bodies(await take(reading, 1)) == [b"next"]


@pytest.mark.parametrize("identity", ["x\r\nNats-Rollup: all", "a\nb", "\udcff"])
def test_an_id_cannot_be_an_order_to_a_stream(identity: str) -> None:
    with pytest.raises(DestinationError, match="one line"):
        NatsTarget("a", stream="s", deduplication_id=identity)


@pytest.mark.parametrize("subject", ["a" * 2000, "a\udcff"])
def test_a_subject_at_which_a_server_hangs_up_is_refused(subject: str) -> None:
    with pytest.raises(DestinationError, match="octets at most"):
        NatsTarget(subject)


async def test_a_subject_of_any_octets_is_read_with_its_headers(
    connection: NatsConnection, server: Server, name: str
) -> None:
    async with connection.subscribe(NatsSource(f"{name}.{{what}}"), Capacity(5)) as reading:
        await server.publish_octets(f"{name}.".encode() + b"\xff", b"a", b"1")
        message = (await take(reading, 1))[0].message

        assert message.address == f"{name}.\N{REPLACEMENT CHARACTER}"
        assert message.headers == {"a": "1"}
        assert message.path == {"what": "\N{REPLACEMENT CHARACTER}"}


async def test_headers_count_against_what_may_wait(
    connection: NatsConnection, events: Events, name: str
) -> None:
    source = NatsSource(name, pending_bytes_limit=5000)
    async with connection.subscribe(source, Capacity(50)) as reading:
        for _ in range(20):
            await connection.publish(Message(b"", headers={"a": "x" * 1000}), NatsTarget(name))
        await connection.ping()

        assert len(await reading.receive(50)) == 5
    assert sum(each.dropped for each in events if isinstance(each, MessagesDropped)) == 15


async def test_drops_are_told_while_nobody_receives(
    connection: NatsConnection, events: Events, name: str
) -> None:
    async with connection.subscribe(NatsSource(name, pending_msgs_limit=1), Capacity(5)):
        with fail_after(20):
            while len([each for each in events if isinstance(each, MessagesDropped)]) < 3:
                await connection.publish(Message(b""), NatsTarget(name))
                await sleep(0.02)


async def test_what_is_too_large_to_wait_is_not_asked_for_again_and_again(
    connection: NatsConnection, stream: JStream, target: NatsTarget, server: Server
) -> None:
    await connection.prepare([], [target])
    for size in (10, 10, 5000, 10):
        await connection.publish(Message(b"x" * size), target)
    calls = f"$JS.API.CONSUMER.MSG.NEXT.{stream.name}.*"
    async with (
        connection.subscribe(NatsSource(calls), Capacity(1000)) as asked,
        connection.subscribe(NatsSource(stream=stream), Capacity(100, 1000)) as reading,
    ):
        requests = 0
        with move_on_after(0.5):
            while True:
                requests += len(await asked.receive(1000))
        assert 1 <= requests < 10
        assert [len(each) for each in bodies(await take(reading, 4))] == [10, 10, 5000, 10]


async def test_members_of_a_pushed_consumer_share_its_messages(
    connection: NatsConnection, stream: JStream, target: NatsTarget
) -> None:
    source = NatsSource(stream=stream, durable="d", pull_sub=False)
    seen: list[bytes] = []
    async with (
        connection.subscribe(source, Capacity(100)) as one,
        connection.subscribe(source, Capacity(100)) as other,
    ):
        for n in range(10):
            await connection.publish(Message(b"%d" % n), target)
        await connection.ping()
        for reading in (one, other):
            with move_on_after(0.3):
                while True:
                    seen += bodies(await reading.receive(10))

    assert sorted(seen) == [b"%d" % n for n in range(10)]


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_stream_that_is_deleted_meanwhile_is_there_again(
    connection: NatsConnection,
    stream: JStream,
    target: NatsTarget,
    server: Server,
    events: Events,
    ordered: bool,
) -> None:
    source = NatsSource(
        target.subject,
        stream=stream,
        durable=None if ordered else "d",
        ordered_consumer=ordered,
    )
    async with connection.subscribe(source, Capacity(5)) as reading:
        await connection.publish(Message(b"1"), target)
        (old,) = await take(reading, 1)
        await server.delete(stream.name)
        await events.until(FetchFailed)
        with fail_after(20):
            while "error" in await server.ask(f"STREAM.INFO.{stream.name}"):  # noqa: ASYNC110 - of a server
                await sleep(0.05)
        old.ack()
        await connection.publish(Message(b"2"), target)

        assert bodies(await take(reading, 1)) == [b"2"]
    # It does not spin: once at the deletion, perhaps again while it is not there.
    assert sum(isinstance(each, FetchFailed) for each in events) < 10


@pytest.mark.broker("nats_tls")
async def test_a_server_without_jetstream_is_said_to_have_none(name: str) -> None:
    authority = Path(os.environ["CALLBOARD_NATS_CERTIFICATES"], "ca.crt")
    options = NatsOptions(tls=ssl.create_default_context(cafile=authority))
    source = NatsSource(name, stream=name, durable="d")
    async with Nats(os.environ["CALLBOARD_NATS_TLS"], options).connect() as connection:
        with fail_after(15), pytest.raises(TopologyError, match="no JetStream"):
            await connection.prepare([source], [])
        with fail_after(15), pytest.raises(TopologyError, match="no JetStream"):
            async with connection.subscribe(source, Capacity(5)) as reading:
                await reading.receive(1)
        with fail_after(15), pytest.raises(Unroutable, match="or there is no JetStream"):
            await connection.publish(Message(b""), NatsTarget(name, stream=name))
        for bucket in (connection.key_value, connection.object_storage):
            with fail_after(15), pytest.raises(TopologyError, match="no JetStream"):
                await bucket(name)


async def test_what_is_no_server_is_tried_again_until_there_is_one(
    address: str, events: Events, name: str
) -> None:
    listen = os.environ["CALLBOARD_NATS_PROXY"]
    babbling = await create_tcp_listener(local_host="127.0.0.1")
    heard = Event()

    async def babble(stream: SocketStream) -> None:
        """Send a line that is longer than any of a server."""
        heard.set()
        async with stream:
            with suppress(BrokenResourceError):
                await stream.send(b"INFO" + b"x" * 500_000)

    async with babbling, proxy(listen, address) as network, create_task_group() as tasks:
        tasks.start_soon(babbling.serve, babble)
        async with (
            Nats(listen, notify=events.append).connect() as connection,
            connection.subscribe(NatsSource(name), Capacity(5)) as reading,
        ):
            port = babbling.extra(SocketAttribute.local_port)  # noqa: S610 - anyio's
            network.lead_to(f"127.0.0.1:{port}")
            network.cut()
            with fail_after(20):
                await heard.wait()
            network.lead_to(address)
            await events.until(ServerFound)
            await connection.publish(Message(b"1"), NatsTarget(name))

            assert bodies(await take(reading, 1)) == [b"1"]
        tasks.cancel_scope.cancel()
