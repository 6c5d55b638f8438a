"""What a test broker remembers of a handler or a publisher, and how a test asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from callboard._errors import DeclarationError
from callboard.instruments import Handle
from callboard_brokers import Headers

if TYPE_CHECKING:
    from unittest.mock import MagicMock

ANYTHING: Final[Any] = object()
"""Stands for a body that is not compared."""


class Recorder(Protocol):
    """What a test broker puts under a handler or a publisher to remember its calls."""

    mock: MagicMock

    def around(self, handle: Handle, /) -> Handle:
        """Return what handles messages and remembers them."""
        ...

    async def wait_call(self, timeout: float | None = 3.0) -> None:  # noqa: ASYNC109 - as users know it
        """Wait until a call has ended, or one has; raise what it raised."""
        ...

    def check(self, which: str, expected: Mapping[str, Any], /) -> None:
        """Fail unless *which* of the calls, "once", "last" or "any", is as *expected*."""
        ...


class Recorded:
    """What has a recorder under test.

    The assertions compare what they are given and nothing else: a *body* as it would arrive,
    *headers* that are among those of the message, its ids and address, *path* parameters, values of
    the *context* by dotted names, and whatever else the message or its record has under a name,
    as `key` or `partition`. Of a batch there is only the body.
    """

    recorder: Recorder | None = None
    """What a test broker put here; None outside of one."""
    called: str
    """How errors name it."""

    @property
    def mock(self) -> MagicMock:
        """What a test broker remembers of the calls, each with the decoded body."""
        return self._recorder().mock

    async def wait_call(self, timeout: float | None = 3.0) -> None:  # noqa: ASYNC109 - as users know it
        """Wait until a call has ended under a test broker, or return at once if one has.

        Raises:
            TimeoutError: None has within *timeout* seconds.
            Exception: What the last one that has ended raised, but for `SkipMessage` and its kin.
        """
        await self._recorder().wait_call(timeout)

    async def assert_called_once_with(
        self,
        body: Any = ANYTHING,
        /,
        *,
        headers: Headers | None = None,
        correlation_id: str | None = None,
        context: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """Fail unless there was exactly one call, and with this."""
        self._check("once", body, headers, correlation_id, context, more)

    async def assert_called_with(
        self,
        body: Any = ANYTHING,
        /,
        *,
        headers: Headers | None = None,
        correlation_id: str | None = None,
        context: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """Fail unless the last call was with this."""
        self._check("last", body, headers, correlation_id, context, more)

    async def assert_any_call(
        self,
        body: Any = ANYTHING,
        /,
        *,
        headers: Headers | None = None,
        correlation_id: str | None = None,
        context: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """Fail unless some call was with this."""
        self._check("any", body, headers, correlation_id, context, more)

    def _check(  # noqa: PLR0913, PLR0917 - what three methods have in common
        self,
        which: str,
        body: Any,
        headers: Headers | None,
        correlation_id: str | None,
        context: Mapping[str, Any] | None,
        more: Mapping[str, Any],
    ) -> None:
        said = {"headers": headers, "correlation_id": correlation_id, "context": context, **more}
        expected = {name: value for name, value in said.items() if value is not None}
        if body is not ANYTHING:
            expected["body"] = body
        self._recorder().check(which, expected)

    def _recorder(self) -> Recorder:
        if self.recorder is None:
            raise DeclarationError(
                f"{self.called} is not under test: mocks exist inside `async with"
                " TestBroker(broker):`"
            )
        return self.recorder
