"""A signal that can be waited for again and again."""

from __future__ import annotations

from anyio import Event, move_on_after


class Signal:
    """Wakes whoever waits at the moment; nobody later. Where nobody waits, it costs nothing."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: Event | None = None

    def set(self) -> None:
        """Wake them."""
        if self._event is not None:
            self._event.set()
            self._event = None

    async def wait(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - one scope, here
        """Return when it is set, or after *timeout* seconds, None is for ever; say whether it was."""
        if self._event is None:
            self._event = Event()
        event = self._event
        with move_on_after(timeout):
            await event.wait()
        return event.is_set()
