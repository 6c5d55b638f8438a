"""No secret leaves by the log, whatever its level."""

from __future__ import annotations

import logging
import struct

import pytest
from anyio import create_task_group, create_tcp_listener, fail_after, sleep
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from callboard_brokers.kafka import Kafka, KafkaOptions
from callboard_brokers.kit import SASLPlaintext

from ...leaks import WRONG_PASSWORD as WORD

pytestmark = pytest.mark.anyio

VERSIONS = ((0, 7), (3, 5), (17, 1), (36, 1))
ANSWERS = {
    18: struct.pack(">hi", 0, len(VERSIONS))
    + b"".join(struct.pack(">hhh", key, 0, highest) for key, highest in VERSIONS),
    17: struct.pack(">hih", 0, 1, 5) + b"PLAIN",
    36: struct.pack(">hhiq", 0, -1, 0, 0),
}
"""Just enough of Kafka to be logged in: its versions, the handshake, and that the password fits."""


async def test_the_password_is_in_no_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    heard = bytearray()

    async def serve(stream: SocketStream) -> None:
        async with stream:
            buffered = BufferedByteReceiveStream(stream)
            while True:
                (size,) = struct.unpack(">i", await buffered.receive_exactly(4))
                request = await buffered.receive_exactly(size)
                heard.extend(request)
                kind, _, number = struct.unpack(">hhi", request[:8])
                if kind not in ANSWERS:
                    return
                answer = struct.pack(">i", number) + ANSWERS[kind]
                await stream.send(struct.pack(">i", len(answer)) + answer)

    async def guarded(stream: SocketStream) -> None:
        try:
            await serve(stream)
        except Exception:  # noqa: BLE001 - the client has gone
            return

    listener = await create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no Django is here
    security = SASLPlaintext("alice", WORD)
    kafka = Kafka(f"127.0.0.1:{port}", KafkaOptions(security=security))

    async def connect() -> None:
        async with kafka.connect():
            pass

    async with listener, create_task_group() as tasks:
        tasks.start_soon(listener.serve, guarded)
        tasks.start_soon(connect)
        with fail_after(45):
            while WORD.encode() not in heard:  # noqa: ASYNC110 - of a server
                await sleep(0.02)
        await sleep(0.2)
        tasks.cancel_scope.cancel()

    assert "ApiVersionRequest" in caplog.text
    assert WORD not in caplog.text
    assert WORD not in repr(kafka) + repr(security) + repr(KafkaOptions(security=security))
