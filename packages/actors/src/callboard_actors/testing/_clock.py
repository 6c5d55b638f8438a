"""Event loops whose time jumps to the next timer instead of waiting for it.

Back-off, time-outs and delays are then tested exactly and at once. Trio has such a clock; asyncio
gets one here: `loop.time` is virtual, and a wait of the selector becomes a step of that time.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - a virtual loop for asyncio has to be a loop of asyncio
import selectors
from typing import Literal


class _JumpingSelector(selectors.DefaultSelector):
    """Polls; where it would have waited for a timer, it moves the clock."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)
        ready = super().select(0)
        if not ready and timeout > 0:
            self.now += timeout
        return ready


class _VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio loop in virtual time, which starts at zero."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def virtual_backend(name: Literal["asyncio", "trio"]) -> tuple[str, dict[str, object]]:
    """Return anyio's name and options of a backend in virtual time, for one run of a loop.

    Made for the `anyio_backend` fixture of anyio's pytest plugin. Time does not wait for worker
    threads or sockets: a test in which those meet a time-out belongs on a real clock.
    """
    if name == "asyncio":
        return name, {"loop_factory": _VirtualTimeLoop}
    import trio.testing  # noqa: PLC0415, TID251 - trio is needed only by those who test on it

    return name, {"clock": trio.testing.MockClock(autojump_threshold=0)}
