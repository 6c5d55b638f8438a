"""What stands around handlers and around what is published: functions, and objects with hooks."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias

from callboard._context import ContextRepo
from callboard._errors import DeclarationError
from callboard.instruments import Handle, Instrument


class BaseMiddleware:
    """Stands around each message, and around each publication, as an object of its own.

    For a message, all `on_receive` are called, outermost first; then `consume_scope`, each around
    the next, with decoding and the handler innermost; then what follows from the result leaves
    through each `publish_scope`; then `after_processed`, innermost first; at last the message is
    settled. What is published outside of a handler has an object of its own, without a message.

    Attributes:
        msg: The client's record; None where something is published outside of a handler.
        context: The broker's.
    """

    def __init__(self, msg: Any, /, *, context: ContextRepo) -> None:
        self.msg = msg
        self.context = context

    async def on_receive(self) -> None:
        """See a message before its body is decoded."""

    async def after_processed(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> bool | None:
        """See how a message has ended; true: its exception is none."""
        del exc_type, exc_val, exc_tb
        return False

    async def consume_scope(self, call_next: Callable[[Any], Awaitable[Any]], msg: Any) -> Any:
        """Handle *msg* by *call_next*; what is returned is the result."""
        return await call_next(msg)

    async def publish_scope(self, call_next: Callable[[Any], Awaitable[Any]], cmd: Any) -> Any:
        """Publish *cmd*, a `PublishCommand`, by *call_next*."""
        return await call_next(cmd)

    async def __aenter__(self) -> Self:
        await self.on_receive()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> bool | None:
        return await self.after_processed(exc_type, exc_val, exc_tb)


class Hooked(Protocol):
    """What makes the object with hooks of a message: a class derived from `BaseMiddleware`, say."""

    def __call__(self, msg: Any, /, *, context: Any) -> Any:
        """Return the object; *msg* is None for what is published outside of a handler."""
        ...


Middleware: TypeAlias = Callable[[Handle], Handle] | Hooked | Instrument
"""Stands around what handles a message: a function that wraps it, made once for each worker, or
what makes an object with hooks for each message. A broker takes an instrument for one, too."""


def is_hooked(middleware: Any) -> bool:
    """Whether *middleware* makes objects with hooks; else it is a function that wraps.

    Raises:
        DeclarationError: It is neither.
    """
    if inspect.isclass(middleware) and issubclass(middleware, BaseMiddleware):
        return True
    if isinstance(middleware, Instrument):
        raise DeclarationError(
            f"{middleware!r} is an instrument, which looks at all that a broker does: give it to the"
            " broker itself, as an object, in instruments=[...] or middlewares=[...]"
        )
    try:
        parameters = inspect.signature(middleware).parameters.values()
    except (TypeError, ValueError):
        parameters = None
    if parameters is None or inspect.iscoroutinefunction(middleware):
        raise DeclarationError(
            f"{middleware!r} is no middleware: give a class that is derived from BaseMiddleware, or a"
            " function that takes what handles a message and returns what is called in its place"
        )
    return any(each.name == "context" for each in parameters)


def overrides(middleware: Any, *names: str) -> bool:
    """Whether the objects that *middleware* makes have one of the hooks *names* of their own."""
    while isinstance(middleware, partial):
        function: object = middleware.func  # pyright: ignore[reportUnknownMemberType] - of whatever
        middleware = function
    if not (inspect.isclass(middleware) and issubclass(middleware, BaseMiddleware)):
        return True  # nobody knows what it makes
    return any(getattr(middleware, name) is not getattr(BaseMiddleware, name) for name in names)


def wrapped_by(middleware: Callable[[Handle], Handle], handle: Handle) -> Handle:
    """Put *middleware*, a function, around *handle*.

    Raises:
        DeclarationError: It returns nothing that could be called.
    """
    around: Any = middleware(handle)
    if not callable(around):
        raise DeclarationError(
            f"the middleware {middleware!r} has returned {around!r}, not what handles a message"
        )
    return around  # type: ignore[no-any-return] # whatever a function of the user's makes
