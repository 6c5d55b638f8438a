"""Remembers what passed a handler or a publisher, for the assertions of a test."""

from __future__ import annotations

from unittest.mock import MagicMock

import anyio


class CallRecorder:
    """A mock that is called with every decoded body, before the validation."""

    def __init__(self) -> None:
        self.mock = MagicMock()
        self._called = anyio.Event()

    def record(self, body: object) -> None:
        """Remember a call with *body*."""
        self.mock(body)
        self._called.set()

    async def wait_call(self, timeout: float = 3.0) -> None:  # noqa: ASYNC109 - as users know it
        """Return once there has been a call.

        Raises:
            TimeoutError: There was none within *timeout* seconds.
        """
        with anyio.fail_after(timeout):
            await self._called.wait()
