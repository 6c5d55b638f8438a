"""A span around each handler."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

from opentelemetry import trace
from opentelemetry.context import Context, attach
from opentelemetry.trace import Link, Span, SpanKind
from opentelemetry.util.types import AttributeValue

from callboard.handle._parts import is_batch
from callboard.instruments import Handle, Place
from callboard.opentelemetry._called import NAME, TEMPLATE, Called, Received
from callboard.opentelemetry._parts import Parts
from callboard.opentelemetry._spans import fail, told_by, told_of
from callboard.opentelemetry._systems import system_of
from callboard_brokers import BatchMessage, Message

_EMPTY = Context()


def processing(handle: Handle, place: Place, parts: Parts) -> Handle:
    """Return what does *handle* within a span, of which all that follows is a part."""
    begin = Beginning(place, parts)
    meters, guard = parts.meters, parts.guard

    async def process(message: Message) -> object:
        try:
            span, called = begin(message)
        except Exception as error:  # noqa: BLE001 - a sampler or a propagator may be anybody's
            guard.tell(error)
            return await handle(message)
        failed: str | None = None
        began = perf_counter()
        try:
            return await handle(message)
        except BaseException as error:
            failed = _failed(span, error)
            raise
        finally:
            try:
                count = len(message.parts) if is_batch(message) else 1
                meters.processed(called.measured, perf_counter() - began, count, failed)
                span.end()
            except Exception as error:  # noqa: BLE001 - likewise a processor of spans
                guard.tell(error)

    def _failed(span: Span, error: BaseException) -> str | None:
        try:
            return fail(span, error)
        except Exception as another:  # noqa: BLE001 - it is asked for its words, which may fail
            guard.tell(another)
            return None

    return process


class Beginning:
    """Begins the spans of one subscriber, each as the current one of what handles its message."""

    def __init__(self, place: Place, parts: Parts) -> None:
        system = system_of(place.broker)
        self._received = Received(system, place)
        self._of_message = system.of_message
        self._start = parts.tracer.start_span
        self._extract = parts.carrier.extract
        self._links_only = parts.links_only

    def __call__(self, message: Message) -> tuple[Span, Called]:
        """Begin that of *message*."""
        if is_batch(message):
            return self._of_batch(message)
        called = self._received.of(message)
        context = self._extract(message)
        origin = trace.get_current_span(context).get_span_context()
        links = [Link(origin)] if origin.is_valid else None
        parent = _EMPTY if self._links_only else context
        span = self._start(called.span, parent, SpanKind.CONSUMER, called.attributes, links)
        if span.is_recording():
            span.set_attributes(self._said(message, called))
        attach(trace.set_span_in_context(span, context))  # it ends with the message
        return span, called

    def _of_batch(self, batch: BatchMessage) -> tuple[Span, Called]:
        """Begin that of a batch: it has no parent, and a link to each message."""
        called = self._received.of(batch.parts[0])
        attributes = {**called.attributes, "messaging.batch.message_count": len(batch.parts)}
        links = self._links(batch.parts, called)
        span = self._start(called.span, _EMPTY, SpanKind.CONSUMER, attributes, links)
        attach(trace.set_span_in_context(span, _EMPTY))
        return span, called

    def _links(self, parts: Sequence[Message], called: Called) -> Sequence[Link]:
        origins = [trace.get_current_span(self._extract(each)).get_span_context() for each in parts]
        return [
            Link(origin, self._said(part, called))
            for origin, part in zip(origins, parts, strict=True)
            if origin.is_valid
        ]

    def _said(self, message: Message, called: Called) -> dict[str, AttributeValue]:
        said = told_of(message)
        if TEMPLATE in called.attributes:
            said[NAME] = self._received.name_of(message)
        if (attempt := message.attempt) > 1:
            said["callboard.attempt"] = attempt
        said.update(told_by(self._of_message, message))
        return said
