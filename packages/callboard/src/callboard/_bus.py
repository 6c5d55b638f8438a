"""Where events go: to whoever subscribed, synchronously, in the order of subscription."""

from __future__ import annotations

import logging
from collections.abc import Callable

from callboard_actors import Event

__all__ = ["Bus", "Sink"]

Sink = Callable[[Event], None]


class Bus:
    """Hands every event to its sinks. One that raises is detached: it must not stop the others."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._sinks: tuple[Sink, ...] = ()

    def subscribe(self, sink: Sink) -> Callable[[], None]:
        """Call *sink* with every event from now on; return what ends that."""
        self._sinks += (sink,)
        return lambda: self._detach(sink)

    def __call__(self, event: Event) -> None:
        for sink in self._sinks:
            try:
                sink(event)
            except Exception:
                self._detach(sink)
                self._logger.exception("the event sink %r raised and is detached", sink)

    def _detach(self, sink: Sink) -> None:
        sinks = [*self._sinks]
        if sink in sinks:
            sinks.remove(sink)  # one of them: it may be there twice
        self._sinks = tuple(sinks)
