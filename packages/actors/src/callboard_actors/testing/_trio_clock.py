"""Trio's jumping clock, which waits for worker threads here."""

from __future__ import annotations

import trio.testing  # noqa: TID251 - imported only by those who test on trio


class _Patience(trio.abc.Instrument):
    """Lets a clock jump at once, or after as long a wait if threads work beside the tasks."""

    def __init__(self, clock: trio.testing.MockClock) -> None:
        self._clock = clock

    def after_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002 - of any task
        # A task gives work to a thread and takes its result, so this sees both.
        patience = 0.0
        if trio.testing.active_thread_count():
            patience = max(0, trio.lowlevel.current_statistics().seconds_to_next_deadline)
        if patience != self._clock.autojump_threshold:
            self._clock.autojump_threshold = patience


def patient_clock() -> dict[str, object]:
    """Return options of a run in virtual time."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    return {"clock": clock, "instruments": [_Patience(clock)]}
