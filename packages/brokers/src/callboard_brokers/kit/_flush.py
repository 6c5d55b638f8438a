"""Sends in the background what was written down, until it is through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from anyio import Lock, fail_after, move_on_after, sleep

from callboard_brokers._errors import BrokerError
from callboard_brokers.kit._backoff import Backoff
from callboard_brokers.kit._signal import Signal
from callboard_brokers.kit._tasks import time_left

RETRY: Final = Backoff(0.1, 5.0)


@dataclass(eq=False)
class Flush:
    """Calls *send* soon after something is written: once for all that is written by then.

    *send* is never called twice at once. If it fails with a `BrokerError`, or takes longer than
    *patience* seconds, it is called again after a pause; *failed* is told of the first failure in
    a row. What it did not get through, it has to keep.
    """

    send: Callable[[], Awaitable[None]]
    """Sends everything that is written."""
    failed: Callable[[Exception], None]
    """Takes the error."""
    every: float = 0.0
    """How many seconds to wait for more before sending; 0 sends in the next tick."""
    patience: float = 10.0
    """How many seconds *send* may take."""
    _one_at_a_time: Lock = field(default_factory=Lock, init=False)
    _due: bool = field(default=False, init=False)
    _failures: int = field(default=0, init=False)
    _changed: Signal = field(default_factory=Signal, init=False)

    def soon(self) -> None:
        """Send after `every`; cheap, to be called for whatever is written."""
        if not self._due:
            self._due = True
            self._changed.set()

    async def run(self) -> None:
        """Send what is written, until cancelled."""
        while True:
            while not self._due:
                await self._changed.wait()
            if self.every:
                await sleep(self.every)
            await self._through()

    async def leave(self, seconds: float) -> bool:
        """Send what is left, cancelled or not; return whether it is through.

        It takes at most *seconds*, and ends at the deadline of whoever leaves: after a second if
        that has passed.
        """
        with move_on_after(time_left(seconds), shield=True) as scope:
            async with self._one_at_a_time:
                pass  # what is on its way may still fail
            await self._through()
        return not scope.cancelled_caught

    async def _through(self) -> None:
        while self._due:
            if not await self._once():
                await sleep(RETRY.jittered(self._failures - 1))

    async def _once(self) -> bool:
        async with self._one_at_a_time:
            self._due = False
            try:
                with fail_after(self.patience):
                    await self.send()
            except (BrokerError, TimeoutError) as error:
                self._due = True
                self._failures += 1
                if self._failures == 1:
                    self.failed(error)
                return False
            except BaseException:
                self._due = True  # cancelled, it may have been sent: the last flush tries again
                raise
            self._failures = 0
            return True
