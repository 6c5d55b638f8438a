"""What the tests do to a real NATS beside the adapter, and how they read."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from anyio import connect_tcp, fail_after, sleep
from anyio.streams.buffered import BufferedByteReceiveStream

from callboard_brokers import Delivery, Subscription
from callboard_brokers.events import Event


class Events(list[Event]):
    """What the adapter has told."""

    async def until(self, kind: type[Event], patience: float = 45.0) -> None:
        """Wait until an event of this *kind* was told."""
        with fail_after(patience):
            while not any(isinstance(each, kind) for each in self):  # noqa: ASYNC110 - of a list
                await sleep(0.02)


class Server:
    """Speaks to the server under test by its own words, one after the other."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._inbox = f"_INBOX.{uuid4().hex}"
        self._received = BufferedByteReceiveStream(stream)
        self.version: tuple[int, int] = (0, 0)
        self.made: set[str] = set()

    async def start(self) -> None:
        info = json.loads((await self._line()).removeprefix(b"INFO "))
        major, minor, _ = info["version"].split(".", 2)
        self.version = int(major), int(minor)
        await self._stream.send(
            b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n'
            b"SUB %b 1\r\n" % self._inbox.encode()
        )
        await self.settled()

    async def settled(self) -> None:
        """Wait until the server has taken everything."""
        await self._stream.send(b"PING\r\n")
        while await self._line() != b"PONG":
            pass

    async def publish(self, subject: str, body: bytes = b"") -> None:
        """Publish without waiting for anything."""
        await self._stream.send(b"PUB %b %d\r\n%b\r\n" % (subject.encode(), len(body), body))

    async def publish_headers(
        self, subject: str, headers: Sequence[tuple[str, bytes | None]]
    ) -> None:
        """Publish an empty message with headers of any octets."""
        lines = [b"%b: %b\r\n" % (name.encode(), value or b"") for name, value in headers]
        block = b"NATS/1.0\r\n" + b"".join(lines) + b"\r\n"
        await self._stream.send(
            b"HPUB %b %d %d\r\n%b\r\n" % (subject.encode(), len(block), len(block), block)
        )
        await self.settled()

    async def publish_octets(self, subject: bytes, header: bytes, value: bytes) -> None:
        """Publish an empty message with one header, to a subject of any octets."""
        block = b"NATS/1.0\r\n%b: %b\r\n\r\n" % (header, value)
        size = len(block)
        await self._stream.send(b"HPUB %b %d %d\r\n%b\r\n" % (subject, size, size, block))
        await self.settled()

    async def ask(self, call: str, words: object = None) -> dict[str, Any]:
        """Return what JetStream answers."""
        body = b"" if words is None else json.dumps(words).encode()
        head = f"PUB $JS.API.{call} {self._inbox} {len(body)}\r\n".encode()
        await self._stream.send(head + body + b"\r\n")
        with fail_after(45):
            while not (line := await self._line()).startswith(b"MSG"):
                pass
            answer: dict[str, Any] = json.loads(
                (await self._received.receive_exactly(int(line.split()[-1]) + 2))[:-2]
            )
        return answer

    async def consumer(self, stream: str, name: str) -> dict[str, Any]:
        """Return what the server knows of a consumer."""
        return await self.ask(f"CONSUMER.INFO.{stream}.{name}")

    async def until(self, stream: str, name: str, true: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until something is *true* of a consumer."""
        with fail_after(45):
            while not true(await self.consumer(stream, name)):  # noqa: ASYNC110 - of a server
                await sleep(0.05)

    async def delete(self, stream: str) -> None:
        """Delete a stream, if it is there."""
        await self.ask(f"STREAM.DELETE.{stream}")

    async def _line(self) -> bytes:
        line = await self._received.receive_until(b"\r\n", 10_000)
        if line == b"PING":
            await self._stream.send(b"PONG\r\n")
        return line


@asynccontextmanager
async def server_at(address: str) -> AsyncGenerator[Server]:
    """Speak to the server at *address*; the streams that a test names as `made` end with it."""
    host, _, port = address.rpartition(":")
    async with await connect_tcp(host, int(port)) as stream:
        server = Server(stream)
        await server.start()
        try:
            yield server
        finally:
            for name in server.made:
                await server.delete(name)


async def take(subscription: Subscription, count: int, patience: float = 45.0) -> list[Delivery]:
    """Receive *count* deliveries."""
    taken: list[Delivery] = []
    with fail_after(patience):
        while len(taken) < count:
            taken += await subscription.receive(count - len(taken))
    return taken


def bodies(deliveries: Sequence[Delivery]) -> list[bytes]:
    return [delivery.message.body for delivery in deliveries]
