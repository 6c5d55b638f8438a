"""Keys that fail get their share of workers and of room, and the others all the rest."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from anyio import current_time, sleep

from callboard import AckPolicy, Backoff, DeclarationError, MemoryBroker, Message, Retry

pytestmark = pytest.mark.anyio
AT_ONCE = Backoff(0.01, 0.01, jitter="none", first=0.01)
LATE = Backoff(600, 600, jitter="none", first=600)


class Work:
    """A handler that takes its time, and fails for some keys."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.good: list[float] = []
        self.bad: list[tuple[float, int]] = []

    async def __call__(self, message: Message) -> None:
        begun, attempt = current_time(), message.attempt
        await sleep(self.seconds)
        if message.body == b"bad":
            self.bad.append((begun, attempt))
            raise ConnectionError
        self.good.append(begun)

    @property
    def again(self) -> int:
        return sum(attempt > 1 for _, attempt in self.bad)


async def handled(
    broker: MemoryBroker,
    work: Work,
    messages: list[tuple[str, str]],
    seconds: float,
    **options: Any,
) -> None:
    """Handle *messages*, bodies and keys, for so many *seconds*."""
    subscriber = broker.subscriber("jobs", dead_letter="dead", **options)

    @subscriber
    async def handle(message: Message) -> None:
        await work(message)

    async with broker:
        await broker.start()
        for body, key in messages:
            await broker.publish(body, "jobs", key=key)
        await sleep(seconds)


@pytest.mark.parametrize("share", [0.2, 0.5])
async def test_while_others_wait_tries_have_their_share_of_the_time(
    broker: MemoryBroker, share: float
) -> None:
    work, retry = Work(0.05), Retry(attempts=1000, backoff=AT_ONCE)
    messages = [("bad", f"{n}") for n in range(60)] + [("good", "")] * 1000
    await handled(broker, work, messages, 40, retry=retry, retry_share=share)

    assert share - 0.15 < work.again * work.seconds / 40 < share + 0.1


async def test_where_nobody_waits_a_try_is_not_put_off(broker: MemoryBroker) -> None:
    work, retry = Work(1.0), Retry(attempts=1000, backoff=AT_ONCE)
    await handled(broker, work, [("bad", "k")], 100.5, retry=retry)

    assert work.again >= 95


@pytest.mark.parametrize("workers", [1, 4])
async def test_what_waits_behind_failing_messages_leaves_room_for_others(
    broker: MemoryBroker, workers: int
) -> None:
    work, retry = Work(0.001), Retry(attempts=3, backoff=LATE)
    messages = [
        ("bad", f"bad-{n % 2}") if n % 5 == 0 else ("good", f"good-{n % 7}") for n in range(400)
    ]
    await handled(broker, work, messages, 30, retry=retry, mailbox=20, max_workers=workers)

    assert len(work.good) == 320
    assert Counter(attempt for _, attempt in work.bad)[3] >= 70


async def test_where_most_messages_fail_each_waits_for_its_time(broker: MemoryBroker) -> None:
    work, retry = Work(0.001), Retry(attempts=3, backoff=LATE)
    messages = [("bad", f"{n}") for n in range(400)]
    await handled(broker, work, messages, 30, retry=retry, mailbox=100)

    assert work.again <= 50
    assert not broker.dead_letters("dead")


async def test_what_is_never_given_up_is_never_hastened(broker: MemoryBroker) -> None:
    work = Work(0.001)
    messages = [("bad", "k"), *(("good", f"{n}") for n in range(10)), *[("bad", "k")] * 15]
    policy = AckPolicy.NACK_ON_ERROR
    await handled(broker, work, messages, 0.05, ack_policy=policy, mailbox=20)

    assert len(work.bad) == 1


@pytest.mark.parametrize("share", [0, 1.5])
def test_a_share_is_a_part(broker: MemoryBroker, share: float) -> None:
    with pytest.raises(DeclarationError, match="retry_share"):
        broker.subscriber("jobs", retry_share=share)
