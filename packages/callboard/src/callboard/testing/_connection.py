"""The broker in memory, under the eyes of a test: it hears what is published and settled."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from math import inf
from typing import Any

from callboard._broker import Broker
from callboard._envelope import content_type_of
from callboard._outcome import FAILURE_HEADER
from callboard_brokers import (
    Counting,
    Delivery,
    Message,
    RequestTimeout,
    Settlement,
    Subscription,
)
from callboard_validation import ValidationError

from ._witness import INSIDE, Witness

__all__ = ["WatchedConnection"]


class WatchedConnection:
    """A connection whose `publish` and `request` return when all that they caused has settled.

    Inside a handler they don't wait, or it would wait for itself.
    """

    def __init__(self, inner: Any, broker: Broker[Any], witness: Witness) -> None:
        self._inner = inner
        self._broker = broker
        self._witness = witness
        self.ping = inner.ping

    @asynccontextmanager
    async def subscribe(self, source: Any, capacity: int, /) -> AsyncGenerator[Subscription]:
        """Read *source*."""
        try:
            async with self._inner.subscribe(source, capacity) as subscription:
                yield _Watched(subscription, self._witness)
        finally:
            self._witness.changed()

    async def publish(self, message: Message[Any], target: Any, /) -> None:
        """Publish; raise what a handler raised meanwhile."""
        await self.publish_batch([message], target)

    async def publish_batch(self, messages: Sequence[Message[Any]], target: Any, /) -> None:
        """Publish all of *messages*, then wait as `publish` does."""
        since = self._witness.failed
        with self._witness.running():
            for message in messages:
                await self._inner.publish(message, target)
                self._record(message, target)
        if not INSIDE.get():
            await self._witness.settled()
            if (failure := self._witness.failure(since)) is not None:
                raise failure

    async def request(self, message: Message[Any], target: Any, timeout: float, /) -> Message[Any]:  # noqa: ASYNC109 - the port's
        """Ask; that the handler has failed says the answer, as in production."""
        since = self._witness.failed
        self._record(message, target)
        try:
            answer: Message[Any] = await self._inner.request(message, target, timeout)
        except RequestTimeout as error:
            raise error from self._witness.failure(since)
        if not INSIDE.get():
            await self._witness.settled()
            failure = self._witness.failure(since)
            if failure is not None and FAILURE_HEADER not in answer.headers:
                raise failure
        return answer

    def _record(self, message: Message[Any], target: Any) -> None:
        """Let the publishers to this address remember what a reader would decode."""
        for publisher in self._broker.publishers:
            if publisher.recorder is None or publisher.target.address != target.address:
                continue
            try:
                body = self._broker.codec.decode(message.body, content_type_of(message))
            except ValidationError:
                body = message.body
            publisher.recorder.record(body)


class _Watched:
    """A subscription that tells of every settlement."""

    def __init__(self, inner: Subscription, witness: Witness) -> None:
        self._inner = inner
        self._witness = witness

    async def receive(self, limit: int, max_bytes: float = inf, /) -> Sequence[Delivery[Any]]:
        return [
            Delivery(each.message, _Telling(each, self._witness), each.epoch, each.deliveries, each)
            for each in await self._inner.receive(limit, max_bytes)
        ]

    def count_failure(self, delivery: Delivery[Any], delay: float | None, /) -> float | None:
        inner = delivery.token
        if not isinstance(self._inner, Counting) or not isinstance(inner, Delivery):
            return None
        wait = self._inner.count_failure(inner, delay)  # pyright: ignore[reportUnknownArgumentType] - isinstance can't say of what
        delivery.deliveries = inner.deliveries
        return wait


class _Telling:
    """The ledger of one delivery: passes on how it is settled, and tells that it is."""

    def __init__(self, inner: Delivery[Any], witness: Witness) -> None:
        self._inner = inner
        self._witness = witness

    def settle(self, _: Delivery[Any], settlement: Settlement, delay: float | None, /) -> None:
        self._inner.settle(settlement, delay)
        self._witness.changed()

    def settled_twice(self, _: Delivery[Any], /) -> None:
        self._inner.ack()  # it is settled, so this only counts
