"""What the server sends, taken apart: in one loop, without a task or an object per message."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

Sink: TypeAlias = Callable[[bytes, bytes, bytes, bytes], None]
"""Takes the subject, the reply subject, the headers and the body of a message; may not raise."""

_M: Final = ord("M")
_H: Final = ord("H")


class Parser:
    """Gives messages to the *sinks* of their subscriptions, and *other* lines to the client.

    A sink is called for each message, and what it puts into `touched` once after all that came at
    once: so it can pass on many as one. Messages of other subscriptions are *foreign*.
    """

    def __init__(
        self,
        other: Callable[[bytes], Awaitable[None]],
        foreign: Callable[[int, bytes, bytes, bytes, bytes], Awaitable[None]],
    ) -> None:
        self.sinks: dict[bytes, Sink] = {}
        self.touched: list[Callable[[], None]] = []
        self._other = other
        self._foreign = foreign
        self._chunks: list[bytes] = []
        self._size = self._needed = 0

    def reset(self) -> None:
        """Forget what has come of a message: the rest of it never will."""
        self._chunks.clear()
        self._size = self._needed = 0

    async def parse(self, data: bytes = b"") -> None:
        """Take what the server has sent; it may end anywhere."""
        if self._size:
            # Joined once when all is there: to join each piece would take quadratic time.
            self._chunks.append(data)
            self._size += len(data)
            if self._size < self._needed:
                return
            data = b"".join(self._chunks)
            self.reset()
        try:
            position = await self._parse(data)
        finally:
            for pass_on in self.touched:
                pass_on()
            self.touched.clear()
        if position < len(data):
            self._chunks.append(data[position:])
            self._size = len(data) - position

    async def _parse(self, data: bytes) -> int:
        """Return where what is not whole begins."""
        position, length, sinks = 0, len(data), self.sinks
        while (line_end := data.find(b"\r\n", position)) >= 0:
            kind = data[position]
            if kind not in {_M, _H}:
                await self._other(data[position:line_end])
                position = line_end + 2
                continue
            words = data[position:line_end].split(b" ")
            start = line_end + 2
            end = start + int(words[-1])
            if end + 2 > length:
                self._needed = end + 2 - position
                break
            if kind == _M:
                body, reply = start, words[3] if len(words) == 5 else b""
            else:
                body, reply = start + int(words[-2]), words[3] if len(words) == 6 else b""
            sink = sinks.get(words[2])
            if sink is not None:
                sink(words[1], reply, data[start:body], data[body:end])
            else:
                await self._foreign(
                    int(words[2]), words[1], reply, data[body:end], data[start:body]
                )
            position = end + 2
        return position
