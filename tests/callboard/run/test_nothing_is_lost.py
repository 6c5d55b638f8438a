"""Whatever handlers do and whenever a broker stops: every message ends somewhere, in order."""

from __future__ import annotations

from typing import TypeAlias

import pytest
from anyio import sleep, sleep_forever
from hypothesis import given, settings
from hypothesis import strategies as st

from callboard import ActorCrash, Backoff, MemoryBroker, Supervision
from callboard.memory import MemoryMessage

from ..faulty import FaultyBroker

pytestmark = pytest.mark.anyio

DO = ["ok", "slow", "fail", "nack once", "crash once", "crash", "hang once", "unencodable", "bad"]
Step: TypeAlias = tuple[str, str | None] | str
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(DO), st.sampled_from([None, "a", "b"])),
        st.sampled_from(["stop and start", "wait", "no out", "no dead"]),
    ),
    max_size=25,
)


class Record:
    """What became of messages, by number."""

    def __init__(self) -> None:
        self.tries: dict[int, int] = {}
        self.handled: list[int] = []
        self.dead: list[int] = []

    async def handle(self, number: int, do: str) -> object:
        tries = self.tries[number] = self.tries.get(number, 0) + 1
        if do == "slow":
            await sleep(3)
        elif do == "fail":
            raise ValueError
        elif do == "nack once" and tries == 1:
            raise TimeoutError
        elif do == "crash" or (do == "crash once" and tries == 1):
            raise ActorCrash
        elif do == "hang once" and tries == 1:
            await sleep_forever()
        elif do == "unencodable":
            return object()
        self.handled.append(number)
        return number


def declare(broker: MemoryBroker, record: Record, *, actor: bool, max_workers: int) -> None:
    subscriber = broker.subscriber(
        "jobs", group="g", max_workers=max_workers, mailbox=3, dead_letter="dead"
    )

    async def work(number: int, do: str, message: MemoryMessage) -> object:
        try:
            return await record.handle(number, do)
        except TimeoutError:
            await message.nack()
            return None

    class Worker:
        async def receive(self, number: int, do: str, message: MemoryMessage) -> object:
            return await work(number, do, message)

    out = broker.publisher("out")
    if actor:
        out(subscriber(Worker))
    else:
        out(subscriber(work))

    @broker.subscriber("dead", group="g")
    async def collect(message: MemoryMessage) -> None:
        record.dead.append(int(str(message.headers["number"])))


async def run(steps: list[Step], *, actor: bool, max_workers: int) -> tuple[Record, int]:
    """Take *steps*, then run until all is quiet; return what happened to how many messages."""
    supervision = Supervision(intensity=1000, backoff=Backoff(min=0, max=0))
    broker, record, number = FaultyBroker(graceful_timeout=5, supervision=supervision), Record(), 0
    declare(broker, record, actor=actor, max_workers=max_workers)
    await broker.start()
    for step in steps:
        if isinstance(step, tuple):
            do, key = step
            body = b"{" if do == "bad" else {"number": number, "do": do}
            await broker.publish(body, "jobs", key=key, headers={"number": str(number)})
            number += 1
        elif step == "wait":
            await sleep(1)
        elif step != "stop and start":
            broker.faulty.faults[step.removeprefix("no ")] += 3
        else:
            await broker.stop()
            await broker.start()
    await sleep(200)
    await broker.stop()
    for _ in range(number):  # each stop ends at most one of those that hang
        await broker.start()
        await sleep(200)
        await broker.stop()
    assert broker.unread("jobs") == broker.unread("dead") == 0
    assert not broker.dead_letters()
    return record, number


@pytest.mark.slow
@pytest.mark.parametrize("actor", [False, True])
@pytest.mark.parametrize("max_workers", [1, 3])
@given(steps=STEPS)
@settings(max_examples=10)
async def test_every_message_is_handled_or_dead_lettered(
    steps: list[Step], actor: bool, max_workers: int
) -> None:
    record, published = await run(steps, actor=actor, max_workers=max_workers)

    assert {*record.handled, *record.dead} == {*range(published)}
