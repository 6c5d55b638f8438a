"""Carrying: what travels, unchanged, there and back."""

# ruff: noqa: S101 - these are tests: they assert

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from anyio import create_task_group
from anyio.lowlevel import checkpoint

from callboard_brokers._errors import ConnectionClosed, RequestTimeout
from callboard_brokers._message import Message
from callboard_brokers._port import Sending, can_request, can_send
from callboard_brokers.conformance._harness import Harness, Incoming, Stage
from callboard_brokers.kit import text_of


async def an_empty_body_arrives(harness: Harness) -> None:
    assert (await _carried(harness, Message(b""))).body == b""


async def a_body_of_any_octets_arrives(harness: Harness) -> None:
    assert (await _carried(harness, Message(bytes(range(256))))).body == bytes(range(256))


async def a_body_of_a_mebibyte_arrives(harness: Harness) -> None:
    assert (await _carried(harness, Message(b"x" * 2**20))).body == b"x" * 2**20


async def a_key_travels(harness: Harness) -> None:
    harness.needs("keys")
    received = await _carried(harness, Message(b"", key=b"\x00key\xff"))

    assert received.key == b"\x00key\xff"


async def headers_of_text_travel(harness: Harness) -> None:
    harness.needs("headers")
    received = await _carried(harness, Message(b"", headers={"x-id": "7", "x-name": "Zoë"}))

    assert {name: received.headers[name] for name in ("x-id", "x-name")} == {
        "x-id": "7",
        "x-name": "Zoë",
    }


async def headers_of_bytes_travel(harness: Harness) -> None:
    harness.needs("binary_headers")
    received = await _carried(harness, Message(b"", headers={"x-raw": b"\xff\x00", "x-utf8": b"a"}))

    assert received.headers["x-raw"] == b"\xff\x00"
    assert received.headers["x-utf8"] == b"a"


async def content_type_and_ids_travel(harness: Harness) -> None:
    harness.needs("headers")
    received = await _carried(
        harness,
        Message(
            b"{}",
            content_type="application/json",
            message_id="m-1",
            correlation_id="c-1",
            reply_to="answers",
        ),
    )

    assert received.content_type == "application/json"
    assert (received.message_id, received.correlation_id) == ("m-1", "c-1")
    assert received.reply_to == "answers"


async def headers_of_any_kind_travel_or_become_text(harness: Harness) -> None:
    harness.needs("headers")
    values = {"n": 7, "half": 0.5, "yes": True, "no": None, "at": datetime(2026, 1, 2, tzinfo=UTC)}
    received = await _carried(harness, Message(b"", headers=values))

    for name, value in values.items():
        assert received.headers[name] in {value, text_of(value)}


async def a_cancelled_publish_leaves_the_connection_usable(harness: Harness) -> None:
    async with harness.connect() as stage, stage.read() as incoming:
        for _ in range(10):
            async with create_task_group() as tasks:
                tasks.start_soon(stage.publish, b"perhaps")
                await checkpoint()
                tasks.cancel_scope.cancel()
        await stage.publish(b"surely")
        while (await incoming.one()).message.body != b"surely":
            pass


async def hostile_headers_stop_nobody(harness: Harness) -> None:
    harness.needs("headers")
    if harness.smuggle is None:
        raise ValueError("features.headers is true: give the harness its way to smuggle them in")
    async with harness.connect() as stage, stage.read() as incoming:
        for headers in _HOSTILE:
            await harness.smuggle(harness.address, headers)
            delivery = await incoming.one()
            _read_all(delivery.message)
            delivery.ack()
        await stage.publish(b"after them")

        assert (await incoming.one()).message.body == b"after them"


async def every_message_has_a_receipt_of_its_own(harness: Harness) -> None:
    async with harness.connect() as stage, stage.read() as incoming:
        receipts = [await stage.send(Message(b"%d" % n)) for n in range(3)]
        await incoming.take(3)
    if all(each is None or isinstance(each, int) for each in receipts):
        harness.lacks("receipts")  # a number says how many there are, and nothing of the message
    assert len(set(map(repr, receipts))) == 3


async def what_is_sent_is_confirmed_when_it_is_there(harness: Harness) -> None:
    async with harness.connect() as stage:
        if can_send(stage.connection):
            await _sent(stage, stage.connection)
            return
    harness.lacks("sending")


async def a_request_gets_its_reply(harness: Harness) -> None:
    await _can_request(harness)
    async with harness.connect() as stage, stage.read() as incoming, create_task_group() as tasks:
        tasks.start_soon(_reply, stage, incoming, 1)
        reply = await _request(stage, b"question")

        assert reply.body == b"re: question"


async def requests_that_overlap_get_their_own_replies(harness: Harness) -> None:
    await _can_request(harness)
    replies: dict[int, bytes] = {}

    async def ask(stage: Stage, n: int) -> None:
        replies[n] = (await _request(stage, b"%d" % n)).body

    async with harness.connect() as stage, stage.read() as incoming, create_task_group() as tasks:
        for n in range(10):
            tasks.start_soon(ask, stage, n)
        tasks.start_soon(_reply, stage, incoming, 10)

    assert replies == {n: b"re: %d" % n for n in range(10)}


async def a_request_without_reply_ends_with_its_timeout(harness: Harness) -> None:
    await _can_request(harness)
    async with harness.connect() as stage, stage.read():
        with pytest.raises(RequestTimeout, match=harness.address):
            await _request(stage, b"anybody?", timeout=harness.silence)


async def the_broker_answers_a_ping(harness: Harness) -> None:
    async with harness.connect() as stage:
        await stage.connection.ping()


async def a_connection_that_was_left_cannot_be_used(harness: Harness) -> None:
    async with harness.connect() as stage:
        pass
    with pytest.raises(ConnectionClosed):
        await stage.publish(b"too late")
    with pytest.raises(ConnectionClosed):
        await stage.connection.ping()


_OCTETS = (None, b"", b"\xff", b"\x00", b"\r\nx: y", b"\xed\xb2\x80", b"a,\xc3", b"{" * 4096)
_NAMES = (
    "callboard-binary",
    "content-type",
    "message_id",
    "correlation_id",
    "reply_to",
    "x-raw",
    "",
    "\x00",
    "Zoë\n",
)
_HOSTILE: Sequence[Sequence[tuple[str, bytes | None]]] = (
    *([(name, octets) for name in _NAMES] for octets in _OCTETS),
    *([(name, b"\xff")] for name in _NAMES),
    [("x-twice", b"\xff"), ("x-twice", None), ("callboard-binary", b"x-twice,,")],
)


def _read_all(message: Message) -> None:
    for name, value in message.headers.items():
        assert isinstance(name, str)
        assert value is None or isinstance(value, str | bytes | int | float | datetime)
    for text in (
        message.content_type,
        message.message_id,
        message.correlation_id,
        message.reply_to,
    ):
        assert text is None or isinstance(text, str)
    assert not message.path


async def _carried(harness: Harness, message: Message) -> Message:
    async with harness.connect() as stage, stage.read() as incoming:
        await stage.send(message)
        delivery = await incoming.one()
        delivery.ack()
        return delivery.message


async def _sent(stage: Stage, connection: Sending[object]) -> None:
    outcomes: list[object] = []
    target = stage.harness.target(stage.harness.address)
    async with stage.read() as incoming:
        sent = [await connection.send(Message(b"%d" % n), target) for n in range(10)]
        for confirmation in sent:
            confirmation.then(outcomes.append)
            await confirmation.wait()
            await confirmation.wait()

        assert outcomes == [None] * 10
        bodies = [delivery.message.body for delivery in await incoming.take(10)]
        assert sorted(bodies) == [b"%d" % n for n in range(10)]


async def _can_request(harness: Harness) -> None:
    """Skip the test if the connection has no way to ask."""
    async with harness.connect() as stage:
        able = can_request(stage.connection)
    if not able:
        harness.lacks("requests")


async def _request(stage: Stage, body: bytes, *, timeout: float | None = None) -> Message:  # noqa: ASYNC109 - the port's
    harness, connection = stage.harness, stage.connection
    if not can_request(connection):
        raise TypeError(f"{connection!r} has no request()")
    target = harness.target(harness.address)
    return await connection.request(Message(body), target, timeout or harness.patience)


async def _reply(stage: Stage, incoming: Incoming, count: int) -> None:
    """Answer *count* requests, the last one first."""
    for delivery in reversed(await incoming.take(count)):
        asked = delivery.message
        reply = Message(b"re: " + asked.body, correlation_id=asked.correlation_id)
        way = stage.harness.answer or stage.harness.target
        await stage.connection.publish(reply, way(asked.reply_to or ""))
        delivery.ack()
