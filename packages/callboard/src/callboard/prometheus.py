"""Metrics of messages, and of the tree that handles them, for Prometheus.

`Prometheus` is an instrument: give it to brokers as `instruments=[...]`. It counts in numbers of
its own, which cost little for a message, and turns them into metrics when it is scraped.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any, Final, Protocol, TypeAlias
from weakref import WeakKeyDictionary

import anyio

from callboard._absent import tells
from callboard._errors import (
    AckMessage,
    DeclarationError,
    IgnoredException,
    NackMessage,
    NotRunning,
    RejectMessage,
    SkipMessage,
)
from callboard.declare._subscriber import addresses_of
from callboard.events import Event, LoopLagged
from callboard.handle._parts import is_batch
from callboard.instruments import Handle, Instrument, Output, Place, Send
from callboard.watch._observer import walk
from callboard.watch._say import say
from callboard.watch._view import View
from callboard_brokers import ARRIVED, Confirmation, Delivery, Message
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

__all__ = ["Prometheus", "Watched"]
globals()["__getattr__"] = tells(__name__)

CustomLabels: TypeAlias = "Mapping[str, str | Callable[[Any], str]]"
_Labels: TypeAlias = tuple[str, ...]

SIZES: Final = tuple(float(2**power) for power in range(4, 25, 2))
"""The upper bounds of sizes in bytes."""
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""The upper bounds of durations."""
MOST: Final = 1000
"""How many values a label has at most; whatever comes later is counted as `OTHER`."""
OTHER: Final = "(other)"
_STATUSES: Final[Sequence[tuple[type[Exception], str]]] = (
    (AckMessage, "acked"),
    (NackMessage, "nacked"),
    (RejectMessage, "rejected"),
    (SkipMessage, "skipped"),
)


class Watched(Protocol):
    """What is watched: an application."""

    @property
    def brokers(self) -> Sequence[Any]:
        """Its brokers."""
        ...

    def view(self) -> View:
        """What there is to see of it, asked from any thread."""
        ...


class Prometheus(Instrument):
    """Counts messages, sizes, durations and failures, and shows them to a *registry*.

    Two on one registry, with one prefix, share their metrics.

    Args:
        registry: Whose page shows the metrics: that of `prometheus_client`, or one of your own.
        app_name: The label of that name; None: the prefix.
        metrics_prefix: What the names of all metrics begin with, before a `_`.
        received_messages_size_buckets: The upper bounds of sizes in bytes; None: 16 to 16 MiB.
        custom_labels: Labels of what is received and published: texts, or functions that are asked
            once a message for its `raw_message` (None for what is published).

    Raises:
        DeclarationError: A label is called as one of Callboard's own.
    """

    def __init__(
        self,
        *,
        registry: CollectorRegistry,
        app_name: str | None = None,
        metrics_prefix: str = "callboard",
        received_messages_size_buckets: Sequence[float] | None = None,
        custom_labels: CustomLabels | None = None,
    ) -> None:
        self._app = metrics_prefix if app_name is None else app_name
        self._sizes = tuple(sorted(received_messages_size_buckets or SIZES))
        self._custom = dict(custom_labels or {})
        if taken := sorted({*self._custom} & {*_RECEIVED, *_PUBLISHED, "status", "exception_type"}):
            raise DeclarationError(
                f"custom_labels= of Prometheus: {taken[0]!r} is a label already; call it otherwise"
            )
        self._shown = _shown(registry, metrics_prefix, tuple(self._custom))

    def watch(self, app: Watched) -> None:
        """Show the tree of *app* too: mailboxes, workloads, restarts, connections, and its events.

        Call it when all brokers of the application are known. A scrape asks the event loop that the
        application runs in, and waits for it.
        """
        self._shown.views.append(app.view)
        for broker in app.brokers:
            broker.events.subscribe(partial(self._shown.hear, broker.name))

    def around_handle(self, handle: Handle, place: Place, /) -> Handle:
        """Count what is received."""
        address = ",".join(addresses_of(place.source))
        labels, custom = (self._app, place.broker, address), [*self._custom.values()]
        received, sizes = self._shown.received, self._sizes
        asks = any(map(callable, custom))
        tally = None if asks else received.of((*labels, *map(str, custom)), sizes)

        async def counted(message: Message) -> object:
            counts = tally or received.of((*labels, *_values(custom, message.raw_message)), sizes)
            number = 1
            if is_batch(message):
                number = len(message.parts)
                counts.sizes.add(sum([len(part.body) for part in message.parts]))
            else:
                counts.sizes.add(len(message.body))
            counts.count += number
            counts.in_process += number
            began = perf_counter()
            try:
                result = await handle(message)
            except Exception as error:
                settled = message.committed()
                status = _status(error) if settled is None else settled.value
                counts.failed(status, error, number)
                raise
            else:
                settled = message.committed()
                counts.statuses["acked" if settled is None else settled.value] += number
                return result
            finally:
                counts.in_process -= number
                counts.seconds.add(perf_counter() - began)

        return counted

    def around_send(self, send: Send, place: Place, /) -> Send:
        """Count what is published."""
        tally = self._tally_of(place)

        async def counted(outputs: Sequence[Output], cause: Delivery | None) -> Confirmation:
            began = perf_counter()
            counts = [tally(each) for each in outputs]
            try:
                sent = await send(outputs, cause)
            except Exception as error:
                _note(counts, began, error)
                raise
            if sent is ARRIVED:
                _note(counts, began, None)
            else:
                sent.then(partial(_note, counts, began))
            return sent

        return counted

    def _tally_of(self, place: Place) -> Callable[[Output], _Tally]:
        """Return what finds the counts of an output."""
        published, custom = self._shown.published, [*self._custom.values()]
        known: dict[str, _Tally] = {}
        asks = any(map(callable, custom))

        def tally(output: Output) -> _Tally:
            # An answer goes to an address of its own, one for each that asks.
            address = "(answer)" if output.kind == "answer" else output.target.address
            found = known.get(address)
            if found is None:
                labels = (self._app, place.broker, address, *_values(custom, None))
                found = published.of(labels)
                if not asks and len(known) < MOST:
                    known[address] = found
            return found

        return tally


def _note(counts: Sequence[_Tally], began: float, failure: Exception | None) -> None:
    """Count outputs of which it is known whether they have arrived."""
    passed = perf_counter() - began
    for each in counts:
        each.seconds.add(passed)
        if failure is None:
            each.statuses["success"] += 1
        else:
            each.failed("error", failure, 1)


def _values(custom: Sequence[str | Callable[[Any], str]], raw: object) -> Iterator[str]:
    return (str(each(raw)) if callable(each) else each for each in custom)


def _status(error: Exception) -> str:
    return next((name for kind, name in _STATUSES if isinstance(error, kind)), "error")


class _Histogram:
    """How often values were how large."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Return how many values were at most as large as each bound."""
        sums, below = list[tuple[str, float]](), 0
        for bound, count in zip([*map(str, self.bounds), "+Inf"], [*self.counts], strict=True):
            below += count
            sums.append((bound, below))
        return sums


class _Tally:
    """What is counted for one set of labels."""

    __slots__ = ("count", "exceptions", "in_process", "seconds", "sizes", "statuses")

    def __init__(self, sizes: Sequence[float]) -> None:
        self.count = 0
        self.in_process = 0
        self.sizes = _Histogram(sizes)
        self.seconds = _Histogram(SECONDS)
        self.statuses = Counter[str]()
        self.exceptions = Counter[str]()

    def failed(self, status: str, error: Exception, number: int) -> None:
        self.statuses[status] += number
        if not isinstance(error, IgnoredException):
            self.exceptions[type(error).__name__] += number


class _Tallies:
    """Counts by their labels, of which there are so many at most."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._all: dict[_Labels, _Tally] = {}

    def of(self, labels: _Labels, sizes: Sequence[float] = SIZES) -> _Tally:
        """Return the counts for *labels*."""
        found = self._all.get(labels)
        if found is not None:
            return found
        if len(self._all) == MOST:
            say(
                logging.getLogger("callboard.prometheus"),
                logging.WARNING,
                "%s has more than %s sets of labels: others are counted as %s",
                self._where,
                MOST,
                OTHER,
            )
        if len(self._all) >= MOST:
            labels = (*labels[:2], *[OTHER] * (len(labels) - 2))
        return self._all.setdefault(labels, _Tally(sizes))

    def __iter__(self) -> Iterator[tuple[_Labels, _Tally]]:
        return iter([*self._all.items()])


_RECEIVED: Final = ("app_name", "broker", "handler")
_PUBLISHED: Final = ("app_name", "broker", "destination")


class _Shown(Collector):
    """Turns what was counted into metrics, whenever a registry is asked for them."""

    def __init__(self, prefix: str, custom: Sequence[str]) -> None:
        self._prefix = prefix
        self._custom = custom
        self.received = _Tallies("what is received")
        self.published = _Tallies("what is published")
        self.events = Counter[_Labels]()
        self.lags = dict[_Labels, float]()
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
        labels = (*_RECEIVED, *self._custom)
        name = "received_messages"
        count = self._counter(name, "Messages that were received", labels)
        sizes = self._histogram(f"{name}_size_bytes", "Their sizes", labels)
        now = self._gauge(f"{name}_in_process", "Messages that are handled now", labels)
        results = self._results("received_processed_messages", labels)
        for values, tally in self.received:
            count.add_metric(values, tally.count)
            sizes.add_metric(values, tally.sizes.buckets(), tally.sizes.total)
            now.add_metric(values, tally.in_process)
            _add(results, values, tally)
        yield from (count, sizes, now, *results)

    def _of_published(self) -> Iterator[Metric]:
        results = self._results("published_messages", (*_PUBLISHED, *self._custom))
        for values, tally in self.published:
            _add(results, values, tally)
        yield from results

    def _results(
        self, name: str, labels: _Labels
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
            except (NotRunning, anyio.get_cancelled_exc_class()):
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
    values: _Labels,
    tally: _Tally,
) -> None:
    statuses, seconds, exceptions = results
    for status, number in [*tally.statuses.items()]:
        statuses.add_metric((*values, status), number)
    seconds.add_metric(values, tally.seconds.buckets(), tally.seconds.total)
    for kind, number in [*tally.exceptions.items()]:
        exceptions.add_metric((*values, kind), number)


_ALL: Final[WeakKeyDictionary[CollectorRegistry, dict[str, tuple[_Labels, _Shown]]]] = (
    WeakKeyDictionary()
)


def _shown(registry: CollectorRegistry, prefix: str, custom: _Labels) -> _Shown:
    """Return what shows metrics with *prefix* to *registry*; there is one."""
    there = _ALL.setdefault(registry, {})
    if prefix not in there:
        there[prefix] = (custom, _Shown(prefix, custom))
        registry.register(there[prefix][1])
    labels, shown = there[prefix]
    if labels != custom:
        raise DeclarationError(
            f"custom_labels={custom!r} of Prometheus: the metrics {prefix}_* of this registry have"
            f" {labels!r} already; say the same, or another metrics_prefix="
        )
    return shown
