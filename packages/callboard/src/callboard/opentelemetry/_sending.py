"""A span around whatever is sent, which its message carries on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from time import perf_counter
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context, get_current
from opentelemetry.trace import Link, Span, SpanKind
from opentelemetry.util.types import AttributeValue

from callboard.handle._output import is_batch
from callboard.instruments import Output, Place, Send
from callboard.opentelemetry._baggage import with_changes
from callboard.opentelemetry._called import Called, Sent
from callboard.opentelemetry._carrier import PARENT, text_of
from callboard.opentelemetry._parts import Parts
from callboard.opentelemetry._spans import fail, told_by, told_of
from callboard.opentelemetry._systems import system_of
from callboard_brokers import ARRIVED, Confirmation, Delivery

ORIGINAL: Final = "x-original-traceparent"
"""The header of a dead letter that has the context which its message came with."""


class Begun:
    """A span of what is on its way, and how it is measured."""

    __slots__ = ("called", "count", "span")

    def __init__(self, span: Span, called: Called, count: int = 1) -> None:
        self.span = span
        self.called = called
        self.count = count


def sending(send: Send, place: Place, parts: Parts) -> Send:
    """Return what does *send* within spans that end when it is known what has arrived."""
    begin = Beginning(place, parts)
    meters, guard = parts.meters, parts.guard

    async def traced(outputs: Sequence[Output], cause: Delivery | None) -> Confirmation:
        try:
            begun = begin(outputs)
        except Exception as error:  # noqa: BLE001 - a sampler or a propagator may be anybody's
            guard.tell(error)
            return await send(outputs, cause)
        began = perf_counter()
        try:
            sent = await send(outputs, cause)
        except BaseException as error:
            end(begun, began, error)
            raise
        if sent is ARRIVED:
            end(begun, began, None)
        else:
            sent.then(partial(end, begun, began))
        return sent

    def end(begun: Sequence[Begun], began: float, failure: BaseException | None) -> None:
        seconds = perf_counter() - began
        try:
            for each in begun:
                failed = None if failure is None else fail(each.span, failure)
                meters.sent(each.called.measured, seconds, each.count, failed)
                each.span.end()
        except Exception as error:  # noqa: BLE001 - likewise a processor of spans
            guard.tell(error)

    return traced


class Beginning:
    """Begins the spans of a way out."""

    def __init__(self, place: Place, parts: Parts) -> None:
        system = system_of(place.broker)
        self._sent = Sent(system, place, "publish", "send")
        self._created = Sent(system, place, "create", "create")
        self._of_output = system.of_output
        self._start = parts.tracer.start_span
        self._carrier = parts.carrier
        self._creates = parts.create_spans

    def __call__(self, outputs: Sequence[Output]) -> Sequence[Begun]:
        """Begin one for each of *outputs*; for a batch one, which has a link to each message."""
        context = with_changes(get_current())
        if len(outputs) > 1 and is_batch(outputs):
            return [self._of_batch(outputs, context)]
        return [self._of(each, context) for each in outputs]

    def _of(self, output: Output, context: Context) -> Begun:
        called = self._sent.of(output)
        is_letter = output.kind == "dead letter"
        if not is_letter and self._carrier.is_in(output.message.headers):
            # The user has said what it follows from: that is left as it is.
            return Begun(
                self._started(called, context, SpanKind.CLIENT, self._link(output)), called
            )
        span = self._started(called, context, SpanKind.PRODUCER)
        if span.is_recording():
            span.set_attributes(self._said(output))
        self._carry(output, span, context)
        return Begun(span, called)

    def _of_batch(self, outputs: Sequence[Output], context: Context) -> Begun:
        called, count = self._sent.of(outputs[0]), len(outputs)
        attributes: dict[str, AttributeValue] = {"messaging.batch.message_count": count}
        if not self._creates:
            span = self._started(called, context, SpanKind.PRODUCER, (), attributes)
            for each in outputs:
                if not self._carrier.is_in(each.message.headers):
                    self._carry(each, span, context)
            return Begun(span, called, count)
        links = [link for each in outputs for link in self._create(each, context)]
        span = self._started(called, context, SpanKind.CLIENT, links, attributes)
        return Begun(span, called, count)

    def _create(self, output: Output, context: Context) -> Sequence[Link]:
        """Let a message of a batch carry a span of its own; return what leads to that."""
        if self._carrier.is_in(output.message.headers):
            return self._link(output)
        span = self._started(self._created.of(output), context, SpanKind.PRODUCER)
        if span.is_recording():
            span.set_attributes(self._said(output))
        self._carry(output, span, context)
        span.end()
        return [Link(span.get_span_context())]

    def _started(
        self,
        called: Called,
        context: Context,
        kind: SpanKind,
        links: Sequence[Link] = (),
        attributes: dict[str, AttributeValue] | None = None,
    ) -> Span:
        said = {**called.attributes, **attributes} if attributes else called.attributes
        return self._start(called.span, context, kind, said, links)

    def _link(self, output: Output) -> Sequence[Link]:
        found = trace.get_current_span(self._carrier.extract(output.message)).get_span_context()
        return [Link(found)] if found.is_valid else []

    def _carry(self, output: Output, span: Span, context: Context) -> None:
        headers = self._carrier.inject(span, context)
        given = output.message.headers
        if output.kind == "dead letter" and (original := given.get(PARENT)) is not None:
            headers[ORIGINAL] = text_of(original)
            if "tracestate" in given:  # of the context that is original
                headers.setdefault("tracestate", "")
        if headers:
            output.carry(headers)

    def _said(self, output: Output) -> dict[str, AttributeValue]:
        said = told_of(output.message)
        said.update(told_by(self._of_output, output))
        return said
