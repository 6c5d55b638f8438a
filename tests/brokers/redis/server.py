"""What the tests do to a real Redis beside the adapter, and how they read."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import hiredis
from anyio import connect_tcp, fail_after, sleep

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
        self._reader = hiredis.Reader()

    async def ask(self, *words: Any) -> Any:
        """Return what the server answers."""
        octets = [each if isinstance(each, bytes) else str(each).encode() for each in words]
        packed = b"".join(b"$%d\r\n%b\r\n" % (len(each), each) for each in octets)
        await self._stream.send(b"*%d\r\n%b" % (len(octets), packed))
        with fail_after(45):
            while (reply := self._reader.gets()) is False:
                self._reader.feed(await self._stream.receive())
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def pending(self, stream: str, group: str) -> dict[bytes, tuple[str, int]]:
        """Return the entries that nobody has settled: whose they are, and how often they were read."""
        found = await self.ask("XPENDING", stream, group, "-", "+", 100_000)
        return {at: (consumer.decode(), times) for at, consumer, _, times in found}

    async def until(self, true: Callable[[Any], bool], *words: Any) -> Any:
        """Wait until the answer to a command is such that something is *true* of it; return it."""
        with fail_after(45):
            while not true(reply := await self.ask(*words)):  # noqa: ASYNC110 - of a server
                await sleep(0.05)
        return reply

    async def forget(self, name: str) -> None:
        """Delete all keys that have *name* in theirs."""
        cursor: Any = b"0"
        while True:
            cursor, keys = await self.ask("SCAN", cursor, "MATCH", f"*{name}*", "COUNT", 1000)
            if keys:
                await self.ask("DEL", *keys)
            if cursor == b"0":
                return


@asynccontextmanager
async def server_at(address: str) -> AsyncGenerator[Server]:
    """Speak to the server at *address*."""
    host, _, port = address.rpartition(":")
    async with await connect_tcp(host, int(port)) as stream:
        yield Server(stream)


async def take(subscription: Subscription, count: int, patience: float = 45.0) -> list[Delivery]:
    """Receive *count* deliveries."""
    taken: list[Delivery] = []
    with fail_after(patience):
        while len(taken) < count:
            taken += await subscription.receive(count - len(taken))
    return taken


def bodies(deliveries: Sequence[Delivery]) -> list[bytes]:
    return [delivery.message.body for delivery in deliveries]
