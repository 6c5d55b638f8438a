"""A breaker that opens and closes loses nothing, and gives nothing up, on every broker."""

from __future__ import annotations

import pytest
from anyio import Event, current_time, fail_after, sleep

from callboard import Breaker, Message
from callboard.events import BreakerClosed, BreakerOpened

from .kinds import Make, on_each

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@on_each
async def test_what_comes_while_a_dependency_is_away_is_handled_when_it_is_back(
    make: Make, topic: str
) -> None:
    kind, told = make(topic), list[object]()
    done, dead, over, start = set[int](), list[bytes](), Event(), current_time()
    breaker = Breaker(calls=10, pause=0.3, on=ConnectionError)

    @kind.subscriber(breaker=breaker, max_workers=4, mailbox=16)
    async def handle(number: int, message: Message) -> None:
        await sleep(0.001)
        if current_time() - start < 2:
            raise ConnectionError("the ledger is away")
        done.add(number)
        if len(done) == 200:
            over.set()

    @kind.graveyard()
    async def bury(message: Message) -> None:
        dead.append(message.body)

    kind.broker.events.subscribe(told.append)
    async with kind.running():
        start = current_time()
        for number in range(200):
            await kind.broker.publish(number, topic)
        with fail_after(30):
            await over.wait()

    assert not dead
    assert sum(isinstance(each, BreakerOpened) for each in told) >= 2
    assert sum(isinstance(each, BreakerClosed) for each in told) >= 1
