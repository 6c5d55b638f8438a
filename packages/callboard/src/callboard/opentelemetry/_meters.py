"""What is measured of messages, by the names of the conventions."""

from __future__ import annotations

from typing import Final

from opentelemetry.metrics import Meter

from callboard.opentelemetry._systems import Attributes

_SECONDS: Final = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]


class Meters:
    """Durations, and numbers of messages if they are wanted beside those."""

    def __init__(self, meter: Meter, *, counts: bool) -> None:
        self._operation = meter.create_histogram(
            "messaging.client.operation.duration",
            unit="s",
            description="How long it takes to send messages.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._process = meter.create_histogram(
            "messaging.process.duration",
            unit="s",
            description="How long it takes to handle messages.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._sent = self._consumed = None
        if counts:
            self._sent = meter.create_counter(
                "messaging.client.sent.messages",
                unit="{message}",
                description="Messages that were sent, or tried to be.",
            )
            self._consumed = meter.create_counter(
                "messaging.client.consumed.messages",
                unit="{message}",
                description="Messages that were given to handlers.",
            )

    def processed(
        self, attributes: Attributes, seconds: float, messages: int, error: str | None
    ) -> None:
        """Measure that a handler has ended."""
        if self._consumed is not None:
            self._consumed.add(messages, attributes)
        self._process.record(seconds, _failed(attributes, error))

    def sent(
        self, attributes: Attributes, seconds: float, messages: int, error: str | None
    ) -> None:
        """Measure that it is known whether messages have arrived."""
        said = _failed(attributes, error)
        if self._sent is not None:
            self._sent.add(messages, said)
        self._operation.record(seconds, said)


def _failed(attributes: Attributes, error: str | None) -> Attributes:
    return attributes if error is None else {**attributes, "error.type": error}
