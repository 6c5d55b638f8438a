"""The suite itself: it is complete, it skips what an adapter lacks, it finds what is broken."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from math import inf

import pytest
from anyio.lowlevel import checkpoint

from callboard_brokers import (
    Capacity,
    Delivery,
    Features,
    Memory,
    MemorySource,
    MemoryTarget,
    Message,
    Settlement,
    Subscription,
)
from callboard_brokers.conformance import CHECKS, Check, Harness
from callboard_brokers.memory import MemoryConnection

pytestmark = pytest.mark.anyio

Link = MemoryConnection[MemorySource, MemoryTarget]
NAMED = {check.__name__: check for check in CHECKS}


class Modest:
    """An adapter that promises nothing."""

    promised = Features()

    def features(self, source: MemorySource, /) -> Features:
        del source
        return self.promised

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[Published]:
        async with Memory(capacity=50).connect() as connection:
            yield Published(connection)


class Published:
    """A connection that does no more than it must."""

    lost_at: float | None = None

    def __init__(self, connection: Link) -> None:
        self._connection = connection

    @asynccontextmanager
    async def subscribe(
        self, source: MemorySource, capacity: Capacity
    ) -> AsyncGenerator[Subscription]:
        async with self._connection.subscribe(source, capacity) as subscription:
            yield subscription

    async def publish(self, message: Message, target: MemoryTarget) -> None:
        await self._connection.publish(message, target)

    async def ping(self) -> None:
        await self._connection.ping()


class Forgetful(Modest):
    """An adapter that says it redelivers, but acknowledges first, and waits before it returns."""

    promised = Features(redelivers=True)

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[Published]:
        async with Memory(capacity=50).connect() as connection:
            yield Acknowledging(connection)


class Acknowledging(Published):
    @asynccontextmanager
    async def subscribe(
        self, source: MemorySource, capacity: Capacity
    ) -> AsyncGenerator[Subscription]:
        async with super().subscribe(source, capacity) as subscription:
            yield Emptying(subscription)


class Emptying:
    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription

    async def receive(self, limit: int, max_bytes: float = inf) -> Sequence[Delivery]:
        received = await self._subscription.receive(limit, max_bytes)
        copies = [Delivery(Message(each.message.body), self) for each in received]
        for delivery in received:
            delivery.ack()
        await checkpoint()
        return copies

    def settle(self, delivery: Delivery, settlement: Settlement, delay: float | None) -> None:
        """Forget it."""

    def settled_twice(self, delivery: Delivery) -> None:
        """Forget it."""


def harness_of(adapter: Modest) -> Harness[MemorySource, MemoryTarget]:
    return Harness(
        adapter=adapter,
        source=lambda address, group: MemorySource(address, group=group),
        target=MemoryTarget,
        stale=int,
        settled_twice=int,
    )


def test_every_check_has_a_name_of_its_own() -> None:
    assert len(NAMED) == len(CHECKS) > 40


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_what_an_adapter_does_not_promise_is_skipped(check: Check) -> None:
    if check.__name__ == "the_first_settlement_wins_and_others_are_counted":
        return  # asked of everybody, but this harness counts nothing
    try:
        await check(harness_of(Modest()))
    except pytest.skip.Exception as skipped:
        assert "Modest lacks the feature" in str(skipped)  # noqa: PT017 - a skip is no error


@pytest.mark.parametrize(
    "name",
    [
        "a_nacked_message_comes_again",
        "a_released_message_comes_again",
        "a_cancelled_receive_loses_nothing",
    ],
)
async def test_an_adapter_that_loses_messages_is_found_out(name: str) -> None:
    with pytest.raises(TimeoutError):
        await NAMED[name](harness_of(Forgetful()))
