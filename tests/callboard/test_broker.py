"""The life of a broker: connected, started, stopped, and again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from anyio import (
    CancelScope,
    Event,
    create_task_group,
    current_time,
    move_on_after,
    sleep,
    sleep_forever,
    wait_all_tasks_blocked,
)

from callboard import (
    AckPolicy,
    App,
    Broker,
    DeclarationError,
    GaveUp,
    MemoryBroker,
    NotRunning,
    StopTimedOut,
)
from callboard.extending import BrokerOptions
from callboard.memory import MEMORY, MemoryRouter
from callboard_brokers import ConnectionLost, DestinationError
from callboard_brokers.memory import Memory, MemorySource, MemoryTarget, Readership, Templates

from .faulty import FaultyBroker

pytestmark = pytest.mark.anyio


async def test_publishing_before_the_start_says_what_to_do(broker: MemoryBroker) -> None:
    with pytest.raises(NotRunning) as refused:
        await broker.publish(1, "orders")

    assert str(refused.value) == (
        "memory is not running: `await broker.start()`, or run the App, before you publish; after"
        " a stop nothing is published any more"
    )


async def test_publishing_after_the_stop_is_refused(broker: MemoryBroker) -> None:
    await broker.start()
    await broker.stop()

    with pytest.raises(NotRunning):
        await broker.publish(1, "orders")
    assert not await broker.ping()


async def test_async_with_connects_so_that_one_can_publish_and_nothing_more(
    broker: MemoryBroker,
) -> None:
    @broker.subscriber("orders", group="g")
    async def handle(order: int) -> None:
        pytest.fail("was not started")

    await broker.start()
    await broker.stop()
    async with broker as entered:
        assert entered is broker
        await broker.ping()
        await broker.publish(1, "orders")
        await wait_all_tasks_blocked()

    assert not broker.running
    assert broker.unread("orders") == 1


async def test_starting_and_stopping_twice_is_no_mistake(broker: MemoryBroker) -> None:
    handled: list[int] = []

    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        handled.append(order)

    await broker.stop()
    await broker.start()
    await broker.start()
    await broker.connect()
    await broker.publish(1, "orders")
    await wait_all_tasks_blocked()
    await broker.stop()
    await broker.stop()

    assert handled == [1]


async def test_a_second_start_waits_for_the_first(broker: MemoryBroker) -> None:
    up: list[float] = []

    @broker.subscriber("orders")
    class Slow:
        async def on_start(self) -> None:
            await sleep(3)

        async def receive(self, order: int) -> None: ...

    async def start() -> None:
        await broker.start()
        up.append(current_time() - began)

    began = current_time()
    async with create_task_group() as group:
        group.start_soon(start)
        group.start_soon(start)
    await broker.stop()

    assert up == pytest.approx([3, 3])


@pytest.mark.parametrize("connected", [True, False])
async def test_a_second_start_waits_for_the_subscribers_or_raises_what_the_first_raised(
    broker: MemoryBroker, connected: bool
) -> None:
    failures = [LookupError("no shelf")]
    ends: list[object] = []

    @broker.subscriber("orders")
    class Slow:
        async def on_start(self) -> None:
            await sleep(3)
            if failures:
                raise failures.pop()

        async def receive(self, order: int) -> None: ...

    async def start() -> None:
        try:
            await broker.start()
            ends.append(current_time() - began)
        except LookupError as error:
            ends.append(str(error))

    if connected:
        await broker.connect()
    for _ in range(2):
        began = current_time()
        async with create_task_group() as group:
            group.start_soon(start)
            await sleep(1)
            group.start_soon(start)
        ends.append(broker.running)
    await broker.stop()

    assert ends == ["no shelf", "no shelf", connected, pytest.approx(3), pytest.approx(3), True]


async def test_a_cancelled_start_takes_nothing_from_another_that_waits_for_the_same(
    broker: MemoryBroker,
) -> None:
    handled: list[int] = []

    @broker.subscriber("orders")
    class Slow:
        async def on_start(self) -> None:
            await sleep(3)

        async def receive(self, order: int) -> None:
            handled.append(order)

    async def give_up() -> None:
        with move_on_after(1):
            await broker.start()

    async with create_task_group() as group:
        group.start_soon(give_up)
        await wait_all_tasks_blocked()
        await broker.start()
    await broker.publish(1, "orders")
    await wait_all_tasks_blocked()
    await broker.stop()

    assert handled == [1]


async def test_a_stop_ends_a_start_that_takes_too_long(broker: MemoryBroker) -> None:
    @broker.subscriber("orders")
    class Endless:
        async def on_start(self) -> None:
            await sleep_forever()

        async def receive(self, order: int) -> None: ...

    async def start() -> None:
        with pytest.raises(NotRunning):
            await broker.start()

    async with create_task_group() as group:
        group.start_soon(start)
        await wait_all_tasks_blocked()
        await broker.stop()

    assert not broker.running


async def test_a_start_during_the_stop_is_refused(broker: MemoryBroker) -> None:
    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        await sleep(10)

    await broker.start()
    await broker.publish(1, "orders")
    await wait_all_tasks_blocked()
    async with create_task_group() as group:
        group.start_soon(broker.stop)
        await wait_all_tasks_blocked()
        with pytest.raises(NotRunning, match="memory is being stopped; start it again when"):
            await broker.start()

    await broker.start()
    await broker.stop()


async def test_a_cancelled_start_leaves_nothing_running(broker: MemoryBroker) -> None:
    @broker.subscriber("orders")
    class Endless:
        async def on_start(self) -> None:
            await sleep_forever()

        async def receive(self, order: int) -> None: ...

    with move_on_after(5):
        await broker.start()

    assert not broker.running
    with pytest.raises(NotRunning):
        await broker.publish(1, "orders")


async def test_a_broker_starts_again_after_a_stop_and_reads_on(broker: MemoryBroker) -> None:
    handled: list[int] = []

    @broker.subscriber("orders", group="g")
    async def handle(order: int) -> None:
        handled.append(order)

    for n in range(3):
        await broker.start()
        await wait_all_tasks_blocked()
        await broker.stop()
        async with broker:
            await broker.publish(n, "orders")

    assert handled == [0, 1]
    assert broker.unread("orders") == 1


async def test_a_subscriber_added_later_is_started_with_the_next_start(
    broker: MemoryBroker,
) -> None:
    handled: list[int] = []
    await broker.start()
    await broker.stop()

    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        handled.append(order)

    async with broker:
        await broker.start()
        await broker.publish(1, "orders")
        await wait_all_tasks_blocked()

    assert handled == [1]


async def test_a_stop_handles_what_was_taken_and_leaves_the_rest(broker: MemoryBroker) -> None:
    handled: list[int] = []

    @broker.subscriber("orders", group="g", mailbox=4)
    async def handle(order: int) -> None:
        await sleep(1)
        handled.append(order)

    await broker.start()
    for n in range(10):
        await broker.publish(n, "orders")
    await wait_all_tasks_blocked()
    await broker.stop()

    assert handled == [0, 1, 2, 3]
    assert broker.unread("orders") == 6


@pytest.mark.parametrize("graceful_timeout", [10.0, 25.0, 100.0])
async def test_a_handler_that_never_returns_is_cancelled_in_time_and_its_message_released(
    graceful_timeout: float,
) -> None:
    broker = MemoryBroker(graceful_timeout=graceful_timeout)
    deliveries: list[int | None] = []

    @broker.subscriber("orders", group="g", max_workers=2, ack_policy=AckPolicy.NACK_ON_ERROR)
    async def handle(order: int) -> None:
        if order == 0:
            await sleep_forever()
        # Nearly as long as there is: all of the time that a stop has is for handlers.
        await sleep(0.75 * graceful_timeout)
        deliveries.append(order)

    await broker.start()
    for n in range(2):
        await broker.publish(n, "orders")
    await wait_all_tasks_blocked()
    began = current_time()
    await broker.stop()

    assert 0.75 * graceful_timeout < current_time() - began <= graceful_timeout
    assert deliveries == [1]
    assert broker.unread("orders") == 1


async def test_the_time_of_an_application_is_that_of_its_brokers() -> None:
    broker = MemoryBroker(graceful_timeout=1)
    app = App(broker, graceful_timeout=100)
    handled: list[int] = []

    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        await sleep(75)
        handled.append(order)

    await app.start()
    await broker.publish(1, "orders")
    await wait_all_tasks_blocked()
    await app.stop()

    assert handled == [1]


async def test_a_handler_that_swallows_its_cancellation_is_named() -> None:
    broker, gate = MemoryBroker(graceful_timeout=5), Event()

    @broker.subscriber("orders")
    async def stubborn(order: int) -> None:
        with CancelScope(shield=True):
            await gate.wait()

    await broker.start()
    await broker.publish(1, "orders")
    await wait_all_tasks_blocked()
    try:
        with pytest.raises(StopTimedOut, match=r"stubborn\(orders\)/workers/worker-0 still runs"):
            await broker.stop()
    finally:
        gate.set()
        await wait_all_tasks_blocked()


async def test_what_is_published_while_it_drains_goes_out(broker: MemoryBroker) -> None:
    heard: list[int] = []

    @broker.subscriber("out", group="g")
    async def hear(number: int) -> None:
        heard.append(number)

    @broker.publisher("out")
    @broker.subscriber("in")
    async def handle(number: int) -> int:
        await sleep(1)
        return number

    await broker.start()
    await broker.publish(1, "in")
    await wait_all_tasks_blocked()
    await broker.stop()

    assert len(heard) + broker.unread("out") == 1


async def test_start_and_stop_may_come_from_different_tasks(broker: MemoryBroker) -> None:
    handled: list[int] = []

    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        handled.append(order)

    for step in (broker.start, lambda: broker.publish(1, "orders"), broker.stop):
        async with create_task_group() as group:
            group.start_soon(step)
        await wait_all_tasks_blocked()

    assert handled == [1]


async def test_two_brokers_may_stop_in_the_order_of_their_start() -> None:
    first, second = MemoryBroker(), MemoryBroker()
    handled: list[str] = []

    @first.subscriber("orders")
    @second.subscriber("orders")
    async def handle(order: str) -> None:
        handled.append(order)

    await first.start()
    await second.start()
    await first.publish("first", "orders")
    await wait_all_tasks_blocked()
    await first.stop()
    await second.publish("second", "orders")
    await wait_all_tasks_blocked()
    await second.stop()

    assert handled == ["first", "second"]


async def test_a_declaration_that_cannot_work_is_found_before_anything_is_connected() -> None:
    broker = FaultyBroker()

    @broker.subscriber("orders")
    async def handle(order: FaultyBroker) -> None: ...

    with pytest.raises(DeclarationError, match=r"'handle' .* can't get order from a body"):
        await broker.start()

    assert not broker.running


async def test_a_broker_that_cannot_connect_can_be_started_again() -> None:
    broker = FaultyBroker()
    broker.faulty.faults["connect"] = 2
    for start in (broker.start, broker.connect):
        with pytest.raises(ConnectionLost, match="nobody answers"):
            await start()
        assert not broker.running
    await broker.stop()

    async with broker:
        await broker.start()
        await broker.publish(1, "orders")


@pytest.mark.parametrize("failures", [1, 3, 4])
async def test_a_source_that_cannot_be_read_is_read_again(failures: int) -> None:
    broker, handled = FaultyBroker(), list[int]()
    broker.faulty.faults["receive"] = failures

    @broker.subscriber("orders", group="g")
    async def handle(order: int) -> None:
        handled.append(order)

    async with broker, broker.subscriber("by hand", persistent=False):
        await broker.start()
        await broker.publish(1, "orders")
        await sleep(60)

    assert handled == [1]


async def test_a_source_that_can_never_be_read_ends_the_broker() -> None:
    broker = FaultyBroker()
    broker.faulty.faults["receive"] = 1_000_000

    @broker.subscriber("orders")
    async def handle(order: int) -> None: ...

    await broker.start()
    await sleep(1000)

    assert not broker.running
    with pytest.raises(GaveUp):
        await broker.stop()


async def test_subscribers_of_one_name_and_address_live_side_by_side(
    broker: MemoryBroker,
) -> None:
    handled: list[str] = []

    def declare(group: str) -> None:
        @broker.subscriber("orders", group=group)
        async def handle(order: int) -> None:
            handled.append(group)

    declare("a")
    declare("b")
    async with broker:
        await broker.start()
        await broker.publish(1, "orders")
        await wait_all_tasks_blocked()
        tree = broker.tree()

    assert sorted(handled) == ["a", "b"]
    assert [each.id for each in tree.children[1].children] == [
        "handle(orders)",
        "handle(orders)-2",
    ]


async def test_the_tree_shows_source_workers_and_pump(broker: MemoryBroker) -> None:
    @broker.subscriber("orders", max_workers=2)
    async def handle(order: int) -> None: ...

    async with broker:
        await broker.start()
        tree = broker.tree()

    [connection, subscriptions] = tree.children
    [subscription] = subscriptions.children
    assert (tree.id, connection.id, subscription.id) == ("memory", "connection", "handle(orders)")
    assert [part.id for part in subscription.children] == ["source", "workers", "pump"]
    assert [part.id for part in subscription.children[1].children] == ["worker-0", "worker-1"]
    assert {part.state for part in subscription.children} == {"running"}


async def test_publishing_waits_while_a_group_is_full() -> None:
    broker = MemoryBroker(capacity=2)

    @broker.subscriber("orders", group="g")
    async def handle(order: int) -> None: ...

    await broker.start()
    await broker.stop()
    async with broker:
        await broker.publish(1, "orders")
        await broker.publish(2, "orders")
        with move_on_after(60) as waited:
            await broker.publish(3, "orders")

    assert waited.cancelled_caught
    assert broker.unread("orders") == 2


async def test_a_message_may_be_held_back(broker: MemoryBroker) -> None:
    times: list[float] = []

    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        times.append(current_time() - began)

    async with broker:
        await broker.start()
        began = current_time()
        await broker.publish(1, "orders", delay=60)
        await sleep(100)

    assert times == pytest.approx([60])


async def test_a_broker_is_ready_while_it_is_connected(broker: MemoryBroker) -> None:
    app = App(broker)
    ready = [(broker.ready, app.ready)]

    async with broker:
        ready.append((broker.ready, app.ready))
    ready.append((broker.ready, app.ready))

    assert ready == [(False, False), (True, True), (False, False)]


class Narrow(Templates):
    """Has one address."""

    def target(self, target: MemoryTarget, /) -> MemoryTarget:
        if target.address != "orders":
            raise DestinationError(f"there is no {target.address!r}")
        return target

    def source(self, source: MemorySource, /) -> Readership:
        self.target(MemoryTarget(source.address))
        return super().source(source)


class NarrowBroker(Broker[MemoryTarget], MemoryRouter):
    """Says of which kind it is only when it is made."""

    def __init__(self) -> None:
        kind = replace(MEMORY, routing=Narrow)
        super().__init__(Memory, BrokerOptions(), kind)


def test_the_kind_that_a_broker_is_made_with_refuses_what_is_declared_on_it() -> None:
    broker = NarrowBroker()
    broker.publisher("orders")

    with pytest.raises(DeclarationError, match="there is no 'nowhere'"):
        broker.publisher("nowhere")
    with pytest.raises(DeclarationError, match="there is no 'nowhere'"):
        broker.subscriber("nowhere")
    with pytest.raises(DeclarationError, match="there is no 'dead'"):
        broker.subscriber("orders", dead_letter="dead")
