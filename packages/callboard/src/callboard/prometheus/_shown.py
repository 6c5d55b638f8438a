"""What a registry is shown, made of what was counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final
from weakref import WeakKeyDictionary

from callboard._errors import DeclarationError, NotRunning
from callboard.events import Event, LoopLagged
from callboard.prometheus._tally import Labels, Tallies, Tally
from callboard.watch._observer import walk
from callboard.watch._view import View
from callboard_brokers.kit import needing

with needing("the client of Prometheus", "callboard[prometheus]"):
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        Metric,
    )
    from prometheus_client.registry import Collector

RECEIVED: Final = ("app_name", "broker", "handler")
PUBLISHED: Final = ("app_name", "broker", "destination")


class Shown(Collector):
    """Turns what was counted into metrics, whenever a registry is asked for them."""

    def __init__(self, prefix: str, custom: Sequence[str]) -> None:
        self._prefix = prefix
        self._custom = custom
        self.received = Tallies("what is received")
        self.published = Tallies("what is published")
        self.events = Counter[Labels]()
        self.lags = dict[Labels, float]()
        self.views = list[Callable[[], View]]()

    def hear(self, broker: str, event: Event) -> None:
        """Count an event of *broker*."""
        self.events[broker, event.name] += 1
        if isinstance(event, LoopLagged):
            self.lags[broker,] = max(event.seconds, self.lags.get((broker,), 0.0))

    def describe(self) -> Iterator[Metric]:
        """Say nothing before there is anything to count."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Show the metrics as they are."""
        yield from self._of_received()
        yield from self._of_published()
        count = self._counter("events", "What was told on broker.events", ("broker", "event"))
        for labels, number in [*self.events.items()]:
            count.add_metric(labels, number)
        lag = self._gauge("loop_lag_seconds", "The longest that the loop stood still", ("broker",))
        for labels, seconds in [*self.lags.items()]:
            lag.add_metric(labels, seconds)
        yield from (count, lag)
        yield from self._of_views()

    def _of_received(self) -> Iterator[Metric]:
        labels = (*RECEIVED, *self._custom)
        name = "received_messages"
        count = self._counter(name, "Messages that were received", labels)
        sizes = self._histogram(f"{name}_size_bytes", "Their sizes", labels)
        now = self._gauge(f"{name}_in_process", "Messages that are handled now", labels)
        results = self._results("received_processed_messages", labels)
        for values, tally in self.received:
            count.add_metric(values, tally.count)
            sizes.add_metric(values, *tally.sizes.read())
            now.add_metric(values, tally.in_process)
            _add(results, values, tally, "acked")
        yield from (count, sizes, now, *results)

    def _of_published(self) -> Iterator[Metric]:
        results = self._results("published_messages", (*PUBLISHED, *self._custom))
        for values, tally in self.published:
            _add(results, values, tally, "success")
        yield from results

    def _results(
        self, name: str, labels: Labels
    ) -> tuple[CounterMetricFamily, HistogramMetricFamily, CounterMetricFamily]:
        return (
            self._counter(name, "Messages, by what became of them", (*labels, "status")),
            self._histogram(f"{name}_duration_seconds", "How long that took", labels),
            self._counter(f"{name}_exceptions", "Failures", (*labels, "exception_type")),
        )

    def _of_views(self) -> Iterator[Metric]:
        where = ("path",)
        gauges = {
            key: self._gauge(name, what, where)
            for key, name, what in (
                ("queued", "mailbox_messages", "Messages that wait in the process"),
                ("bytes", "mailbox_bytes", "The bytes of their bodies"),
                ("oldest_age", "mailbox_oldest_seconds", "For how long the oldest waits"),
                ("in_flight", "in_flight_messages", "Messages that were taken and not settled"),
            )
        }
        work = self._gauge("workload_ratio", "The part of the time that a worker works", where)
        up = self._gauge("up", "Whether a part of the tree runs", where)
        restarts = self._counter("restarts", "How often a part was restarted", where)
        for view in [*self.views]:
            try:
                seen = view()
            except NotRunning:
                continue
            root = seen.tree
            for path, node in [(root.id, root), *walk(root, root.id)]:
                up.add_metric((path,), node.state == "running")
                restarts.add_metric((path,), node.restarts)
                for key, gauge in gauges.items():
                    if isinstance(value := node.details.get(key), int | float):
                        gauge.add_metric((path,), value)
                if "idle" in node.details and (sample := seen.samples.get(path)) is not None:
                    work.add_metric((path,), sample.workload / 100)
        yield from (*gauges.values(), work, up, restarts)

    def _counter(self, name: str, what: str, labels: Sequence[str]) -> CounterMetricFamily:
        return CounterMetricFamily(f"{self._prefix}_{name}", what, labels=labels)

    def _gauge(self, name: str, what: str, labels: Sequence[str]) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"{self._prefix}_{name}", what, labels=labels)

    def _histogram(self, name: str, what: str, labels: Sequence[str]) -> HistogramMetricFamily:
        return HistogramMetricFamily(f"{self._prefix}_{name}", what, labels=labels)


def _add(
    results: tuple[CounterMetricFamily, HistogramMetricFamily, CounterMetricFamily],
    values: Labels,
    tally: Tally,
    well: str,
) -> None:
    statuses, seconds, exceptions = results
    numbers = tally.statuses + Counter({well: tally.went_well})
    for status, number in numbers.items():
        statuses.add_metric((*values, status), number)
    seconds.add_metric(values, *tally.seconds.read())
    for kind, number in [*tally.exceptions.items()]:
        exceptions.add_metric((*values, kind), number)


_ALL: Final[WeakKeyDictionary[CollectorRegistry, dict[str, tuple[Labels, Shown]]]] = (
    WeakKeyDictionary()
)


def shown(registry: CollectorRegistry, prefix: str, custom: Labels) -> Shown:
    """Return what shows metrics with *prefix* to *registry*; there is one."""
    there = _ALL.setdefault(registry, {})
    if prefix not in there:
        there[prefix] = (custom, Shown(prefix, custom))
        registry.register(there[prefix][1])
    labels, shown = there[prefix]
    if labels != custom:
        raise DeclarationError(
            f"custom_labels={custom!r} of Prometheus: the metrics {prefix}_* of this registry have"
            f" {labels!r} already; say the same, or another metrics_prefix="
        )
    return shown
