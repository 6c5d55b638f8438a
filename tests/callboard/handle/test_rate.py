"""A subscriber with a rate begins so many messages within a time, and no more."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import current_time, sleep

from callboard import Backoff, DeclarationError, MemoryBroker, Message, Rate, Retry

pytestmark = pytest.mark.anyio


async def begun(broker: MemoryBroker, count: int, **options: Any) -> list[float]:
    """Handle *count* messages; return after how many seconds each has begun."""
    times: list[float] = []

    @broker.subscriber("jobs", **options)
    async def handle(message: Message) -> None:
        times.extend([current_time() - start] * len(getattr(message, "parts", "1")))
        if message.body == b"bad":
            raise ConnectionError

    async with broker:
        await broker.start()
        start = current_time()
        for _ in range(count):
            await broker.publish("bad" if "retry" in options else "good", "jobs")
        await sleep(60)
    return [round(each, 6) for each in times]


@pytest.mark.parametrize("workers", [1, 4])
async def test_as_many_begin_at_once_as_it_says_and_then_one_after_another(
    broker: MemoryBroker, workers: int
) -> None:
    times = await begun(broker, 6, rate=Rate(limit=3, per=6), max_workers=workers)

    assert times == [0, 0, 0, 2, 4, 6]


async def test_each_message_of_a_batch_counts(broker: MemoryBroker) -> None:
    times = await begun(broker, 4, rate=Rate(limit=2, per=4), batch=True, max_records=2)

    assert times == [0, 0, 4, 4]


async def test_a_message_that_is_tried_again_counts_again(broker: MemoryBroker) -> None:
    retry = Retry(attempts=3, backoff=Backoff(0.5, 0.5, jitter="none", first=0.5))
    times = await begun(broker, 1, rate=Rate(limit=1, per=4), retry=retry)

    assert times == [0, 4, 8]


async def test_a_stop_waits_for_none_of_it_and_nothing_is_lost(broker: MemoryBroker) -> None:
    seen: list[int] = []

    subscriber = broker.subscriber("jobs", rate=Rate(limit=1, per=10), group="workers")

    @subscriber
    async def handle(job: int) -> None:
        seen.append(job)

    async with broker:
        await broker.start()
        for job in range(20):
            await broker.publish(job, "jobs")
        await sleep(1)
        before = current_time()
        await subscriber.stop()

        assert current_time() - before <= 10
        assert seen == [0, 1]
        assert broker.unread("jobs") == 18


@pytest.mark.parametrize("options", [{"limit": 0}, {"limit": 5, "per": 0}])
def test_what_makes_no_sense_is_refused_where_it_is_written(options: Any) -> None:
    with pytest.raises(DeclarationError, match="of a Rate"):
        Rate(**options)


def test_a_number_is_no_rate(broker: MemoryBroker) -> None:
    with pytest.raises(DeclarationError, match=r"rate=3 of a subscriber must be a Rate"):
        broker.subscriber("jobs", rate=3)  # type: ignore[arg-type] # on purpose
