"""A `Retry` means the same on every broker."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import Event, fail_after

from callboard import Backoff, Message, Retry

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
