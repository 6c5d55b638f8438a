"""The broker in memory, under the eyes of a test: it hears what is sent and settled."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from inspect import isawaitable
from math import inf
from typing import Any

from callboard.declare._options import BrokerOptions
from callboard.declare._publisher import PlacedPublisher
from callboard.handle._outcome import FAILURE_HEADER
from callboard.handle._own import Reader
from callboard.instruments import Output, Send
from callboard_brokers import (
    Capacity,
    Confirmation,
    Counting,
    Delivery,
    Message,
    RequestTimeout,
    Settlement,
    Subscription,
)

from ._quiescence import INSIDE, Quiescence
from ._recorder import CallRecorder


def recording(
    send: Send, publishers: Callable[[], Sequence[PlacedPublisher]], options: BrokerOptions
) -> Send:
    """Let publishers remember of what is sent what a reader of their address would decode."""

    async def remember(outputs: Sequence[Output], cause: Delivery | None) -> Confirmation:
        asks = outputs[0].timeout is not None
        if asks:  # `send` returns when that is answered
            await _record(outputs, publishers(), options)
        sent = await send(outputs, cause)
        if not asks:
            await _record(outputs, publishers(), options)
        return sent

    return remember


async def _record(
    outputs: Sequence[Output], publishers: Sequence[PlacedPublisher], options: BrokerOptions
) -> None:
    """Record what goes to each of *publishers*: one by one, or all, if it publishes lists."""
    for publisher in publishers:
        recorder = publisher.declaration.recorder
        if not isinstance(recorder, CallRecorder):
            continue
        address = publisher.target.address
        messages = [each.message for each in outputs if each.target.address == address]
        reader = Reader([publisher.declaration.options, *publisher.scopes, options])
        bodies = [await _decoded(each, reader) for each in messages]
        if publisher.declaration.options.batch and messages:
            recorder.record(bodies, messages[0])
        else:
            for body, message in zip(bodies, messages, strict=True):
                recorder.record(body, message)
        if messages:
            recorder.end()


async def _decoded(message: Message, reader: Reader) -> object:
    try:
        value = reader.read(message)
        return await value if isawaitable(value) else value
    except Exception:  # noqa: BLE001 - whatever it is, a reader has to see to it
        return message.body


def awaiting(send: Send, quiescence: Quiescence) -> Send:
    """Wait for all that is caused by what is sent, and raise what has failed meanwhile.

    Inside a handler it does not wait, or it would wait for itself.
    """

    async def settle(outputs: Sequence[Output], cause: Delivery | None) -> Confirmation:
        since = quiescence.failed
        if outputs[0].timeout is None:
            with quiescence.running():
                sent = await send(outputs, cause)
        else:
            sent = await _asked(send, outputs, quiescence)
        if not INSIDE.get():
            answer = await sent.wait()
            await quiescence.settled()
            # That the handler has failed says the answer, as in production.
            told = isinstance(answer, Message) and FAILURE_HEADER in answer.headers
            if not told and (failure := quiescence.failure(since)) is not None:
                raise failure
        return sent

    return settle


async def _asked(send: Send, outputs: Sequence[Output], quiescence: Quiescence) -> Confirmation:
    since = quiescence.failed
    try:
        return await send(outputs, None)
    except RequestTimeout as error:
        raise error from quiescence.failure(since)


class WatchedConnection:
    """A connection that hears what is settled."""

    def __init__(self, inner: Any, quiescence: Quiescence) -> None:
        self._inner = inner
        self._quiescence = quiescence
        self.publish, self.request, self.ping = inner.publish, inner.request, inner.ping
        self.prepare, self.revisit = inner.prepare, inner.revisit

    @property
    def lost_at(self) -> float | None:
        """Since when the broker is away; asked each time."""
        lost_at: float | None = self._inner.lost_at
        return lost_at

    @asynccontextmanager
    async def subscribe(self, source: Any, capacity: Capacity, /) -> AsyncGenerator[Subscription]:
        """Read *source*."""
        try:
            async with self._inner.subscribe(source, capacity) as subscription:
                yield _Watched(subscription, self._quiescence)
        finally:
            self._quiescence.gone()


class _Watched:
    """A subscription that tells of every settlement."""

    def __init__(self, inner: Subscription, quiescence: Quiescence) -> None:
        self._inner = inner
        self._quiescence = quiescence

    async def receive(self, limit: int, max_bytes: float = inf, /) -> Sequence[Delivery]:
        return [
            Delivery(
                each.message, _Telling(each, self._quiescence), each.epoch, each.deliveries, each
            )
            for each in await self._inner.receive(limit, max_bytes)
        ]

    def count_failure(self, delivery: Delivery, delay: float | None, /) -> float | None:
        inner = delivery.token
        if not isinstance(self._inner, Counting) or not isinstance(inner, Delivery):
            return None
        wait = self._inner.count_failure(inner, delay)  # pyright: ignore[reportUnknownArgumentType] - isinstance can't say of what
        delivery.deliveries = inner.deliveries
        return wait


class _Telling:
    """The ledger of one delivery: passes on how it is settled, and tells that it is."""

    def __init__(self, inner: Delivery, quiescence: Quiescence) -> None:
        self._inner = inner
        self._quiescence = quiescence

    def settle(self, _: Delivery, settlement: Settlement, delay: float | None, /) -> None:
        self._inner.settle(settlement, delay)
        self._quiescence.changed()

    def settled_twice(self, _: Delivery, /) -> None:
        self._inner.ack()  # it is settled, so this only counts
