"""One worker's end of a mailbox.

An item is never handed to a reader that waits: it stays in the queue until the reader, awake,
takes it in the same step. Otherwise a cancellation between the hand-over and the waking would
lose it (anyio's memory streams lose it when the cancellation is native).

Nothing runs in the background for what is parked: of the readers that wait, one waits only until
the next of it is due. It is the watch; when it ends, it rouses another one, which takes over.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Generic, TypeVar

import anyio
from anyio.lowlevel import checkpoint

from callboard_actors._errors import MailboxClosed
from callboard_actors._parker import Wake, native
from callboard_actors.events import MessageDropped
from callboard_actors.mailbox._gauge import Crashes, Gauge
from callboard_actors.mailbox._lanes import Entry, Lanes
from callboard_actors.mailbox._line import Line, rouse

T = TypeVar("T")

# A loop that never waits would starve every other task; a yield for each item would cost ten
# times as much as the item (SEMANTICS 6.2): at most 64 items or 1 ms. The clock is read after 1,
# 2, 4, ... of them, since it costs a fifth of what they do. Like items overrun it by as much again.
_TURN_SECONDS = 0.001
_LOOKS = tuple(count > 0 and count & (count - 1) == 0 for count in range(64))


@dataclass(eq=False, slots=True)
class Reader(Generic[T]):
    """Takes items one at a time. Made by `Mailbox.reader`; one per worker.

    A worker loops over `items`. For one item there is `take`, and after it `done`, `put_back` or
    `park`. A reader outlives the worker: whoever is started in its place goes on with it.

    Attributes:
        current: The item that was taken and is not yet done; None if there is none.
        returned: The item that was put back or parked last, since `enter`.
        crashes: For the few items that have crashed their actor, by `id`: how often.
    """

    _gauge: Gauge[T]
    _queue: Lanes[T] | Line[T]
    _is_system: bool = False
    _park: Callable[[], tuple[Awaitable[object], Wake]] | None = None
    _size: int = 0  # of `current`, out of a line
    _waited: float = 0.0
    _waits_since: float | None = None
    entry: Entry[T] | None = None  # of `current`, out of lanes
    current: T | None = None
    returned: T | None = None
    crashes: Mapping[int, Crashes] = field(init=False)

    def __post_init__(self) -> None:
        self.crashes = self._gauge.crashes

    @property
    def idle(self) -> float:
        """How many seconds have been spent waiting for something to take, until now."""
        since = self._waits_since
        return self._waited if since is None else self._waited + self._gauge.now() - since

    def items(self) -> Iterator[T | None]:
        """Yield what is ready, without end; None when it is time to `pause`.

        An item is `current` while it is out, and done when the next one is asked for.
        """
        queue = self._queue
        if queue.due is not None:
            queue.unpark(anyio.current_time())
        return self._along(queue) if isinstance(queue, Line) else self._across(queue)

    def pause(self) -> Awaitable[None]:
        """Wait until others have run, and there may be something to take.

        Raises:
            MailboxClosed: The mailbox is closed and nothing is left in it.
        """
        queue, gauge = self._queue, self._gauge
        if queue.due is not None:
            queue.unpark(anyio.current_time())
        if gauge.system or queue.ready:
            return checkpoint()
        # The entries of lanes are all in one queue; of several lines, each reader has its own.
        is_line = isinstance(queue, Line)
        if gauge.closed and not (queue.parked or gauge.deferred if is_line else gauge.queued):
            rouse(queue.sleepers, len(queue.sleepers))  # so that they find the same
            raise MailboxClosed(f"mailbox {gauge.name!r} is closed and empty")
        gauge.feed()
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
        if self.entry is not None and isinstance(self._queue, Lanes):
            self._finish(self._queue, self.entry)
        if self.crashes:
            self._gauge.crashes.pop(id(self.current), None)
        self._is_system = False
        self.current = None

    def defer(self) -> None:
        """Go on without the item, of which it is known later whether it is handled.

        Its lane goes on. It keeps its room, and the count of its crashes, until `Mailbox.done` or
        `Mailbox.put_back` says what has become of it; a closed mailbox is not empty before. Not for
        an item of the system lane, which has no room to keep.
        """
        gauge, entry = self._gauge, self.entry
        gauge.deferred += 1
        gauge.queued += 1
        gauge.bytes += self._size if entry is None else entry.size
        if entry is not None and isinstance(self._queue, Lanes):
            self._finish(self._queue, entry)
        self.current = None

    def put_back(self, crash: str | None = None) -> None:
        """Return the item to the head of its lane, where it is taken first.

        Args:
            crash: How the item crashed its actor, which is counted; None if it did not.
        """
        item, gauge = self.current, self._gauge
        if item is None:
            return
        if crash is not None:
            before = gauge.crashes.get(id(item))
            gauge.crashes[id(item)] = Crashes(before.count + 1 if before else 1, crash)
        if self._is_system:
            gauge.system.appendleft(item)
        else:
            self._return(item, None)
        self._is_system, self.current = False, None
        rouse(self._queue.sleepers, 1)

    def park(self, delay: float) -> None:
        """Return the item to the head of its lane, which waits for *delay* seconds; others go on.

        Meanwhile the item counts as queued, and no task waits for it. An item without a lane waits
        alone. In a plain queue or a shard, the `kin` of the item waits with it; where the mailbox
        has none, all that is in it waits, for order's sake. A closed mailbox is read until the last
        parked item is handled; who won't wait for that takes it out with `take_parked`.
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
        self.returned, loop = None, native()
        self._park, self._gauge.now = loop.park, loop.now

    def leave(self) -> None:
        """Say that this reader takes no more for now: what is ready is for the others."""
        self._park = None
        rouse(self._queue.sleepers, 1)

    def drop(self) -> None:
        """Report that the item is given up, as `message.dropped` with its last crash."""
        crashes = self._gauge.crashes.get(id(self.current))
        self._gauge.dropped += 1
        reason = crashes.text if crashes else ""
        self._gauge.notify(MessageDropped(self._gauge.name, reason))

    def _along(self, line: Line[T]) -> Iterator[T | None]:
        gauge, crashes = self._gauge, self.crashes
        ready, sizes, system = line.ready, line.sizes, gauge.system
        while True:
            until = perf_counter() + _TURN_SECONDS
            for look in _LOOKS:
                if system:
                    yield from self._system_items()
                if not ready or (look and perf_counter() > until):
                    break
                self.current = item = ready.popleft()
                if sizes:
                    self._size = size = sizes.popleft()
                    gauge.bytes -= size
                gauge.queued = queued = gauge.queued - 1
                if queued <= gauge.relief:
                    gauge.relieve()
                yield item
                if crashes:
                    self.done()
            self.current = None
            yield None

    def _across(self, lanes: Lanes[T]) -> Iterator[T | None]:
        gauge, crashes = self._gauge, self.crashes
        ready, system = lanes.ready, gauge.system
        while True:
            until = perf_counter() + _TURN_SECONDS
            for look in _LOOKS:
                if system:
                    yield from self._system_items()
                if not ready or (look and perf_counter() > until):
                    break
                self.entry = entry = ready.popleft()
                self.current = entry.item
                gauge.bytes -= entry.size
                gauge.queued = queued = gauge.queued - 1
                if queued <= gauge.relief:
                    gauge.relieve()
                yield entry.item
                if self.entry is entry:  # neither put back nor parked
                    self._finish(lanes, entry)
                if crashes:
                    self.done()
            self.current = None
            yield None

    def _system_items(self) -> Iterator[T]:
        while self._gauge.system:
            self._is_system = True
            self.current = item = self._gauge.system.popleft()
            yield item
            self.done()

    def _finish(self, lanes: Lanes[T], entry: Entry[T]) -> None:
        self.entry = None
        lanes.finish(entry)
        if not lanes.sleepers:
            return
        # For more than this one takes next itself, or to end.
        if len(lanes.ready) > 1:
            rouse(lanes.sleepers, 1)
        elif self._gauge.closed and not self._gauge.queued:
            rouse(lanes.sleepers, len(lanes.sleepers))

    def _return(self, item: T, due: float | None) -> None:
        gauge, queue = self._gauge, self._queue
        if isinstance(queue, Lanes):
            entry = self.entry or Entry(item, None, 0, anyio.current_time())
            size, self.entry = entry.size, None
            queue.put_back(entry, due)
        else:
            size = 0 if self._is_system else self._size
            queue.put_back(item, size, due)
        gauge.bytes += size
        gauge.queued += 1
        self.returned = item

    async def _doze(self) -> None:
        """Wait until there may be something to take."""
        queue = self._queue
        wait, wake = (self._park or native().park)()
        queue.sleepers.append(wake)
        now = self._gauge.now
        self._waits_since = since = now()
        try:
            await wait
        except BaseException:
            if wake in queue.sleepers:
                queue.sleepers.remove(wake)
            else:
                rouse(queue.sleepers, 1)  # the wake was for an item that somebody has to take
            raise
        finally:
            self._waits_since = None
            self._waited += now() - since
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
