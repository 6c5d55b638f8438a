"""What a stream or a list keeps, looked through by a person or a tool."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from callboard_brokers._errors import DestinationError, Unroutable
from callboard_brokers._message import Message
from callboard_brokers.redis._link import Link
from callboard_brokers.redis._message import RedisRecord, entry, view
from callboard_brokers.redis._records import RedisSource


class RedisKept:
    """Reads a stream, or a list, up to where it ended when this was opened."""

    def __init__(self, link: Link, source: RedisSource, last: Any) -> None:
        self._link, self._key, self._is_list = link, source.address, source.kind == "list"
        self._view = view(source, link.options.message_format)
        self._next: Any = 0 if self._is_list else "-"
        self._last = last

    async def read(self, limit: int, /) -> Sequence[Message]:
        """Return the next *limit* at most, the oldest first; none: that was all."""
        ask = partial(self._link.call, self._key)
        if not self._is_list:
            words = self._key, self._next, self._last, "COUNT", limit
            entries = await ask("XRANGE", *words)
            self._next = b"(" + entries[-1][0] if entries else self._next
            return [self._view(entry(self._key, *each)) for each in entries]
        until = min(self._next + limit, self._last)
        found = await ask("LRANGE", self._key, self._next, until - 1) if until > self._next else ()
        self._next = until
        return [self._view(RedisRecord(self._key, each)) for each in found]

    async def remove(self, messages: Sequence[Message], /) -> None:
        """Have *messages* deleted there; of a list, the first that is equal to each."""
        records: list[RedisRecord] = [each.raw_message for each in messages]
        for each in records:
            which = (
                ("LREM", self._key, 1, each.data)
                if self._is_list
                else ("XDEL", self._key, each.id or b"")
            )
            gone = await self._link.call(self._key, *which)
            if self._is_list:
                self._next, self._last = self._next - gone, self._last - gone


@asynccontextmanager
async def revisited(link: Link, address: str) -> AsyncGenerator[RedisKept]:
    """Open what is kept at *address*.

    Raises:
        DestinationError: It is neither a stream nor a list; or, if it is `Unroutable`, nothing is there.
    """
    kind = (await link.call(address, "TYPE", address)).decode()
    if kind == "none":
        raise Unroutable(f"there is no stream and no list called {address!r}")
    if kind == "stream":
        last = await link.call(address, "XREVRANGE", address, "+", "-", "COUNT", 1)
        yield RedisKept(link, RedisSource(stream=address), last[0][0] if last else "0")
    elif kind == "list":
        yield RedisKept(link, RedisSource(list=address), await link.call(address, "LLEN", address))
    else:
        raise DestinationError(f"{address!r} holds a {kind}, neither a stream nor a list")
