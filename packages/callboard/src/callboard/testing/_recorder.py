"""Remembers what passed a handler or a publisher, for the assertions of a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import Context, copy_context
from typing import Any
from unittest.mock import MagicMock

import anyio

from callboard._context import ContextRepo, follow
from callboard._errors import DeclarationError, IgnoredException
from callboard.handle._parts import is_batch
from callboard.instruments import Handle
from callboard_brokers import Message
from callboard_validation import Codec, DecodeError, EncodeError


class CallRecorder:
    """A mock that is called with every decoded body, before the validation; and the messages.

    Args:
        codec: How bodies are written and read.
        context: What handlers may ask for.
    """

    def __init__(self, codec: Codec, context: ContextRepo) -> None:
        self.mock = MagicMock()
        self._codec = codec
        self._context = context
        self._calls: list[_Call] = []
        self._failure: Exception | None = None
        self._ended = anyio.Event()

    def around(self, handle: Handle, /) -> Handle:
        """Return what handles messages and remembers them, and how that ended."""

        async def remember(message: Message) -> object:
            try:
                body = await message.decode()
            except Exception:  # noqa: BLE001 - a decoder of the user's may raise anything
                # Whether that is a failure is for the handler to say: it may have no use for a body.
                body = message.body
            self.record(body, message)
            try:
                result = await handle(message)
            except IgnoredException:
                self.end()
                raise
            except Exception as error:
                self.end(error)
                raise
            self.end()
            return result

        return remember

    def record(self, body: object, message: Message) -> None:
        """Remember a call with *body*."""
        self._calls.append(_Call(body, message, copy_context()))
        self.mock(body)

    def end(self, failure: Exception | None = None) -> None:
        """Remember that a call has ended."""
        self._failure = failure
        self._ended.set()

    async def wait_call(self, timeout: float | None = 3.0) -> None:  # noqa: ASYNC109 - as users know it
        """Return once a call has ended.

        Raises:
            TimeoutError: None has within *timeout* seconds.
            Exception: What the last one raised.
        """
        with anyio.fail_after(timeout):
            await self._ended.wait()
        if self._failure is not None:
            raise self._failure

    def check(self, which: str, expected: Mapping[str, Any], /) -> None:
        """Fail unless *which* of the calls, "once", "last" or "any", is as *expected*."""
        if not self._calls:
            raise AssertionError("it was not called")
        if which == "once" and len(self._calls) != 1:
            raise AssertionError(f"it was called {len(self._calls)} times, not once")
        calls = self._calls if which == "any" else self._calls[-1:]
        differences = [self._difference(call, expected) for call in calls]
        if all(differences):
            raise AssertionError("it was not called so: " + "; or ".join(differences))

    def _difference(self, call: _Call, expected: Mapping[str, Any]) -> str:
        """Say in what *call* is not as *expected*; nothing, if it is."""
        if is_batch(call.message) and {*expected} - {"body"}:
            raise DeclarationError("of a batch only the body can be compared")
        for name, value in expected.items():
            found, wanted = self._compared(call, name, value)
            if found != wanted:
                return f"{name} was {found!r}, not {wanted!r}"
        return ""

    def _compared(self, call: _Call, name: str, value: Any) -> tuple[object, object]:
        """Return what *call* has under *name*, and *value*, in a form in which they are compared."""
        if name == "body":
            return call.body, self._as_received(value)
        if name == "context":
            return {each: self._seen(call, each) for each in value}, {**value}
        if name == "headers":
            headers = call.message.headers
            return {each: headers.get(each) for each in value}, {**value}
        found = getattr(call.message, name, None)
        if found is None:
            found = getattr(call.message.raw_message, name, None)
        if isinstance(found, bytes) and isinstance(value, str):
            value = value.encode()
        return found, value

    def _as_received(self, body: object) -> object:
        try:
            return self._codec.decode(*self._codec.encode(body))
        except (EncodeError, DecodeError):
            return body  # something that compares, such as `unittest.mock.ANY`

    def _seen(self, call: _Call, path: str) -> object:
        name, *rest = path.split(".")
        find: Callable[[str], object] = self._context.get
        value = call.message if name == "message" else call.context.run(find, name)
        for part in rest:
            value = follow(value, part)
        return value


class _Call:
    """A message, its body, and what could be found by name meanwhile."""

    def __init__(self, body: object, message: Message, context: Context) -> None:
        self.body = body
        self.message = message
        self.context = context
