"""The instrument that counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any, Final, Protocol, TypeAlias

from callboard._errors import (
    AckMessage,
    DeclarationError,
    NackMessage,
    RejectMessage,
    SkipMessage,
)
from callboard.declare._subscriber import addresses_of
from callboard.handle._parts import is_batch
from callboard.instruments import Handle, Instrument, Output, Place, Send
from callboard.prometheus._shown import PUBLISHED, RECEIVED, shown
from callboard.prometheus._tally import FRESH, MOST, SIZES, Tally
from callboard.watch._view import View
from callboard_brokers import ARRIVED, BatchMessage, Confirmation, Delivery, Message
from callboard_brokers.kit import needing

with needing("the client of Prometheus", "callboard[prometheus]"):
    from prometheus_client import CollectorRegistry

FAILED: Final = "(failed)"
"""The value of a label whose function has failed."""
CustomLabels: TypeAlias = "Mapping[str, str | Callable[[Any], str]]"

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
            once a message for its `raw_message` (None for what is published); one that raises
            gives "(failed)".

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
        if taken := sorted({*self._custom} & {*RECEIVED, *PUBLISHED, "status", "exception_type"}):
            raise DeclarationError(
                f"custom_labels= of Prometheus: {taken[0]!r} is a label already; call it otherwise"
            )
        self._shown = shown(registry, metrics_prefix, tuple(self._custom))

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
            number, size = _weight(message) if is_batch(message) else (1, len(message.body))
            counts.count += number
            counts.sizes.fresh.append(size)
            began = perf_counter()
            try:
                result = await handle(message)
            except BaseException as error:
                _note_end(counts, message, error, number)
                raise
            finally:
                seconds = counts.seconds.fresh
                seconds.append(perf_counter() - began)
                if len(seconds) > FRESH:
                    counts.settle()
            if message.delivery is None or message.delivery.settlement is None:
                counts.went_well += number
            else:
                _note_end(counts, message, None, number)
            return result

        return counted

    def around_send(self, send: Send, place: Place, /) -> Send:
        """Count what is published."""
        known = dict[str, Tally]()
        find = self._finding(place, known)

        async def counted(outputs: Sequence[Output], cause: Delivery | None) -> Confirmation:
            began = perf_counter()
            first = outputs[0]
            if len(outputs) > 1 or first.kind == "answer":
                counts = [find(each) for each in outputs]
            else:
                counts = [known.get(first.target.address) or find(first)]
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

    def _finding(self, place: Place, known: dict[str, Tally]) -> Callable[[Output], Tally]:
        """Return what finds the counts of an output, and keeps them in *known* by its address."""
        published, custom = self._shown.published, [*self._custom.values()]
        asks = any(map(callable, custom))

        def find(output: Output) -> Tally:
            # An answer goes to an address of its own, one for each that asks.
            address = "(answer)" if output.kind == "answer" else output.target.address
            if (found := known.get(address)) is None:
                found = published.of((self._app, place.broker, address, *_values(custom, None)))
                if not asks and len(known) < MOST:
                    known[address] = found
            return found

        return find


def _note(counts: Sequence[Tally], began: float, failure: Exception | None) -> None:
    """Count outputs of which it is known whether they have arrived."""
    passed = perf_counter() - began
    for each in counts:
        fresh = each.seconds.fresh
        fresh.append(passed)
        if len(fresh) > FRESH:
            each.seconds.settle()
        if failure is None:
            each.went_well += 1
        else:
            each.failed("error", failure, 1)


def _note_end(counts: Tally, message: Message, error: BaseException | None, number: int) -> None:
    """Count what has ended otherwise than nearly all do: settled by hand, failed or cancelled."""
    settled = message.committed()
    if error is None:
        counts.statuses["acked" if settled is None else settled.value] += number
    elif isinstance(error, Exception):
        counts.failed(_status(error) if settled is None else settled.value, error, number)
    else:
        counts.gone += number


def _weight(batch: BatchMessage) -> tuple[int, int]:
    """Return how many messages *batch* has, and how many bytes."""
    return len(batch.parts), sum([len(part.body) for part in batch.parts])


def _values(custom: Sequence[str | Callable[[Any], str]], raw: object) -> Iterator[str]:
    return (_asked(each, raw) if callable(each) else each for each in custom)


def _asked(label: Callable[[Any], str], raw: object) -> str:
    try:
        return str(label(raw))
    except Exception:  # noqa: BLE001 - whatever the user's function raises: no message fails for a label
        return FAILED


def _status(error: Exception) -> str:
    return next((name for kind, name in _STATUSES if isinstance(error, kind)), "error")
