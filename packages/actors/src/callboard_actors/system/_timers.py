"""Messages that an actor sends to itself, later."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskGroup

from callboard_actors._errors import SpecError
from callboard_actors.system._envelope import SystemMessage

M = TypeVar("M")


class Timers(Generic[M]):
    """Timers of one life of an actor, by keys of its choice. What they send is read first.

    Whether a tick still holds is asked when it is delivered: once its key was started anew or
    cancelled, or the actor restarted, no earlier tick arrives, not even one already sent.
    """

    def __init__(self, tasks: TaskGroup, post: Callable[[SystemMessage], None]) -> None:
        self._tasks = tasks
        self._post = post
        # A scope is a timer's task, and tells one start of a key from another.
        self._running: dict[Hashable, anyio.CancelScope] = {}
        self._unread: set[anyio.CancelScope] = set()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._running

    def start(
        self, key: Hashable, message: M, delay: float | None = None, *, every: float | None = None
    ) -> None:
        """Send *message* after *delay* seconds, or *every* so many, in the place of what *key* did.

        With both, the first one comes after *delay*. While one waits to be read, there is no
        other: a slow actor misses ticks.

        Raises:
            SpecError: There is neither, or *every* is not positive.
        """
        first = every if delay is None else delay
        if first is None or (every is not None and every <= 0):
            raise SpecError(f"timer {key!r} has {delay=} and {every=}; give one, and every > 0")
        self.cancel(key)
        scope = self._running[key] = anyio.CancelScope()
        due = anyio.current_time() + first
        self._tasks.start_soon(self._tick, key, scope, message, due, every)

    def cancel(self, key: Hashable) -> None:
        """Let *key* send nothing more, if it was started."""
        if key in self._running:
            self._running.pop(key).cancel()

    def cancel_all(self) -> None:
        """Let no key send anything more."""
        for key in list(self._running):
            self.cancel(key)

    async def _tick(
        self,
        key: Hashable,
        scope: anyio.CancelScope,
        message: object,
        due: float,
        every: float | None,
    ) -> None:
        with scope:
            while True:
                await anyio.sleep_until(due)
                if scope not in self._unread:
                    self._unread.add(scope)
                    self._post(
                        SystemMessage(message, partial(self._accept, key, scope, every is None))
                    )
                if every is None:
                    return
                due += every

    def _accept(self, key: Hashable, scope: anyio.CancelScope, is_last: bool) -> bool:
        self._unread.discard(scope)
        if self._running.get(key) is not scope:
            return False
        if is_last:
            del self._running[key]
        return True
