"""Finds the position up to which all is done, while things are done in any order.

Kafka commits a position, not a message, and AMQP acknowledges up to a tag: everything below counts
as handled. So the position must not pass the oldest that is not done. Since offsets come in order,
a queue of flags is enough for that, without a heap: the position moves when the head is done.

    window  3 4 ✓ ✓ 8      5 and 7 are done: the position is 3, and the span 6
                           then 3 is: the position is 4; then 4 is: it is 8
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence


class Tracked:
    """An offset, the epoch of the tracker to which it was added, and whether it is `done`."""

    __slots__ = ("done", "epoch", "offset")

    def __init__(self, offset: int, epoch: int) -> None:
        self.offset = offset
        self.epoch = epoch
        self.done = False


class Tracker:
    """The window between the oldest offset that is not done and the newest that was seen.

    There is one for each partition or channel, and a new one, with another epoch, for each
    assignment or connection: what was added to the old one is not done in the new one.
    All steps take constant time, `done` amortised over the window. Nothing here waits or calls.
    Who need not know whether the position moves may set the `done` of what was added by himself.

    Args:
        position: The first offset that is not known to be done: what was committed last.
        epoch: The number of the assignment or connection.
        ahead: Offsets from *position* on that were done before, as `ahead` told them.

    Attributes:
        stale: How many completions of another epoch came, and were ignored.
    """

    __slots__ = ("_next", "_restored", "_window", "epoch", "stale")

    def __init__(self, position: int = 0, *, epoch: int = 0, ahead: Iterable[int] = ()) -> None:
        self.epoch = epoch
        self.stale = 0
        self._next = position
        self._window: deque[Tracked] = deque()
        self._restored = {offset for offset in ahead if offset >= position}

    def add(self, offset: int) -> Tracked | None:
        """Track *offset*; None if it was done before a restart, hence must not be handled again.

        Offsets grow; there may be gaps, which compaction leaves in a Kafka log.

        Raises:
            ValueError: *offset* is not above the one before.
        """
        if offset < self._next:
            raise _shrinking(offset, self._next)
        self._next = offset + 1
        tracked = Tracked(offset, self.epoch)
        if self._restored and offset in self._restored:
            self._restored.discard(offset)
            tracked.done = True
            self._window.append(tracked)
            return None
        self._window.append(tracked)
        return tracked

    def extend(self, offsets: Iterable[int]) -> Sequence[Tracked]:
        """Track *offsets*, as `add` would; those that were done before a restart come as `done`.

        Raises:
            ValueError: One is not above the one before; those before it are tracked.
        """
        epoch, expected = self.epoch, self._next
        added: list[Tracked] = []
        new = Tracked.__new__  # as the constructor, at two thirds of its cost
        try:
            for offset in offsets:
                if offset < expected:
                    raise _shrinking(offset, expected)
                expected = offset + 1
                tracked = new(Tracked)
                tracked.offset, tracked.epoch, tracked.done = offset, epoch, False
                added.append(tracked)
        finally:
            self._next = expected
            self._window.extend(added)
            if self._restored:
                self._pass_over(added)
        return added

    def done(self, tracked: Tracked) -> bool:
        """Note that *tracked* is done; return whether the position has moved.

        Of another epoch it changes nothing, and is counted; for the second time it changes nothing.
        """
        if tracked.epoch != self.epoch:
            self.stale += 1
            return False
        tracked.done = True
        if not self._window or self._window[0] is not tracked:
            return False
        self._pass_done()
        return True

    def skip(self, position: int) -> None:
        """Say that no offset below *position* comes any more: a log may end with control records.

        Kafka's own position tells it, if it is read in the same step as the records are added.
        """
        self._next = max(self._next, position)

    @property
    def position(self) -> int:
        """What may be committed: everything below it is done. It never goes back."""
        self._pass_done()
        return self._window[0].offset if self._window else self._next

    @property
    def span(self) -> int:
        """How many offsets lie from `position` to the newest, gaps included; 0 if all is done."""
        return self._next - self.position

    def ahead(self) -> Sequence[int]:
        """Return the offsets from `position` on that are done already, in order.

        Stored beside the position, they spare a restart from handling them again.
        """
        self._pass_done()
        seen = [tracked.offset for tracked in self._window if tracked.done]
        if self._restored:
            # A restored one that was passed has left the log meanwhile.
            seen += sorted(offset for offset in self._restored if offset >= self._next)
        return seen

    def _pass_done(self) -> None:
        window = self._window
        while window and window[0].done:
            window.popleft()

    def _pass_over(self, added: Sequence[Tracked]) -> None:
        """Take notice that some of *added* were done before a restart."""
        for tracked in added:
            if tracked.offset in self._restored:
                self._restored.discard(tracked.offset)
                self.done(tracked)


def _shrinking(offset: int, expected: int) -> ValueError:
    return ValueError(f"offset {offset} came after {expected - 1}: give them in growing order")
