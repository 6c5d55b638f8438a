"""One worker's end of a mailbox.

An item is never handed to a reader that waits: it stays in the queue until the reader, awake,
takes it in the same step. Otherwise a cancellation between the hand-over and the waking would
lose it (anyio's memory streams lose it when the cancellation is native).

Nothing runs in the background for what is parked: of the readers that wait, one waits only until
the next of it is due. It is the watch; when it ends, it rouses another one, which takes over.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Iterator, Mapping
from time import perf_counter
from typing import Generic, TypeVar

import anyio
from anyio.lowlevel import checkpoint

from callboard_actors._errors import MailboxClosed
from callboard_actors._lanes import Entry, Lanes, Line, rouse
from callboard_actors._parker import Park, clock, parker
from callboard_actors._stock import Crashes, Stock

__all__ = ["LaneReader", "LineReader", "Reader"]

T = TypeVar("T")

# A loop that never waits would starve every other task; a yield for each item would cost ten
# times as much as the item (SEMANTICS 6.2): at most 64 items or 1 ms. The clock is read after 1,
# 2, 4, ... of them, since it costs a fifth of what they do. Like items overrun it by as much again.
_TURN_SECONDS = 0.001
_LOOKS = tuple(count > 0 and count & (count - 1) == 0 for count in range(64))


class Reader(ABC, Generic[T]):
    """Takes items one at a time. Made by `Mailbox.reader`; one per worker.

    A worker loops over `items`. For one item there is `take`, and after it `done`, `put_back` or
    `park`. A reader outlives the worker: whoever is started in its place goes on with it.

    Attributes:
        current: The item that was taken and is not yet done; None if there is none.
        crashes: For the few items that have crashed their actor, by `id`: how often.
    """

    __slots__ = ("_is_system", "_park", "_queue", "_stock", "crashes", "current")

    def __init__(self, stock: Stock[T], queue: Lanes[T] | Line[T]) -> None:
        self._stock = stock
        self._queue = queue
        self._is_system = False
        self._park: Park | None = None
        self.current: T | None = None
        self.crashes: Mapping[int, Crashes] = stock.crashes

    @abstractmethod
    def items(self) -> Iterator[T | None]:
        """Yield what is ready, without end; None when it is time to `pause`.

        An item is `current` while it is out, and done when the next one is asked for.
        """

    def pause(self) -> Awaitable[None]:
        """Wait until others have run, and there may be something to take.

        Raises:
            MailboxClosed: The mailbox is closed and nothing is left in it.
        """
        queue, stock = self._queue, self._stock
        if queue.due is not None:
            queue.unpark(anyio.current_time())
        if stock.system or (queue.ready and not queue.held):
            return checkpoint()
        if stock.closed and self._is_empty():
            rouse(queue.sleepers, len(queue.sleepers))  # so that they find the same
            message = f"mailbox {stock.name!r} is closed and empty"
            raise MailboxClosed(message)
        if queue.due is None or queue.watch is not None:
            return self._doze()
        return self._watch(queue.due)

    async def take(self) -> T:
        """Wait for an item and take it. If cancelled, nothing was taken.

        Raises:
            MailboxClosed: The mailbox is closed and nothing is left in it.
        """
        while (item := next(self.items())) is None:
            await self.pause()
        return item

    def take_nowait(self) -> T:
        """Take the next item, which stays in `current` until `done`, `put_back` or `park`.

        Raises:
            anyio.WouldBlock: Nothing is ready.
        """
        item = next(self.items())
        if item is None:
            raise anyio.WouldBlock
        return item

    def done(self) -> None:
        """Say that the item is handled; its lane may go on."""
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
            self._return(item, None)
        self._is_system, self.current = False, None
        rouse(self._queue.sleepers, 1)

    def park(self, delay: float) -> None:
        """Return the item to the head of its lane, which waits for *delay* seconds; others go on.

        Meanwhile the item counts as queued, and no task waits for it. An item without a lane waits
        alone. A plain queue and a shard are one lane: all that is in it waits, for order's sake;
        give items that need no order `lane=` with None as their key. A closed mailbox is read
        until the last parked item is handled; who won't wait for that takes it out with `purge`.
        """
        item, queue = self.current, self._queue
        if item is None:
            return
        due = anyio.current_time() + delay
        self._return(item, due)
        self._is_system, self.current = False, None
        if queue.watch is None:
            rouse(queue.sleepers, 1)
        elif due < queue.watch.deadline:
            queue.watch.deadline = due

    def enter(self) -> None:
        """Say that this reader takes from now on, in this event loop, until it leaves."""
        self._park = parker()
        self._stock.now = clock()

    def leave(self) -> None:
        """Say that this reader takes no more for now: what is ready is for the others."""
        self._park = None
        rouse(self._queue.sleepers, 1)

    def drop(self) -> None:
        """Report that the item is given up, as `message.dropped` with its last crash."""
        crashes = self._stock.crashes.get(id(self.current))
        self._stock.dropped += 1
        self._stock.report("message.dropped", {"reason": crashes.text if crashes else ""})

    @abstractmethod
    def _is_empty(self) -> bool: ...

    @abstractmethod
    def _return(self, item: T, due: float | None) -> None: ...

    def _system_items(self) -> Iterator[T]:
        while self._stock.system:
            self._is_system = True
            self.current = item = self._stock.system.popleft()
            yield item
            self.done()

    async def _doze(self) -> None:
        """Wait until there may be something to take."""
        queue = self._queue
        wait, wake = (self._park or parker())()
        queue.sleepers.append(wake)
        try:
            await wait
        except BaseException:
            if wake in queue.sleepers:
                queue.sleepers.remove(wake)
            else:
                rouse(queue.sleepers, 1)  # the wake was for an item that somebody has to take
            raise
        if queue.due is not None and queue.watch is None:
            rouse(queue.sleepers, 1)

    async def _watch(self, due: float) -> None:
        """Wait likewise, but not longer than until *due*."""
        queue = self._queue
        try:
            with anyio.CancelScope(deadline=due) as queue.watch:
                await self._doze()
        finally:
            queue.watch = None
            if queue.due is not None:
                rouse(queue.sleepers, 1)


class LineReader(Reader[T]):
    """A reader of a line."""

    __slots__ = ("_line", "_size")

    def __init__(self, stock: Stock[T], line: Line[T]) -> None:
        super().__init__(stock, line)
        self._line = line
        self._size = 0

    def items(self) -> Iterator[T | None]:  # noqa: C901 - one loop, the hottest there is
        """Yield what is ready; see `Reader.items`."""
        stock, line, crashes = self._stock, self._line, self.crashes
        ready, sizes, system = line.ready, line.sizes, stock.system
        while True:
            if line.due is not None:
                line.unpark(anyio.current_time())
            until = perf_counter() + _TURN_SECONDS
            for look in _LOOKS:
                if system:
                    yield from self._system_items()
                if not ready or line.due is not None or (look and perf_counter() > until):
                    break
                self.current = item = ready.popleft()
                if sizes:
                    self._size = size = sizes.popleft()
                    stock.bytes -= size
                stock.queued = queued = stock.queued - 1
                if queued <= stock.relief:
                    stock.relieve()
                yield item
                if crashes:
                    self.done()
            self.current = None
            yield None

    def _is_empty(self) -> bool:
        return not self._line.ready

    def _return(self, item: T, due: float | None) -> None:
        size = 0 if self._is_system else self._size
        self._line.put_back(item, size if self._stock.size is not None else None, due)
        self._stock.bytes += size
        self._stock.queued += 1


class LaneReader(Reader[T]):
    """A reader of lanes."""

    __slots__ = ("_lanes", "entry")

    def __init__(self, stock: Stock[T], lanes: Lanes[T]) -> None:
        super().__init__(stock, lanes)
        self._lanes = lanes
        self.entry: Entry[T] | None = None  # that of `current`

    def items(self) -> Iterator[T | None]:  # noqa: C901 - one loop, the hottest there is
        """Yield what is ready; see `Reader.items`."""
        stock, lanes, crashes = self._stock, self._lanes, self.crashes
        ready, sleepers, system = lanes.ready, lanes.sleepers, stock.system
        while True:
            if lanes.due is not None:
                lanes.unpark(anyio.current_time())
            until = perf_counter() + _TURN_SECONDS
            for look in _LOOKS:
                if system:
                    yield from self._system_items()
                if not ready or (look and perf_counter() > until):
                    break
                self.entry = entry = ready.popleft()
                self.current = entry.item
                stock.bytes -= entry.size
                stock.queued = queued = stock.queued - 1
                if queued <= stock.relief:
                    stock.relieve()
                yield entry.item
                if self.entry is entry:  # neither put back nor parked
                    self.entry = None
                    lanes.finish(entry)
                    if sleepers:
                        self._share()
                if crashes:
                    self.done()
            self.current = None
            yield None

    def done(self) -> None:
        """Say that the item is handled; its lane may go on."""
        if self.entry is not None:
            self._lanes.finish(self.entry)
            self.entry = None
            self._share()
        super().done()

    def _share(self) -> None:
        """Rouse other readers: for more than this one takes next itself, or to end."""
        lanes, stock = self._lanes, self._stock
        if stock.closed and not stock.queued:
            rouse(lanes.sleepers, len(lanes.sleepers))
        elif len(lanes.ready) > 1:
            rouse(lanes.sleepers, 1)

    def _is_empty(self) -> bool:
        return not self._stock.queued

    def _return(self, item: T, due: float | None) -> None:
        entry = self.entry or Entry(item, None, 0, anyio.current_time())
        self.entry = None
        self._lanes.put_back(entry, due)
        self._stock.bytes += entry.size
        self._stock.queued += 1
