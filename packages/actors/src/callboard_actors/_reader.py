"""One worker's end of a mailbox.

An item is never handed to a reader that waits: it stays in the queue until the reader, awake,
takes it in the same step. Otherwise a cancellation between the hand-over and the waking would
lose it (anyio's memory streams lose it when the cancellation is native).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Generic, TypeVar

import anyio

from callboard_actors._errors import MailboxClosed
from callboard_actors._lanes import Entry, Lanes, Line
from callboard_actors._stock import Crashes, Stock

__all__ = ["Reader"]

T = TypeVar("T")


class Reader(Generic[T]):
    """Takes items one at a time. Made by `Mailbox.reader`; one per worker.

    After `take` comes `done` or `put_back`, then the next `take`. A reader outlives the worker:
    whoever is started in its place goes on with it.

    Attributes:
        current: The item that was taken and is not yet done; None if there is none.
        crashes: For the few items that have crashed their actor, by `id`: how often.
    """

    __slots__ = (
        "_entry",
        "_is_system",
        "_items",
        "_lanes",
        "_queue",
        "_stock",
        "crashes",
        "current",
    )

    def __init__(self, stock: Stock[T], queue: Lanes[T] | Line[T]) -> None:
        self._stock = stock
        self._queue = queue
        self._lanes = queue if isinstance(queue, Lanes) else None
        self._items: deque[T] = queue.items if isinstance(queue, Line) else deque()
        self._entry: Entry[T] | None = None
        self._is_system = False
        self.current: T | None = None
        self.crashes: Mapping[int, Crashes] = stock.crashes

    def take_nowait(self) -> T:
        """Take the next item, which stays in `current` until `done` or `put_back`.

        Raises:
            anyio.WouldBlock: Nothing is ready.
        """
        stock, lanes = self._stock, self._lanes
        if stock.system:
            self._is_system = True
            self.current = stock.system.popleft()
            return self.current
        if lanes is None:
            if not self._items:
                raise anyio.WouldBlock
            item = self._items.popleft()
            if stock.size is not None:
                stock.bytes -= stock.size(item)
        else:
            if not lanes.ready:
                raise anyio.WouldBlock
            self._entry = entry = lanes.ready.popleft()
            item = entry.item
            stock.bytes -= entry.size
        stock.queued -= 1
        if stock.roomy is not None:
            stock.relieve()
        self.current = item
        return item

    async def take(self) -> T:
        """Wait for an item and take it. If cancelled, nothing was taken.

        Raises:
            MailboxClosed: The mailbox is closed and nothing is left in it.
        """
        while True:
            try:
                return self.take_nowait()
            except anyio.WouldBlock:
                if self._stock.closed and self._is_empty():
                    message = f"mailbox {self._stock.name!r} is closed and empty"
                    raise MailboxClosed(message) from None
            await self._park()

    def done(self) -> None:
        """Say that the item is handled; its lane may go on."""
        entry, lanes = self._entry, self._lanes
        if entry is not None and lanes is not None:
            self._entry = None
            if entry.key is not None:
                lanes.finish(entry)
                if lanes.parked:
                    self._share(lanes)
        if self.crashes:
            self._stock.crashes.pop(id(self.current), None)
        self._is_system = False
        self.current = None

    def put_back(self, crash: str | None = None) -> None:
        """Return the item to the head of its lane, where it is taken first.

        Args:
            crash: How the item crashed its actor, which is counted; None if it did not.
        """
        item, stock = self.current, self._stock
        if item is None:
            return
        if crash is not None:
            before = stock.crashes.get(id(item))
            stock.crashes[id(item)] = Crashes(before.count + 1 if before else 1, crash)
        if self._is_system:
            stock.system.appendleft(item)
        else:
            self._return(item)
        self._entry, self._is_system, self.current = None, False, None
        self._queue.wake(1)

    def leave(self) -> None:
        """Say that this reader takes no more for now: what is ready is for the others."""
        if not self._is_empty():
            self._queue.wake(1)

    def drop(self) -> None:
        """Report that the item is given up, as `message.dropped` with its last crash."""
        crashes = self._stock.crashes.get(id(self.current))
        self._stock.dropped += 1
        self._stock.report("message.dropped", {"reason": crashes.text if crashes else ""})

    def _return(self, item: T) -> None:
        stock = self._stock
        if self._lanes is not None and self._entry is not None:
            self._lanes.ready.appendleft(self._entry)
            stock.bytes += self._entry.size
        else:
            self._items.appendleft(item)
            stock.bytes += stock.size(item) if stock.size is not None else 0
        stock.queued += 1

    def _is_empty(self) -> bool:
        # The entries of lanes are all in one queue; of several lines, each reader has its own.
        return not (self._items if self._lanes is None else self._stock.queued)

    def _share(self, lanes: Lanes[T]) -> None:
        """Wake other readers, for more than this one takes next itself, or to end."""
        if len(lanes.ready) > 1:
            lanes.wake(1)
        elif self._stock.closed and not self._stock.queued:
            lanes.wake(len(lanes.parked))

    async def _park(self) -> None:
        woken = anyio.Event()
        self._queue.parked.append(woken)
        try:
            await woken.wait()
        except BaseException:
            if woken.is_set():
                self._queue.wake(1)  # the wake was for an item that somebody has to take
            else:
                self._queue.parked.remove(woken)
            raise
