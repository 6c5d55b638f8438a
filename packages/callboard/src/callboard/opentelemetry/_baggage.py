"""Baggage: names and values that travel with a trace, for whoever handles its messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Annotated, Any, Final, Self, TypeAlias

from opentelemetry import baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context

from callboard.handle._parts import is_batch
from callboard.opentelemetry._carrier import text_of
from callboard_brokers import Headers, Message
from callboard_di import Depends

_W3C: Final = W3CBaggagePropagator()
_HEADER: Final = "baggage"


class Baggage:
    """What the messages in hand have brought, and what those that follow from them will.

    Args:
        payload: Values by their names: of a batch, those of all its messages, later ones first.
        batch_payload: Those of each message of a batch; of a single message, of that one.
    """

    def __init__(
        self, payload: Mapping[str, Any], batch_payload: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        self._payload = {**payload}
        self._batch = [{**each} for each in batch_payload]

    def get(self, key: str) -> Any:
        """Return the value by that name; None if there is none."""
        return self._payload.get(key)

    def get_all(self) -> dict[str, Any]:
        """Return all values by their names."""
        return {**self._payload}

    def get_all_batch(self) -> list[dict[str, Any]]:
        """Return those of each message of a batch, in order."""
        return [{**each} for each in self._batch]

    def set(self, key: str, value: Any) -> None:
        """Have whatever is published from now on carry *value*."""
        self._payload[key] = value

    def remove(self, key: str) -> None:
        """Have it no longer carry the value by that name; unknown names are ignored."""
        self._payload.pop(key, None)

    def clear(self) -> None:
        """Have it carry nothing."""
        self._payload.clear()

    def to_headers(self, headers: Headers | None = None) -> dict[str, Any]:
        """Return *headers* with these values among them, as they travel."""
        said = {**(headers or {})}
        said.pop(_HEADER, None)
        carried = dict[str, str]()
        _W3C.inject(carried, self.over(Context()))
        return {**said, **carried}

    @classmethod
    def from_headers(cls, headers: Headers) -> Self:
        """Return what *headers* say; nothing, if that can't be read."""
        payload = _read(headers)
        return cls(payload, [payload])

    @classmethod
    def from_msg(cls, msg: Message) -> Self:
        """Return what *msg* has brought, be it a batch."""
        if not is_batch(msg):
            return cls.from_headers(msg.headers)
        parts = [_read(part.headers) for part in msg.parts]
        return cls({name: value for part in parts for name, value in part.items()}, parts)

    def over(self, context: Context) -> Context:
        """Return *context* with these values in the place of its own."""
        context = baggage.clear(context)
        for name, value in self._payload.items():
            context = baggage.set_baggage(name, value, context)
        return context

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(self._payload) or 'nothing'}>"


def _read(headers: Headers) -> Mapping[str, Any]:
    value = headers.get(_HEADER)
    if value is None:
        return {}
    return baggage.get_all(_W3C.extract({_HEADER: text_of(value)}, Context()))


_CURRENT: Final[ContextVar[Baggage | None]] = ContextVar("callboard-baggage", default=None)


def with_changes(context: Context) -> Context:
    """Return *context* with what the running handler has made of its baggage, if it has asked for it."""
    held = _CURRENT.get()
    return context if held is None else held.over(context)


def _current(message: Message) -> Baggage:
    held = _CURRENT.get()
    if held is None:
        held = Baggage.from_msg(message)
        _CURRENT.set(held)  # it ends with the message
    return held


CurrentBaggage: TypeAlias = Annotated[Baggage, Depends(_current, cast=False)]
"""The baggage of the message in hand; what a handler changes in it reaches what it publishes."""
