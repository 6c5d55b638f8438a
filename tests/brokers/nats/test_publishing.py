from __future__ import annotations

import pytest
from anyio import create_task_group

from callboard_brokers import (
    Capacity,
    DestinationError,
    Message,
    MessageTooLarge,
    Unpublishable,
    Unroutable,
)
from callboard_brokers._message import forwarding
from callboard_brokers.nats import JStream, NatsSource, NatsTarget, PubAck
from callboard_brokers.nats.connection import NatsConnection

from .server import Server, take

pytestmark = [pytest.mark.anyio, pytest.mark.broker("nats"), pytest.mark.slow]


@pytest.fixture
def stream(name: str, server: Server) -> JStream:
    server.made.add(name)
    return JStream(name, [f"{name}.>"], storage="memory")


@pytest.fixture
async def target(connection: NatsConnection, stream: JStream) -> NatsTarget:
    target = NatsTarget(f"{stream.name}.x", stream=stream)
    await connection.prepare([], [target])
    return target


async def test_a_payload_over_the_limit_is_refused_before_it_is_sent(
    connection: NatsConnection, name: str
) -> None:
    limit = connection.max_payload
    headers = {"x": "the server counts headers too"}
    with pytest.raises(MessageTooLarge, match=str(limit)):
        await connection.publish(Message(b"x" * limit, headers=headers), NatsTarget(name))
    await connection.publish(Message(b"x" * limit), NatsTarget(name))
    await connection.ping()

    assert connection.lost_at is None


async def test_a_request_without_a_responder_fails_at_once(
    connection: NatsConnection, name: str
) -> None:
    with pytest.raises(Unroutable, match=name):
        await connection.request(Message(b"?"), NatsTarget(name), 30)


async def test_a_stream_that_reads_a_request_does_not_answer_it(
    connection: NatsConnection, target: NatsTarget
) -> None:
    async def answer() -> None:
        asked = (await take(reading, 1))[0].message
        await connection.publish(Message(b"the answer"), NatsTarget(asked.reply_to or ""))

    source, to = NatsSource(target.subject), NatsTarget(target.subject)
    async with connection.subscribe(source, Capacity(5)) as reading, create_task_group() as tasks:
        tasks.start_soon(answer)
        reply = await connection.request(Message(b"?"), to, 20)

        assert reply.body == b"the answer"


async def test_nobody_takes_what_no_stream_reads(connection: NatsConnection, name: str) -> None:
    with pytest.raises(Unroutable, match=name):
        await connection.publish(Message(b""), NatsTarget(name, stream=name))


async def test_another_stream_than_the_named_one_takes_nothing(
    connection: NatsConnection, target: NatsTarget
) -> None:
    with pytest.raises(DestinationError, match="is not of the stream 'another'"):
        await connection.publish(Message(b""), NatsTarget(target.subject, stream="another"))


async def test_a_stream_keeps_one_of_two_messages_with_the_same_id(
    connection: NatsConnection, target: NatsTarget, stream: JStream
) -> None:
    once = NatsTarget(target.subject, stream=stream, deduplication_id="m-1")
    receipts = [await connection.publish(Message(b""), once) for _ in range(2)]

    assert receipts == [PubAck(stream.name, 1), PubAck(stream.name, 1, duplicate=True)]


async def test_a_copy_of_a_message_does_not_vanish_as_a_duplicate_of_it(
    connection: NatsConnection, target: NatsTarget, stream: JStream
) -> None:
    once = NatsTarget(target.subject, stream=stream, deduplication_id="m-1")
    source = NatsSource(target.subject, stream=stream, durable="d")
    async with connection.subscribe(source, Capacity(5)) as reading:
        await connection.publish(Message(b"", headers={"x": "y"}), once)
        came = (await take(reading, 1))[0].message
        copy = forwarding(came, {"why": "rejected"})
        receipt = await connection.publish(copy, NatsTarget(f"{stream.name}.dead", stream=stream))

        assert came.headers["Nats-Msg-Id"] == "m-1"
        assert receipt == PubAck(stream.name, 2)
        assert (await take(reading, 0)) == []


@pytest.mark.parametrize("headers", [{"two words": "x"}, {"a:b": "x"}, {"": "x"}, {"é": "x"}])
async def test_a_name_that_cannot_travel_is_refused(
    connection: NatsConnection, name: str, headers: dict[str, str]
) -> None:
    with pytest.raises(Unpublishable, match="header"):
        await connection.publish(Message(b"", headers=headers), NatsTarget(name))


async def test_a_text_of_several_lines_travels_in_one_and_octets_do_not(
    connection: NatsConnection, name: str
) -> None:
    async with connection.subscribe(NatsSource(name), Capacity(5)) as reading:
        lines = Message(b"", headers={"x": " a\r\nb "})
        await connection.publish(lines, NatsTarget(name))

        assert (await take(reading, 1))[0].message.headers == {"x": " a  b "}
    with pytest.raises(Unpublishable, match="line"):
        await connection.publish(Message(b"", headers={"x": b"a\n"}), NatsTarget(name))


async def test_many_are_on_their_way_to_a_stream_at_once(
    connection: NatsConnection, target: NatsTarget
) -> None:
    sent = [await connection.send(Message(b"%d" % n), target) for n in range(1000)]
    receipts = [await each.wait() for each in sent]

    assert [each.sequence for each in receipts if isinstance(each, PubAck)] == [*range(1, 1001)]
