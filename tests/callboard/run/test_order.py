"""Order by key, whatever becomes of the messages: nacks with delays, crashes, restarts, stops."""

from __future__ import annotations

from typing import TypeAlias

import pytest
from anyio import sleep
from hypothesis import given, settings
from hypothesis import strategies as st

from callboard import (
    AckPolicy,
    ActorCrash,
    Backoff,
    MemoryBroker,
    Message,
    NackMessage,
    Supervision,
)

from ..faulty import FaultyBroker

pytestmark = pytest.mark.anyio

DO = ["nack", "nack later", "nack by hand", "fail", "slow", "no output"]
Step: TypeAlias = tuple[str | None, list[str], bool] | str
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from([None, "a", "b", "c"]),
            st.lists(st.sampled_from(DO), max_size=3),
            st.booleans(),
        ),
        st.sampled_from(["stop and start", "wait"]),
    ),
    max_size=25,
)


class Record:
    """Which messages were tried, by key, and which of them are done."""

    def __init__(self, broker: FaultyBroker) -> None:
        self.broker = broker
        self.keys: list[str | None] = []
        self.left: list[list[str]] = []
        self.running: set[int] = set()
        self.done: list[int] = []
        self.heard: list[int] = []

    def ended(self, key: str | None) -> list[int]:
        """Return the messages of *key* in the order in which they were done with for good."""
        last = {number: at for at, number in enumerate(self.heard) if self.keys[number] == key}
        return sorted(last, key=lambda number: last[number])

    async def handle(self, number: int, message: Message) -> int:
        key = self.keys[number]
        if key is not None:
            before = {n for n in range(number) if self.keys[n] == key}
            assert before <= {*self.done}, "a message has passed one of its key"
            assert not any(self.keys[n] == key for n in self.running), "two of a key at once"
        self.running.add(number)
        try:
            await sleep(0.01)
            for do in self.take_step(number):
                await self.do(do, message)
        finally:
            self.running.discard(number)
        return number

    def take_step(self, number: int) -> list[str]:
        if self.left[number]:
            return [self.left[number].pop(0)]
        self.done.append(number)
        return []

    async def do(self, do: str, message: Message) -> None:
        if do == "nack":
            raise NackMessage
        if do == "nack later":
            raise NackMessage(delay=3)
        if do == "nack by hand":
            await message.nack(delay=0.5)
            await sleep(1)  # longer than it waits: nobody must begin with it meanwhile
        if do == "fail":
            raise ValueError
        if do == "crash":
            raise ActorCrash
        if do == "slow":
            await sleep(2)
            raise NackMessage(delay=0)
        if do == "no output":
            self.broker.faulty.faults["out"] += 1


def declare(broker: MemoryBroker, record: Record, *, actor: bool, max_workers: int) -> None:
    subscriber = broker.subscriber(
        "jobs",
        group="g",
        max_workers=max_workers,
        mailbox=6,
        ack_policy=AckPolicy.NACK_ON_ERROR,
    )

    async def work(number: int, message: Message) -> int:
        return await record.handle(number, message)

    class Worker:
        async def receive(self, number: int, message: Message) -> int:
            return await record.handle(number, message)

    @broker.subscriber("out", group="g")
    async def hear(number: int) -> None:
        record.heard.append(number)

    out = broker.publisher("out")
    if actor:
        out(subscriber(Worker))
    else:
        out(subscriber(work))


@pytest.mark.slow
@pytest.mark.parametrize("actor", [False, True])
@pytest.mark.parametrize("max_workers", [1, 3])
@given(steps=STEPS)
@settings(max_examples=25)
async def test_messages_of_a_key_begin_when_those_before_are_done_whatever_happens(
    steps: list[Step], actor: bool, max_workers: int
) -> None:
    supervision = Supervision(intensity=1000, backoff=Backoff(min=0, max=0))
    broker = FaultyBroker(supervision=supervision)
    record = Record(broker)
    declare(broker, record, actor=actor, max_workers=max_workers)
    await broker.start()
    for step in steps:
        if isinstance(step, tuple):
            key, plan, crashes = step
            record.keys.append(key)
            record.left.append(plan + ["crash"] * crashes)
            await broker.publish(len(record.keys) - 1, "jobs", key=key)
        elif step == "wait":
            await sleep(1)
        else:
            await broker.stop()
            await broker.start()
    await sleep(500)
    await broker.stop()

    assert {*record.heard} == {*range(len(record.keys))}
    assert all(record.ended(key) == sorted(record.ended(key)) for key in "abc")
    assert broker.unread("jobs") == 0
    assert not broker.dead_letters()
