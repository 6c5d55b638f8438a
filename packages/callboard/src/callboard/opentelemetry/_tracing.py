"""The instrument that traces."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Final, TypeAlias

from opentelemetry import metrics, propagate, trace
from opentelemetry.metrics import Meter, MeterProvider
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import Span, TracerProvider

from callboard.instruments import Handle, Instrument, OnOutcome, Place, Send
from callboard.opentelemetry._called import SCHEMA_URL
from callboard.opentelemetry._carrier import Carrier
from callboard.opentelemetry._meters import Meters
from callboard.opentelemetry._parts import Parts
from callboard.opentelemetry._processing import processing
from callboard.opentelemetry._sending import sending
from callboard.opentelemetry._settling import settling
from callboard.opentelemetry._spans import Guard
from callboard_di import Depends

_NAME: Final = "callboard"
_VERSION: Final = version("callboard")


class Tracing(Instrument):
    """Makes a span of each message that is sent and of each that is handled, and measures them.

    A message carries the context of the span that sent it. The span of its handler is a child of
    that one and linked to it, be it a retry, and whatever the handler publishes is a child of the
    handler's. A batch is linked to all of its messages and has no parent. What fails here, a sampler
    say, is written to the log once, and messages go without.

    Args:
        tracer_provider: Whose spans they are; None: the one that is set for all.
        meter_provider: Who measures; None: the one that is set for all.
        meter: Measures in the place of one of its own.
        include_messages_counters: Whether messages are counted too: the durations have their number.
        propagator: How contexts travel; None: as is set for all, which is by the W3C's headers.
        links_only: Whether each message is handled in a trace of its own, which is only linked to
            that of whoever sent it.
        create_spans: Whether each message of a batch that is published has a span of its own; else
            they all carry that of the batch.
        settle_spans: Whether each settlement has a span. Outcomes are waited for then, which costs
            every message a little.
    """

    def __init__(  # noqa: PLR0913 - what it can be told, by name
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        meter: Meter | None = None,
        include_messages_counters: bool = False,
        propagator: TextMapPropagator | None = None,
        links_only: bool = False,
        create_spans: bool = True,
        settle_spans: bool = False,
    ) -> None:
        self._tracer_provider = tracer_provider
        self._propagator = propagator
        self._links_only = links_only
        self._create_spans = create_spans
        self._settle_spans = settle_spans
        if meter is None:
            meter = metrics.get_meter(_NAME, _VERSION, meter_provider, SCHEMA_URL)
        self._meters = Meters(meter, counts=include_messages_counters)
        self._guard = Guard()

    def around_handle(self, handle: Handle, place: Place, /) -> Handle:
        """Trace what is handled."""
        return processing(handle, place, self._parts)

    def around_send(self, send: Send, place: Place, /) -> Send:
        """Trace what is sent."""
        return sending(send, place, self._parts)

    def on_outcome(self, place: Place, /) -> OnOutcome | None:
        """Trace settlements, if they are asked for."""
        return settling(place, self._parts) if self._settle_spans else None

    @property
    def _parts(self) -> Parts:
        """Return what spans are made with; what is set for all may have been set since the import."""
        return Parts(
            tracer=trace.get_tracer(_NAME, _VERSION, self._tracer_provider, SCHEMA_URL),
            carrier=Carrier(self._propagator or propagate.get_global_textmap()),
            meters=self._meters,
            guard=self._guard,
            links_only=self._links_only,
            create_spans=self._create_spans,
        )


def _current_span() -> Span:
    return trace.get_current_span()


CurrentSpan: TypeAlias = Annotated[Span, Depends(_current_span, cast=False)]
"""The span of the message in hand."""
