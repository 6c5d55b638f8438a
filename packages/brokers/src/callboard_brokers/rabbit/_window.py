"""What of a channel is not settled yet, and the frames that settle it.

A tag up to which all is settled is acknowledged with everything below it, in one frame for many.
The server takes it for an error if that tag was settled before. So each entry knows what the
server has been told of it. One that is slow would withhold the credit of all behind it: once half
of the prefetch is done behind it, they are acknowledged one by one.
"""

from __future__ import annotations

from asyncio import get_running_loop
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager

from callboard_brokers._settlement import Settlement
from callboard_brokers.rabbit._frames import ack, give_back, reject

OPEN, DONE, TOLD = 0, 1, 2
"""Unsettled; acknowledged, which the server has not been told; settled for the server as well."""


class Entry:
    """A delivery of the channel, and its *offset* in a stream."""

    __slots__ = ("offset", "state", "tag")

    def __init__(self, tag: int, offset: int | None = None) -> None:
        self.tag = tag
        self.offset = offset
        self.state = OPEN


class Window:
    """Settles on *channel* by *write*, once in a tick of the loop."""

    def __init__(self, channel: int, write: Callable[[bytes], None]) -> None:
        self._channel = channel
        self._half = 1
        self._last = self._since = 0
        self._write: Callable[[bytes], None] | None = write
        self._entries: deque[Entry] = deque()
        self._done = 0
        self._frames: list[bytes] = []
        self._due = self._waits = False

    def begin(self, prefetch: int) -> None:
        """Take notice of a new consumer, which gets so many messages ahead."""
        self._half = max(1, prefetch // 2)
        self._since = self._last

    @property
    def spent(self) -> int:
        """How many messages of this consumer's are unsettled for the server."""
        since = self._since
        return sum(each.tag > since and each.state is not TOLD for each in self._entries)

    def add(self, entry: Entry) -> None:
        """Note what was delivered; in the order of tags."""
        self._last = entry.tag
        self._entries.append(entry)

    def settle(self, entry: Entry, settlement: Settlement) -> None:
        """Tell the server soon."""
        if settlement is Settlement.ACK:
            entry.state = DONE
            self._done += 1
        else:
            entry.state = TOLD
            tag, channel = entry.tag, self._channel
            self._frames.append(
                give_back(channel, tag)
                if settlement is Settlement.RELEASE
                else reject(channel, tag, requeue=settlement is Settlement.NACK)
            )
        if not self._due:
            self._due = True
            get_running_loop().call_soon(self._flush)

    @contextmanager
    def held_back(self) -> Generator[None]:
        """Tell the server nothing until the end, so that it sends nothing for it."""
        self._waits = True
        try:
            yield
        finally:
            self._waits = False
            self._flush()

    def later(self, entry: Entry, delay: float) -> None:
        """Nack *entry* after *delay* seconds; until then it stays unsettled."""
        get_running_loop().call_later(delay, self._nack, entry)

    def leave(self, *, give_rest_back: bool) -> None:
        """Tell everything, and give back what is unsettled; nothing is told from now on."""
        self._half = 1
        if give_rest_back:
            self._frames += [
                give_back(self._channel, each.tag) for each in self._entries if each.state is OPEN
            ]
            self._entries = deque(each for each in self._entries if each.state is not OPEN)
        self._flush()
        self._write = None

    @property
    def position(self) -> int | None:
        """The offset to go on from in a stream; None: nothing is unsettled."""
        return next((each.offset for each in self._entries if each.state is OPEN), None)

    def _nack(self, entry: Entry) -> None:
        if entry.state is OPEN:
            self.settle(entry, Settlement.NACK)

    def _flush(self) -> None:
        self._due = False
        if self._waits:
            return
        entries, highest = self._entries, 0
        while entries and entries[0].state:
            entry = entries.popleft()
            if entry.state is DONE:
                highest = entry.tag
                self._done -= 1
        if highest:
            self._frames.append(ack(self._channel, highest, multiple=True))
        if self._done >= self._half:
            self._tell_singly()
        frames, self._frames = self._frames, []
        if self._write is not None and frames:
            self._write(b"".join(frames))

    def _tell_singly(self) -> None:
        for entry in self._entries:
            if entry.state is DONE:
                entry.state = TOLD
                self._frames.append(ack(self._channel, entry.tag))
        self._done = 0
