"""A tracer: each message has a span, which all that follows from it carries as a header."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from itertools import count

from callboard import Message
from callboard.instruments import Handle, Instrument, Output, Place, Send
from callboard_brokers import Confirmation, Delivery

__all__ = ["SPAN", "Spans"]

SPAN: ContextVar[int] = ContextVar("span", default=0)


class Spans(Instrument):
    """Writes down, for each message, the span that it carries and its own."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self.links: list[tuple[str | None, int]] = []

    def around_handle(self, handle: Handle, place: Place, /) -> Handle:
        async def traced(message: Message) -> object:
            SPAN.set(next(self._numbers))
            self.links.append((str(message.headers.get("span")), SPAN.get()))
            return await handle(message)

        return traced

    def around_send(self, send: Send, place: Place, /) -> Send:
        async def carried(outputs: Sequence[Output], cause: Delivery | None) -> Confirmation:
            for each in outputs:
                if each.kind == "dead letter" or "span" not in each.message.headers:
                    each.carry({"span": str(SPAN.get())})
            return await send(outputs, cause)

        return carried
