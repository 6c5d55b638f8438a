"""Where events go: to whoever subscribed, synchronously, in the order of subscription."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final

from callboard.events import Event, Notify
from callboard.watch._say import say

SILENCE: Final = 60.0
"""Seconds for which no more is said of a sink that has raised."""


@dataclass(eq=False)
class _Listener:
    """A sink; one that is there twice has two of these."""

    sink: Notify
    told_at: float = -inf
    failures: int = 0


class Bus:
    """Hands every event to its sinks. One that raises is told of, and kept; the others go on."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._listeners: tuple[_Listener, ...] = ()

    def subscribe(self, sink: Notify) -> Callable[[], None]:
        """Call *sink* with every event from now on; return what ends that."""
        listener = _Listener(sink)
        self._listeners += (listener,)

        def end() -> None:
            self._listeners = tuple(each for each in self._listeners if each is not listener)

        return end

    def __call__(self, event: Event) -> None:
        for listener in self._listeners:
            try:
                listener.sink(event)
            except Exception as error:  # noqa: BLE001 - whoever tells of something must not suffer
                self._complain(listener, event, error)

    def _complain(self, listener: _Listener, event: Event, error: Exception) -> None:
        """Say that a sink has raised, once in a while: it may do so for every event."""
        listener.failures += 1
        if event.at < listener.told_at + SILENCE:
            return
        listener.told_at = event.at
        line = "the event sink %s has raised on %s, for the %d. time; it is kept"
        parts = (listener.sink, event.name, listener.failures)
        say(self._logger, logging.ERROR, line, *parts, error=error)
