"""What is made of the failures of handlers, by their types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from callboard._context import ContextRepo
from callboard._errors import DeclarationError, IgnoredException
from callboard.declare._handler import signature_of
from callboard.declare._middleware import BaseMiddleware
from callboard.declare._resolver import AnyResolver, MessageResolver
from callboard.handle._passage import PASSAGE
from callboard_actors import concerns_actor
from callboard_brokers import Message
from callboard_di import Callee, PlanError, plan
from callboard_validation import caster

H = TypeVar("H", bound=Callable[..., Any])


class ExceptionMiddleware:
    """Calls a function for a failure: `@errors.add_handler(ZeroDivisionError)`.

    The most specific of them counts, by the bases of the exception. It takes the exception first,
    and may ask for more by `Context` and `Depends`. With `publish=True`, what it returns is
    published as the result of the handler, and no other function is called. The failure is logged,
    and the message is settled by the subscriber's policy, unless it was settled by hand.

    What a handler raises to decide about its message, and what concerns its actor, passes.

    Args:
        handlers: Functions by type, as `add_handler` adds them.
        publish_handlers: Those whose results are published, likewise.
    """

    def __init__(
        self,
        handlers: Mapping[type[Exception], Callable[..., Any]] | None = None,
        publish_handlers: Mapping[type[Exception], Callable[..., Any]] | None = None,
    ) -> None:
        self._handlers: dict[type[BaseException], Callee] = {}
        self._publishing: dict[type[BaseException], Callee] = {}
        for publish, given in ((False, handlers), (True, publish_handlers)):
            for kind, function in (given or {}).items():
                self.add_handler(kind, publish=publish)(function)

    def __repr__(self) -> str:
        kinds = {kind.__name__ for kind in (*self._handlers, *self._publishing)}
        return f"<{type(self).__name__} of {', '.join(sorted(kinds)) or 'nothing'}>"

    def add_handler(self, kind: type[Exception], *, publish: bool = False) -> Callable[[H], H]:
        """Have the function below called for failures of *kind*."""

        def add(function: H) -> H:
            callee = signature_of(function)
            try:
                plan(callee, resolver=AnyResolver())
            except PlanError as error:
                raise DeclarationError(str(error)) from error
            (self._publishing if publish else self._handlers)[kind] = callee
            return function

        return add

    def __call__(self, msg: Any, /, *, context: ContextRepo) -> BaseMiddleware:
        """Return what a message passes."""
        return _Catching(msg, context, self._handlers, self._publishing)


class _Catching(BaseMiddleware):
    def __init__(
        self,
        msg: Any,
        context: ContextRepo,
        handlers: Mapping[type[BaseException], Callee],
        publishing: Mapping[type[BaseException], Callee],
    ) -> None:
        super().__init__(msg, context=context)
        self._handlers = handlers
        self._publishing = publishing

    async def consume_scope(self, call_next: Callable[[Any], Any], msg: Any) -> Any:
        try:
            return await call_next(msg)
        except Exception as error:
            handler = _nearest(self._publishing, error)
            if handler is None:
                raise
            result = await self._called(handler, error, msg)
            if (passage := PASSAGE.get()) is not None:
                passage.failure = error
            return result

    async def after_processed(
        self, exc_type: Any = None, exc_val: BaseException | None = None, exc_tb: Any = None
    ) -> bool:
        del exc_type, exc_tb
        passage = PASSAGE.get()
        if not isinstance(exc_val, Exception) or passage is None:
            return False
        if (handler := _nearest(self._handlers, exc_val)) is None:
            return False
        await self._called(handler, exc_val, passage.message)
        passage.failure = exc_val
        return True

    async def _called(self, handler: Callee, error: Exception, message: Message) -> object:
        planned = plan(handler, resolver=MessageResolver(self.context), caster=caster)
        # Made for each failure: that there are none is the rule.
        return await planned.bind(lambda _: [error] if planned.spread else error)(message)


def _nearest(handlers: Mapping[type[BaseException], Callee], error: Exception) -> Callee | None:
    if isinstance(error, IgnoredException) or concerns_actor(error):
        return None
    return next((handlers[kind] for kind in type(error).__mro__ if kind in handlers), None)
