"""A `Retry` means the same on every broker."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import Event, fail_after, sleep, sleep_forever

from callboard import Backoff, Message, RejectMessage, Retry

from .kinds import Make, on_each

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SOON = Backoff(0.05, 0.05, first=0.05)


@pytest.mark.parametrize("ordered_by", ["key", "none"])
@on_each
async def test_a_message_is_tried_as_often_as_it_may_be_and_then_it_is_a_dead_letter(
    make: Make, ordered_by: Any, topic: str
) -> None:
    kind = make(topic)
    tries, dead, over = list[tuple[str, int]](), list[bytes](), Event()
    retry = Retry(attempts=3, backoff=SOON)

    @kind.subscriber(retry=retry, max_workers=2, ordered_by=ordered_by)
    async def handle(text: str, message: Message) -> None:
        tries.append((text, message.attempt))
        if text == "hopeless" or message.attempt < 2:
            raise ConnectionError(text)

    @kind.graveyard()
    async def bury(message: Message) -> None:
        dead.append(message.body)
        over.set()

    async with kind.running():
        await kind.broker.publish("better", topic, **kind.key)
        await kind.broker.publish("hopeless", topic, **kind.key)
        with fail_after(20):
            await over.wait()

    assert sorted(tries) == [("better", 1), ("better", 2), *(("hopeless", n) for n in (1, 2, 3))]
    assert dead == [b"hopeless"]


@on_each
async def test_what_is_delayed_is_tried_as_often_again_and_others_pass_it(
    make: Make, topic: str
) -> None:
    kind, seen, over = make(topic), list[tuple[str, int]](), Event()
    retry = Retry(attempts=2, backoff=SOON, delayed=[1.0], relaxed=True)

    @kind.subscriber(retry=retry)
    async def handle(text: str, message: Message) -> None:
        seen.append((text, message.attempt))
        if text == "hopeless":
            raise ConnectionError(text)

    @kind.graveyard()
    async def bury(message: Message) -> None:
        over.set()

    async with kind.running():
        await kind.broker.publish("hopeless", topic, **kind.key)
        await sleep(0.5)  # it has been given to the broker by now, on any machine that is not busy
        await kind.broker.publish("later", topic, **kind.key)
        with fail_after(20):
            await over.wait()

    assert [attempt for text, attempt in seen if text == "hopeless"] == [1, 2, 3, 4]
    assert ("later", 1) in seen


@on_each
async def test_what_no_try_can_mend_is_tried_once(make: Make, topic: str) -> None:
    kind, seen, dead, over = make(topic), list[str](), list[bytes](), Event()
    retry = Retry(attempts=5, backoff=SOON, never=KeyError)

    @kind.subscriber(retry=retry)
    async def handle(number: int) -> None:
        seen.append(f"{number}")
        raise RejectMessage if number == 1 else KeyError(number)

    @kind.graveyard()
    async def bury(message: Message) -> None:
        dead.append(message.body)
        if len(dead) == 3:
            over.set()

    async with kind.running():
        for body in ("1", "2", "no number"):
            await kind.broker.publish(body.encode(), topic, content_type="application/json")
        with fail_after(20):
            await over.wait()

    assert sorted(seen) == ["1", "2"]


@on_each
async def test_what_takes_too_long_has_failed_and_is_tried_again(make: Make, topic: str) -> None:
    kind, attempts, over = make(topic), list[int](), Event()

    @kind.subscriber(retry=Retry(attempts=2, backoff=SOON, timeout=0.3))
    async def handle(text: str, message: Message) -> None:
        attempts.append(message.attempt)
        await sleep_forever()

    @kind.graveyard()
    async def bury(message: Message) -> None:
        over.set()

    async with kind.running():
        await kind.broker.publish("slow", topic)
        with fail_after(20):
            await over.wait()

    assert attempts == [1, 2]


@on_each
async def test_what_is_dropped_in_the_end_is_no_letter_and_does_not_come_again(
    make: Make, topic: str
) -> None:
    kind, seen, dead, over = make(topic), list[str](), list[bytes](), Event()

    @kind.subscriber(retry=Retry(attempts=2, backoff=SOON, on_exhausted="drop"))
    async def handle(text: str) -> None:
        seen.append(text)
        if text == "hopeless":
            raise ConnectionError(text)
        over.set()

    @kind.graveyard()
    async def bury(message: Message) -> None:
        dead.append(message.body)

    async with kind.running():
        await kind.broker.publish("hopeless", topic, **kind.key)
        await kind.broker.publish("next", topic, **kind.key)
        with fail_after(20):
            await over.wait()
        await sleep(0.3)

    assert sorted(seen) == ["hopeless", "hopeless", "next"]
    assert not dead
