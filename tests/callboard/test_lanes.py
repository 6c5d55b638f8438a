"""Order and concurrency: which messages wait for each other, and what waits outside."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import pytest
from anyio import Event, current_time, move_on_after, sleep, wait_all_tasks_blocked
from hypothesis import given, settings
from hypothesis import strategies as st

from callboard import AckPolicy, ActorCrash, MemoryBroker, Message, NackMessage
from callboard._options import OrderedBy

pytestmark = pytest.mark.anyio

MIB = 2**20


class Log:
    """Which messages ran when, and how many at a time."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.ended: list[str] = []
        self.running = 0
        self.most = 0

    async def run(self, name: str, duration: float) -> None:
        self.started.append(name)
        self.running += 1
        self.most = max(self.most, self.running)
        await sleep(duration)
        self.running -= 1
        self.ended.append(name)


async def run(
    messages: list[tuple[str | None, float]], ordered_by: OrderedBy = "key", max_workers: int = 4
) -> Log:
    """Handle messages with a key and a duration each; they are called by key and number."""
    broker, log, done = MemoryBroker(), Log(), Event()

    @broker.subscriber("jobs", max_workers=max_workers, ordered_by=ordered_by, mailbox=8)
    async def work(number: int, message: Message) -> None:
        key, duration = messages[number]
        await log.run(f"{key}{number}", duration)
        if len(log.ended) == len(messages):
            done.set()

    async with broker:
        await broker.start()
        for number, (key, _) in enumerate(messages):
            await broker.publish(number, "jobs", key=key)
        if messages:
            await done.wait()
    return log


@given(
    messages=st.lists(
        st.tuples(st.sampled_from([None, "a", "b", "c"]), st.sampled_from([0, 0.1, 1, 7])),
        max_size=30,
    )
)
@settings(max_examples=15, deadline=None)
async def test_messages_of_a_key_run_one_at_a_time_and_in_order(
    messages: list[tuple[str | None, float]],
) -> None:
    log = await run(messages)

    expected = [f"{key}{n}" for n, (key, _) in enumerate(messages)]
    for key in "abc":
        of_key = [name for name in expected if name.startswith(key)]
        assert [name for name in log.started if name.startswith(key)] == of_key
        assert [name for name in log.ended if name.startswith(key)] == of_key
    assert sorted(log.ended) == sorted(expected)
    assert log.most <= 4


async def test_messages_of_different_keys_run_at_the_same_time() -> None:
    began = current_time()

    log = await run([(key, 1.0) for key in "abcd"])

    assert current_time() - began == pytest.approx(1)
    assert log.most == 4


async def test_a_slow_key_holds_no_other_key_back() -> None:
    log = await run([("slow", 100.0), ("slow", 1.0), ("a", 1.0), ("b", 2.5), ("a", 1.0)])

    assert log.ended == ["a2", "a4", "b3", "slow0", "slow1"]


async def test_messages_without_a_key_run_freely() -> None:
    log = await run([(None, 3.0), (None, 2.0), (None, 1.0)])

    assert log.ended == ["None2", "None1", "None0"]


async def test_ordered_by_none_lets_messages_of_a_key_run_freely() -> None:
    log = await run([("a", 3.0), ("a", 2.0), ("a", 1.0)], ordered_by="none")

    assert log.ended == ["a2", "a1", "a0"]


async def test_ordered_by_a_function_of_the_message() -> None:
    log = await run(
        [("a", 3.0), ("b", 2.0), ("c", 1.0)], ordered_by=lambda message: message.address
    )

    assert log.ended == ["a0", "b1", "c2"]


async def test_one_worker_keeps_the_order_of_arrival() -> None:
    log = await run([(None, 3.0), ("a", 2.0), ("b", 1.0)], max_workers=1)

    assert log.ended == ["None0", "a1", "b2"]


def missing(message: Message[Any]) -> Hashable:
    return message.headers["tenant"]


def unhashable(message: Message[Any]) -> Any:
    return [message.key]


@pytest.mark.parametrize(
    ("ordered_by", "reason"),
    [(missing, "KeyError: 'tenant'"), (unhashable, "TypeError: unhashable type: 'list'")],
)
async def test_a_message_for_which_ordered_by_fails_is_handled_all_the_same(
    ordered_by: Callable[[Message[Any]], Hashable],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = await run([("a", 1.0), ("b", 2.0)], ordered_by=ordered_by)

    assert log.ended == ["a0", "b1"]
    assert caplog.messages[0].startswith("ordered_by= of work(jobs) fails for message ")
    assert caplog.messages[0].endswith(
        f" of 'jobs', which is handled in no particular order: {reason}"
    )


async def test_a_nacked_message_lets_its_key_go_on(broker: MemoryBroker) -> None:
    handled: list[int] = []
    tried: list[int] = []

    @broker.subscriber("jobs", max_workers=2, ack_policy=AckPolicy.NACK_ON_ERROR)
    async def work(number: int) -> None:
        tried.append(number)
        if tried == [0]:
            raise NackMessage
        handled.append(number)

    async with broker:
        await broker.start()
        for n in range(3):
            await broker.publish(n, "jobs", key="k")
        await sleep(1)

    assert handled == [1, 2, 0]


async def test_a_message_that_crashed_its_worker_keeps_its_place(broker: MemoryBroker) -> None:
    tried: list[int] = []

    @broker.subscriber("jobs", max_workers=2)
    async def work(number: int) -> None:
        tried.append(number)
        if tried == [0]:
            raise ActorCrash

    async with broker:
        await broker.start()
        for n in range(3):
            await broker.publish(n, "jobs", key="k")
        await sleep(1)

    assert tried == [0, 0, 1, 2]


async def test_a_slow_handler_stops_the_intake(broker: MemoryBroker) -> None:
    gate = Event()

    @broker.subscriber("orders", mailbox=1)
    async def handle(order: int) -> None:
        await gate.wait()

    async with broker:
        await broker.start()
        for n in range(10):
            await broker.publish(n, "orders")
        await wait_all_tasks_blocked()

        assert broker.unread("orders") == 8  # one in the handler, one in the mailbox
        gate.set()
        await wait_all_tasks_blocked()
        assert broker.unread("orders") == 0


async def test_a_full_mailbox_of_a_slow_subscriber_keeps_its_publishers_waiting() -> None:
    broker, gate, published = MemoryBroker(capacity=2), Event(), list[int]()

    @broker.subscriber("orders", mailbox=1)
    async def handle(order: int) -> None:
        await gate.wait()

    async with broker:
        await broker.start()
        for n in range(4):  # one in the handler, one in the mailbox, two with the broker
            await broker.publish(n, "orders")
            await wait_all_tasks_blocked()
            published.append(n)
        with move_on_after(60):
            await broker.publish(4, "orders")
            published.append(4)
        gate.set()

    assert published == [0, 1, 2, 3]


async def test_a_mailbox_takes_no_more_when_it_holds_16_mib(broker: MemoryBroker) -> None:
    gate = Event()

    @broker.subscriber("orders")
    async def handle(body: bytes) -> None:
        await gate.wait()

    body = bytes(MIB)
    async with broker:
        await broker.start()
        for _ in range(20):
            await broker.publish(body, "orders")
            await wait_all_tasks_blocked()

        assert broker.unread("orders") == 3  # one in the handler, 16 in the mailbox
        gate.set()
        await wait_all_tasks_blocked()
        assert broker.unread("orders") == 0


async def test_a_single_message_may_be_larger_than_the_bound(broker: MemoryBroker) -> None:
    lengths: list[int] = []

    @broker.subscriber("orders")
    async def handle(body: bytes) -> None:
        lengths.append(len(body))

    async with broker:
        await broker.start()
        await broker.publish(bytes(17 * MIB), "orders")
        await broker.publish(b"", "orders")
        await wait_all_tasks_blocked()

    assert lengths == [17 * MIB, 0]


async def test_a_busy_subscriber_lets_others_work(broker: MemoryBroker) -> None:
    handled: list[int] = []
    seen: list[int] = []

    @broker.subscriber("busy", group="busy", mailbox=1000)
    async def busy(number: int) -> None:
        handled.append(number)

    @broker.subscriber("other", group="other")
    async def other(number: int) -> None:
        seen.append(len(handled))

    await broker.start()
    await broker.stop()
    async with broker:
        for n in range(1000):
            await broker.publish(n, "busy")
        await broker.publish(1, "other")
        await broker.start()
        await wait_all_tasks_blocked()

    assert seen[0] < 1000
    assert len(handled) == 1000
