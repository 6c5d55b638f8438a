"""What a queue keeps, looked through by getting its messages one by one, and giving them back.

A message that was got is nobody else's until the channel closes: it is acknowledged to be removed,
and else returns to its place. So whoever reads the queue at the same time misses them meanwhile.
"""

from __future__ import annotations

from asyncio import Future, get_running_loop
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from struct import Struct
from typing import Any, Final

from anyio import move_on_after

from callboard_brokers._errors import BrokerError, ConnectionLost
from callboard_brokers._message import Message
from callboard_brokers.kit import Template, time_left
from callboard_brokers.rabbit._client import ClientChannel, Wire
from callboard_brokers.rabbit._frames import CLOSE, Sink, ack, give_back, reason_of, texts
from callboard_brokers.rabbit._message import RabbitMessage, Record, metadata_of
from callboard_brokers.rabbit._table import short

_GET, _GOT, _NONE = (bytes((0, 60, 0, method)) for method in (70, 71, 72))
_HEAD: Final = Struct(">BHI")
LEAVE: Final = 5.0


class RabbitKept:
    """Reads as many messages as were ready when it was opened."""

    def __init__(self, wire: Wire, channel: ClientChannel, queue: str, count: int) -> None:
        self._wire, self._channel, self._queue = wire, channel, queue
        self._left = count
        self._got: list[Record] = []
        self._asked = 0
        self._over: Future[None] = get_running_loop().create_future()
        self._held = dict[int, None]()
        self._load = partial(metadata_of, binding=Template(queue))
        wire.frames.sinks[channel.number] = Sink(
            {_NONE: self._none, CLOSE: self._closed}, {_GOT: self._take}
        )

    async def read(self, limit: int, /) -> Sequence[Message]:
        """Return the next *limit* at most, the oldest first; none: that was all."""
        count = min(limit, self._left)
        if not count:
            return ()
        self._over, self._asked = get_running_loop().create_future(), count
        arguments = _GET + b"\0\0" + short(self._queue) + b"\0"
        frame = _HEAD.pack(1, self._channel.number, len(arguments)) + arguments + b"\xce"
        self._wire.write(frame * count)
        await self._wire.ask(_awaited(self._over), f"reading {self._queue!r}")
        got, self._got = self._got, []
        self._left = self._left - len(got) if len(got) == count else 0
        self._held |= dict.fromkeys(record.delivery_tag for record in got)
        return [
            RabbitMessage.received(record, record.body, self._queue, None, self._load)
            for record in got
        ]

    async def remove(self, messages: Sequence[Message], /) -> None:
        """Acknowledge *messages*; return when RabbitMQ has done that."""
        tags = [each.raw_message.delivery_tag for each in messages]
        self._wire.write(b"".join(ack(self._channel.number, tag) for tag in tags))
        for tag in tags:
            self._held.pop(tag, None)
        await count_of(self._wire, self._channel, self._queue)  # it is answered after them

    async def leave(self) -> None:
        """Give back the rest."""
        try:
            with suppress(BrokerError), move_on_after(time_left(LEAVE), shield=True):
                number = self._channel.number
                self._wire.write(b"".join(give_back(number, tag) for tag in self._held))
                if not self._channel.is_closed:
                    await self._wire.ask(self._channel.close(), "closing a channel")
        finally:
            self._wire.frames.sinks.pop(self._channel.number, None)

    def _take(self, arguments: bytes, properties: bytes, body: bytes) -> None:
        tag, again = int.from_bytes(arguments[:8], "big"), bool(arguments[8])
        exchange, key = texts(arguments, 9)
        self._got.append(Record(exchange, key, properties, body, again, tag))
        self._answered()

    def _none(self, _: bytes) -> bool:
        self._answered()
        return True

    def _answered(self) -> None:
        self._asked -= 1
        if not self._asked and not self._over.done():
            self._over.set_result(None)

    def _closed(self, arguments: bytes) -> bool:
        if not self._over.done():
            self._over.set_exception(ConnectionLost(reason_of(arguments)[1]))
        return False


@asynccontextmanager
async def revisited(wire: Wire, queue: str) -> AsyncGenerator[RabbitKept]:
    """Open what *queue* keeps.

    Raises:
        Unroutable: There is no such queue.
    """
    channel = await wire.channel()
    kept = RabbitKept(wire, channel, queue, await count_of(wire, channel, queue))
    try:
        yield kept
    finally:
        await kept.leave()


async def count_of(wire: Wire, channel: ClientChannel, queue: str) -> int:
    """Return how many messages of *queue* are ready, when all is done that was asked before."""
    asking = channel.queue_declare(queue, passive=True)
    found: Any = await wire.ask(asking, f"looking for the queue {queue!r}")
    return int(found.message_count or 0)


async def _awaited(over: Future[None]) -> None:
    await over
