"""The broker in memory, under the eyes of a test: it hears what is sent and settled."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from math import inf
from typing import Any

from callboard.declare._publisher import PlacedPublisher
from callboard.handle._envelope import content_type_of
from callboard.handle._outcome import FAILURE_HEADER
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
from callboard_validation import Codec, ValidationError

from ._quiescence import INSIDE, Quiescence


def recording(
    send: Send, publishers: Callable[[], Sequence[PlacedPublisher]], codec: Codec
) -> Send:
    """Let publishers remember of what is sent what a reader of their address would decode."""

    async def remember(outputs: Sequence[Output], cause: Delivery | None) -> Confirmation:
        asks = outputs[0].timeout is not None
        if asks:  # `send` returns when that is answered
            _record(outputs, publishers(), codec)
        sent = await send(outputs, cause)
        if not asks:
            _record(outputs, publishers(), codec)
        return sent

    return remember


def _record(outputs: Sequence[Output], publishers: Sequence[PlacedPublisher], codec: Codec) -> None:
    for output in outputs:
        for publisher in publishers:
            recorder = publisher.declaration.recorder
            if recorder is None or publisher.target.address != output.target.address:
                continue
            message = output.message
            try:
                body = codec.decode(message.body, content_type_of(message))
            except ValidationError:
                body = message.body
            recorder.record(body)


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
        self.prepare = inner.prepare
        self.lost_at: float | None = inner.lost_at

    @asynccontextmanager
    async def subscribe(self, source: Any, capacity: Capacity, /) -> AsyncGenerator[Subscription]:
        """Read *source*."""
        try:
            async with self._inner.subscribe(source, capacity) as subscription:
                yield _Watched(subscription, self._quiescence)
        finally:
            self._quiescence.changed()


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
