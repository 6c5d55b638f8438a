"""Microseconds per message from publish to settlement, in memory, beside FastStream in one run.

Callboard: the whole path on its broker in memory (encode, queue, pump, mailbox, worker, decode,
inject, handle, settle). FastStream: its in-memory test broker, which calls the handler inside
`publish` and has no queue, settlement or redelivery. Same models, same handlers, rounds taken in
turn, medians of the rounds.

Then what it adds to that to be looked on, counted in time of the processor, minima of the rounds:
the spans of both go to a batch processor whose exporter throws them away. Run by `make bench`.
"""

from __future__ import annotations

import gc
import logging
import statistics
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from importlib.metadata import version
from time import perf_counter, process_time
from typing import Any, TypeAlias

import anyio
import faststream
from faststream.kafka import KafkaBroker, TestKafkaBroker
from faststream.kafka.opentelemetry import KafkaTelemetryMiddleware
from faststream.kafka.prometheus import KafkaPrometheusMiddleware
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

import callboard
from callboard import MemoryBroker
from callboard.instruments import Instrument
from callboard.opentelemetry import Tracing
from callboard.prometheus import Prometheus

Round: TypeAlias = Callable[[], Awaitable[float]]

ROUNDS = 7
ORDER = {"id": 7, "customer": "alice", "quantity": 3, "price": 9.5}


class Order(BaseModel):
    """What the handlers take."""

    id: int
    customer: str
    quantity: int
    price: float


def twice(order: Order) -> int:
    """Be a dependency that takes the body's own parameter."""
    return order.quantity * 2


async def session() -> AsyncIterator[str]:
    """Be a dependency with a teardown."""
    yield "session"


def handlers(kit: Any, done: Callable[[], None]) -> dict[str, Callable[..., Any]]:
    """Make the handlers of each case for one framework: *kit* has its Context and Depends."""

    async def plain(order: Order) -> None:
        done()

    async def context(
        order: Order,
        a: Any = kit.Context("message"),
        b: Any = kit.Context("broker"),
        c: Any = kit.Context("logger"),
    ) -> None:
        done()

    async def dependencies(
        order: Order,
        doubled: int = kit.Depends(twice),
        opened: str = kit.Depends(session),
    ) -> None:
        done()

    return {"plain": plain, "three Context values": context, "two dependencies": dependencies}


class Countdown:
    """Tells when the last message of a round has been handled."""

    def __init__(self) -> None:
        self.left = 0
        self.over = anyio.Event()

    def start(self, count: int) -> None:
        """Expect *count* messages."""
        self.left, self.over = count, anyio.Event()

    def __call__(self) -> None:
        self.left -= 1
        if not self.left:
            self.over.set()


async def rounds(
    countdown: Countdown,
    publish: Callable[[], Awaitable[object]],
    count: int,
    clock: Callable[[], float],
) -> float:
    """Publish *count* messages one by one, wait for the last, return microseconds for each."""
    countdown.start(count)
    gc.collect()
    start = clock()
    for _ in range(count):
        await publish()
    await countdown.over.wait()
    return (clock() - start) / count * 1e6


async def ours(
    case: str,
    workers: int,
    count: int,
    clock: Callable[[], float] = perf_counter,
    instruments: Sequence[Instrument] = (),
) -> float:
    """Measure a round of Callboard."""
    countdown = Countdown()
    broker = MemoryBroker(instruments=instruments)
    broker.subscriber("orders", max_workers=workers)(handlers(callboard, countdown)[case])
    async with broker:
        await broker.start()
        return await rounds(countdown, lambda: broker.publish(ORDER, "orders"), count, clock)


async def theirs(
    case: str,
    count: int,
    clock: Callable[[], float] = perf_counter,
    middlewares: Sequence[Any] = (),
) -> float:
    """Measure a round of FastStream, whose test broker knows no workers."""
    countdown = Countdown()
    broker = KafkaBroker(logger=None, middlewares=middlewares)
    broker.subscriber("orders")(handlers(faststream, countdown)[case])
    async with TestKafkaBroker(broker) as test:
        return await rounds(countdown, lambda: test.publish(ORDER, "orders"), count, clock)


class Nowhere(SpanExporter):
    """Throws spans away."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


class Idle(Instrument):
    """Looks at nothing."""


def sampled(part: float) -> TracerProvider:
    """Return a provider that keeps that *part* of all traces."""
    provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(part)))
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    return provider


def two_spans(provider: TracerProvider, count: int) -> float:
    """Measure what the SDK itself takes for the two spans of a message, with six attributes each."""
    start_span = provider.get_tracer("benchmark").start_span
    attributes = {f"messaging.attribute.{number}": "orders" for number in range(6)}
    start = process_time()
    for _ in range(count):
        for kind in (SpanKind.PRODUCER, SpanKind.CONSUMER):
            start_span("orders", kind=kind, attributes=attributes).end()
    return (process_time() - start) / count * 1e6


def looked_on(count: int) -> None:
    """Print what instruments add to the plain case, and the middlewares of FastStream to its own."""
    few, every = sampled(0.01), sampled(1.0)
    meters = MeterProvider([InMemoryMetricReader()])
    registry, other = CollectorRegistry(), CollectorRegistry()
    kinds: dict[str, tuple[list[Instrument], list[Any]]] = {
        "off": ([], []),
        "an instrument that looks at nothing": ([Idle()], []),
        "tracing, no SDK": ([Tracing()], [KafkaTelemetryMiddleware()]),
        "tracing, 1 % sampled": (
            [Tracing(tracer_provider=few)],
            [KafkaTelemetryMiddleware(tracer_provider=few)],
        ),
        "tracing, 100 % sampled": (
            [Tracing(tracer_provider=every)],
            [KafkaTelemetryMiddleware(tracer_provider=every)],
        ),
        "OpenTelemetry's metrics without spans": (
            [Tracing(meter_provider=meters)],
            [KafkaTelemetryMiddleware(meter_provider=meters)],
        ),
        "Prometheus": (
            [Prometheus(registry=registry)],
            [KafkaPrometheusMiddleware(registry=other)],
        ),
    }
    mine, others = dict[str, float](), dict[str, float]()
    for _ in range(ROUNDS):
        for name, (instruments, middlewares) in kinds.items():
            one = anyio.run(ours, "plain", 1, count, process_time, instruments)
            another = anyio.run(theirs, "plain", count // 10, process_time, middlewares)
            mine[name] = min(one, mine.get(name, one))
            others[name] = min(another, others.get(name, another))
    print(f"\n{'added, CPU microseconds per message':<44}{'Callboard':>12}{'FastStream':>12}")
    for name in kinds:
        added = [each[name] - (0 if name == "off" else each["off"]) for each in (mine, others)]
        print(f"{name:<44}{added[0]:12.2f}{added[1]:12.1f}")
    for name, provider in (("1 %", few), ("100 %", every)):
        own = min(two_spans(provider, count) for _ in range(ROUNDS))
        print(f"{f'of that, two spans of the SDK, {name}':<44}{own:12.2f}")


def main() -> None:
    """Print the tables."""
    logging.disable(logging.CRITICAL)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    print(
        f"overhead: {count} messages, FastStream {version('faststream')} with a tenth of them,"
        f" Python {sys.version.split()[0]}"
    )
    print(f"{'microseconds per message':<34}{'Callboard':>12}{'FastStream':>12}{'ratio':>8}")
    medians: dict[tuple[str, int], tuple[float, float]] = {}
    for case in ("plain", "three Context values", "two dependencies"):
        for workers in (1, 8):
            measured: list[tuple[float, float]] = [
                (
                    anyio.run(ours, case, workers, count),
                    anyio.run(theirs, case, count // 10),
                )
                for _ in range(ROUNDS)
            ]
            mine, other = (statistics.median(column) for column in zip(*measured, strict=True))
            medians[case, workers] = mine, other
            name = f"{case}, {workers} worker{'s' * (workers > 1)}"
            print(f"{name:<34}{mine:12.2f}{other:12.1f}{other / mine:8.1f}")
    plain, context = medians["plain", 1], medians["three Context values", 1]
    mine, other = ((context[side] - plain[side]) / 3 for side in (0, 1))
    print(f"{'per Context value':<34}{mine:12.2f}{other:12.1f}{other / mine:8.1f}")
    looked_on(count)


if __name__ == "__main__":
    main()
