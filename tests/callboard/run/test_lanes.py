"""Order and concurrency: which messages wait for each other, and what waits outside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Any

import pytest
from anyio import (
    Event,
    create_task_group,
    current_time,
    move_on_after,
    sleep,
    wait_all_tasks_blocked,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from callboard import (
    AckPolicy,
    ActorCrash,
    Decision,
    MemoryBroker,
    Message,
    NackMessage,
    Supervision,
)
from callboard.declare._options import OrderedBy
from callboard.memory import MemoryMessage
from callboard_brokers.memory import Memory

from ..faulty import FaultyBroker

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
@settings(max_examples=15)
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


async def test_a_header_stands_for_the_key_of_messages_that_have_none() -> None:
    broker, log = MemoryBroker(), Log()

    @broker.subscriber("jobs", max_workers=4, key_header="x-customer")
    async def work(number: int, message: MemoryMessage) -> None:
        await log.run(f"{message.headers['x-customer']!s}{number}", 3.0 - number)

    async with broker:
        await broker.start()
        for number, customer in enumerate(["ann", "ann", "bob"]):
            await broker.publish(number, "jobs", headers={"x-customer": customer})
        await sleep(10)

    assert log.ended == ["bob2", "ann0", "ann1"]


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


def missing(message: Message) -> Hashable:
    return message.headers["tenant"]


def unhashable(message: Message) -> Any:
    return [message.key]


@pytest.mark.parametrize(
    ("ordered_by", "reason"),
    [(missing, "KeyError: 'tenant'"), (unhashable, "TypeError: unhashable type: 'list'")],
)
async def test_a_message_for_which_ordered_by_fails_is_handled_all_the_same(
    ordered_by: Callable[[Message], Hashable],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = await run([("a", 1.0), ("b", 2.0)], ordered_by=ordered_by)

    assert log.ended == ["a0", "b1"]
    assert caplog.messages[0].startswith("ordered_by= of work(jobs) fails for message ")
    assert caplog.messages[0].endswith(
        f" of 'jobs', which is handled in no particular order: {reason}"
    )


async def tries(
    *messages: tuple[int, str | None],
    max_workers: int = 2,
    ordered_by: OrderedBy = "key",
    actor: bool = False,
    fail: Callable[[Message], Awaitable[object]] | None = None,
) -> list[int]:
    """Return the order in which messages of a number and a key are handled; 0 fails once."""
    broker, tried, handled = MemoryBroker(), list[int](), list[int]()

    async def work(number: int, message: Message) -> None:
        tried.append(number)
        if tried.count(number) == 1 and number == 0:
            if fail is None:
                raise NackMessage
            await fail(message)
            return
        handled.append(number)

    class Worker:
        async def receive(self, number: int, message: Message) -> None:
            await work(number, message)

    subscriber = broker.subscriber("jobs", max_workers=max_workers, ordered_by=ordered_by)
    if actor:
        subscriber(Worker)
    else:
        subscriber(work)
    async with broker:
        await broker.start()
        for number, key in messages:
            await broker.publish(number, "jobs", key=key)
        await sleep(1)
    return handled


@pytest.mark.parametrize("max_workers", [1, 2])
@pytest.mark.parametrize("actor", [False, True])
async def test_the_key_of_a_nacked_message_waits_and_others_go_on(
    max_workers: int, actor: bool
) -> None:
    handled = await tries(
        (0, "a"), (1, "b"), (2, "a"), (3, None), (4, "a"), max_workers=max_workers, actor=actor
    )

    assert sorted(handled[:2]) == [1, 3]
    assert handled[2:] == [0, 2, 4]


async def test_a_message_that_its_handler_nacks_by_hand_keeps_its_place() -> None:
    settled: list[bool] = []

    async def nack(message: Message) -> None:
        await message.nack(delay=0.5)
        await message.ack()  # comes second, hence changes nothing
        settled.append(message.processed)

    handled = await tries((0, "a"), (1, "b"), (2, "a"), fail=nack)

    assert handled == [1, 0, 2]
    assert settled == [True]


def nothing(_message: Message) -> None: ...


@pytest.mark.parametrize(("ordered_by", "key"), [("none", "a"), ("key", None), (nothing, "a")])
@pytest.mark.parametrize("max_workers", [1, 2])
async def test_a_nacked_message_of_no_lane_lets_others_pass(
    ordered_by: OrderedBy, key: str | None, max_workers: int
) -> None:
    handled = await tries((0, key), (1, key), ordered_by=ordered_by, max_workers=max_workers)

    assert handled == [1, 0]


async def test_a_message_whose_outputs_cannot_be_published_keeps_its_place() -> None:
    broker, heard = FaultyBroker(), list[int]()
    broker.faulty.faults["out"] = 2

    @broker.publisher("out")
    @broker.subscriber("in", max_workers=2)
    async def handle(number: int) -> int:
        return number

    @broker.subscriber("out")
    async def hear(number: int) -> None:
        heard.append(number)

    async with broker:
        await broker.start()
        for number in range(3):
            await broker.publish(number, "in", key="k")
        await sleep(10)

    assert heard == [0, 1, 2]


async def test_a_message_that_is_tried_in_place_waits_longer_each_time(
    broker: MemoryBroker,
) -> None:
    times: list[float] = []
    deliveries: list[object] = []

    @broker.subscriber("jobs", ack_policy=AckPolicy.NACK_ON_ERROR)
    async def work(number: int, message: MemoryMessage) -> None:
        times.append(round(current_time() - begin, 3))
        deliveries.append(message.raw_message.deliveries)
        raise ValueError

    async with broker:
        await broker.start()
        begin = current_time()
        await broker.publish(0, "jobs", key="k")
        await sleep(0.8)

    assert times == [0, 0.1, 0.3, 0.7]
    assert deliveries == [1, 2, 3, 4]


async def test_a_broker_that_gives_a_message_up_ends_the_wait_of_its_key() -> None:
    broker, handled = MemoryBroker(), list[int]()
    broker.slot.adapter = memory = Memory(
        redelivery=lambda deliveries: 0.1 if deliveries < 3 else None
    )

    @broker.subscriber("jobs", ack_policy=AckPolicy.NACK_ON_ERROR)
    async def work(number: int) -> None:
        handled.append(number)
        if number == 0:
            raise ValueError

    async with broker:
        await broker.start()
        for number in range(2):
            await broker.publish(number, "jobs", key="k")
        await sleep(1)

    assert handled == [0, 0, 0, 1]
    assert [letter.reason for letter in memory.dead_letters()] == ["given up after 3 deliveries"]


@pytest.mark.parametrize("max_workers", [1, 2])
async def test_a_stop_gives_back_the_lane_that_waits_in_its_order(
    broker: MemoryBroker, max_workers: int
) -> None:
    handled: list[int] = []

    @broker.subscriber("jobs", group="g", max_workers=max_workers)
    async def work(number: int) -> None:
        if number == 0 and len(began) < 3:
            raise NackMessage(delay=1000)
        handled.append(number)

    began = [current_time()]
    for _ in range(3):
        await broker.start()
        if len(began) == 1:
            for number, key in enumerate("aaba"):
                await broker.publish(number, "jobs", key=key)
        await wait_all_tasks_blocked()
        await broker.stop()
        began.append(current_time())

    assert handled == [2, 0, 1, 3]
    assert began[-1] - began[0] < 1


async def test_a_message_that_is_nacked_while_the_broker_stops_is_given_back_with_its_lane(
    broker: MemoryBroker,
) -> None:
    gate, handled = Event(), list[int]()

    @broker.subscriber("jobs", group="g")
    async def work(number: int) -> None:
        await gate.wait()
        if number == 0:
            raise NackMessage
        handled.append(number)

    async with broker:
        await broker.start()
        for number, key in enumerate("aab"):
            await broker.publish(number, "jobs", key=key)
        async with create_task_group() as tasks:
            tasks.start_soon(broker.stop)
            await wait_all_tasks_blocked()
            gate.set()

        assert handled == [2]
        assert broker.unread("jobs") == 2


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("in_hand", [False, True])
async def test_what_is_recalled_is_given_back_whether_it_waits_or_is_nacked_only_then(
    in_hand: bool, batch: bool
) -> None:
    broker, gate, tried = FaultyBroker(), Event(), list[float]()

    async def work(message: Message) -> None:
        tried.append(current_time() - began)
        await gate.wait()
        if len(tried) == 1:
            raise NackMessage(delay=1000)

    broker.subscriber("jobs", batch=batch)(work)
    async with broker:
        await broker.start()
        began = current_time()
        await broker.publish(b"", "jobs", key="k")
        if not in_hand:
            gate.set()
        await wait_all_tasks_blocked()
        broker.faulty.recall()
        gate.set()
        await sleep(1)

    assert len(tried) == 2
    assert tried[1] < 1


async def test_a_handler_that_nacks_and_then_crashes_leaves_its_message_to_the_next_worker(
    broker: MemoryBroker,
) -> None:
    tried: list[int] = []
    broker.slot.adapter = memory = Memory()

    @broker.subscriber("jobs")
    async def work(number: int, message: Message) -> None:
        tried.append(number)
        if tried == [0]:
            await message.nack(delay=1000)
            raise ActorCrash

    async with broker:
        await broker.start()
        for number in range(2):
            await broker.publish(number, "jobs", key="k")
        await sleep(1)
        assert memory.stats().unsettled == 0

    assert tried == [0, 0, 1]


@pytest.mark.parametrize("policy", [AckPolicy.ACK_FIRST, AckPolicy.MANUAL])
@pytest.mark.parametrize("max_workers", [1, 2])
async def test_a_message_that_was_settled_before_the_crash_is_not_handled_again(
    broker: MemoryBroker, policy: AckPolicy, max_workers: int
) -> None:
    tried: list[int] = []

    @broker.subscriber("jobs", ack_policy=policy, max_workers=max_workers)
    async def work(number: int, message: Message) -> None:
        tried.append(number)
        await message.ack()
        if number == 0:
            raise ActorCrash

    async with broker:
        await broker.start()
        for number in range(3):
            await broker.publish(number, "jobs", key="k")
        await sleep(1)

    assert tried == [0, 1, 2]


async def test_a_failure_that_the_actor_survives_keeps_the_place_of_its_message(
    broker: MemoryBroker,
) -> None:
    tried: list[int] = []

    @broker.subscriber(
        "jobs",
        ack_policy=AckPolicy.NACK_ON_ERROR,
        supervision=Supervision(decide=[(ActorCrash, Decision.RESUME)]),
    )
    async def work(number: int) -> None:
        tried.append(number)
        if tried == [0]:
            raise ActorCrash

    async with broker:
        await broker.start()
        for number in range(2):
            await broker.publish(number, "jobs", key="k")
        await sleep(1)

    assert tried == [0, 0, 1]


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


@pytest.mark.parametrize("batch", [False, True])
async def test_messages_that_are_there_already_exceed_the_bound_by_one_at_most(
    broker: MemoryBroker, batch: bool
) -> None:
    gate, lengths = Event(), list[int]()

    async def handle(message: Message) -> None:
        lengths.append(len(getattr(message, "parts", [message])))
        await gate.wait()

    broker.subscriber("orders", group="g", batch=batch, batch_timeout=1 * batch)(handle)
    await broker.start()
    await broker.stop()  # now the group exists, and keeps what comes
    async with broker:
        for _ in range(64):
            await broker.publish(bytes(MIB - 1), "orders")
        await broker.start()
        await sleep(5)

        # What is in hand is in the mailbox no more.
        assert lengths == [17 if batch else 1]
        assert broker.unread("orders") == 64 - 17 - (17 if batch else 0)
        gate.set()
        await sleep(100)
        assert broker.unread("orders") == 0
    assert sum(lengths) == 64


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
