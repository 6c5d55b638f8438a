"""A span for each settlement."""

from __future__ import annotations

from typing import Final

from opentelemetry import trace
from opentelemetry.context import get_current
from opentelemetry.trace import Link, SpanKind

from callboard.instruments import OnOutcome, Outcome, Place
from callboard.opentelemetry._called import Received
from callboard.opentelemetry._parts import Parts
from callboard.opentelemetry._spans import told_of
from callboard.opentelemetry._systems import system_of
from callboard_brokers import Delivery, Settlement

_VERBS: Final = {
    Settlement.ACK: "ack",
    Settlement.NACK: "nack",
    Settlement.REJECT: "reject",
}


def settling(place: Place, parts: Parts) -> OnOutcome:
    """Return what makes a span of each settlement, below that of the handler if it still is there."""
    system = system_of(place.broker)
    received = {
        settlement: Received(system, place, verb, "settle") for settlement, verb in _VERBS.items()
    }

    def settled(delivery: Delivery, outcome: Outcome) -> None:
        settlement, message = delivery.settlement, delivery.message
        if settlement is None or settlement not in received:
            return
        called = received[settlement].of(message)
        brought = parts.carrier.extract(message)
        origin = trace.get_current_span(brought).get_span_context()
        links = [Link(origin)] if origin.is_valid else None
        here = get_current()
        # What is settled when its outputs are confirmed is so in another task.
        parent = here if trace.get_current_span(here).get_span_context().is_valid else brought
        said = {**called.attributes, **told_of(message)}
        if outcome.delay is not None:
            said["callboard.retry.delay"] = outcome.delay
        parts.tracer.start_span(called.span, parent, SpanKind.CLIENT, said, links).end()

    return settled
