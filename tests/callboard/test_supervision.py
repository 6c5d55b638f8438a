"""What a user says of supervision at the decorator, and what an exception then means."""

from __future__ import annotations

import asyncio

import anyio
import pytest
from anyio import wait_all_tasks_blocked as idle

from callboard import (
    AckPolicy,
    ActorCrash,
    App,
    Backoff,
    Decision,
    DeclarationError,
    Escalate,
    ForeignCancellation,
    GaveUp,
    MemoryBroker,
    StopActor,
    Supervision,
)
from callboard_actors import Node
from callboard_actors.testing import virtual_backend

pytestmark = pytest.mark.anyio

AT_ONCE = Backoff(min=0, max=0)


def deciding(decision: Decision) -> Supervision:
    return Supervision(decide=[(ValueError, decision)], backoff=AT_ONCE)


def subscription(broker: MemoryBroker) -> Node:
    """Return the only subscription of *broker*."""
    (node,) = broker.tree().children[1].children
    return node


async def test_an_exception_that_is_mapped_to_restart_costs_the_state(broker: MemoryBroker) -> None:
    lives: list[list[str]] = []

    @broker.subscriber("orders", supervision=deciding(Decision.RESTART))
    class Clerk:
        def __init__(self) -> None:
            self.seen: list[str] = []
            lives.append(self.seen)

        async def receive(self, order: str) -> None:
            self.seen.append(order)
            if order == "bad" and len(lives) == 1:
                raise ValueError

    async with broker:
        await broker.start()
        for order in ("good", "bad", "next"):
            await broker.publish(order, "orders")
        await idle()

    assert lives == [["good", "bad"], ["bad", "next"]]


async def test_what_is_not_mapped_stays_a_failure_of_the_message(broker: MemoryBroker) -> None:
    lives: list[object] = []

    @broker.subscriber("orders", supervision=deciding(Decision.ESCALATE))
    class Clerk:
        def __init__(self) -> None:
            lives.append(self)

        async def receive(self, order: str) -> None:
            raise LookupError

    async with broker:
        await broker.start()
        await broker.publish("order", "orders")
        await idle()

        assert len(lives) == 1
        assert [letter.reason for letter in broker.dead_letters()] != []


async def test_a_crash_that_is_mapped_to_resume_keeps_the_state_and_fails_the_message(
    broker: MemoryBroker,
) -> None:
    seen: list[str] = []
    resume = Supervision(decide=[(ActorCrash, Decision.RESUME)])

    @broker.subscriber("orders", supervision=resume, dead_letter="dead")
    class Clerk:
        async def receive(self, order: str) -> None:
            seen.append(order)
            if order == "bad":
                raise ActorCrash

    letters: list[str] = []

    @broker.subscriber("dead")
    async def bury(order: str) -> None:
        letters.append(order)

    async with broker:
        await broker.start()
        for order in ("bad", "next"):
            await broker.publish(order, "orders")
        await idle()

    assert seen == ["bad", "next"]
    assert letters == ["bad"]


@pytest.mark.parametrize("workers", [1, 3])
async def test_a_worker_that_stops_ends_its_subscription_and_releases_what_it_had(
    broker: MemoryBroker, workers: int
) -> None:
    @broker.subscriber(
        "orders", group="clerks", max_workers=workers, supervision=deciding(Decision.STOP)
    )
    async def handle(order: str) -> None:
        raise ValueError

    @broker.subscriber("parcels", group="packers", ack_policy=AckPolicy.ACK)
    async def pack(parcel: str) -> None: ...

    async with broker:
        await broker.start()
        for order in ("first", "second", "third"):
            await broker.publish(order, "orders")
        await idle()

        states = [node.state for node in broker.tree().children[1].children]
        assert states == ["stopped", "running"]
        assert broker.unread("orders") == 3
        assert broker.dead_letters() == []


async def test_a_handler_may_stop_its_subscription_by_itself(broker: MemoryBroker) -> None:
    @broker.subscriber("orders", group="clerks")
    async def handle(order: str) -> None:
        raise StopActor("the shop is closed")

    async with broker:
        await broker.start()
        await broker.publish("order", "orders")
        await idle()

        assert subscription(broker).state == "stopped"
        assert subscription(broker).last_exit == "normal"
        assert broker.unread("orders") == 1


async def test_an_escalation_replaces_the_workers_at_once(broker: MemoryBroker) -> None:
    tries: list[str] = []

    @broker.subscriber("orders", ack_policy=AckPolicy.ACK)
    async def handle(order: str) -> None:
        tries.append(order)
        if len(tries) == 1:
            raise Escalate

    async with broker:
        await broker.start()
        await broker.publish("order", "orders")
        await idle()

        (workers,) = [node for node in subscription(broker).children if node.id == "workers"]
        assert (workers.restarts, workers.last_exit) == (1, "gave_up")
        assert tries == ["order", "order"]


async def test_the_broker_decides_for_subscribers_that_say_nothing() -> None:
    broker = MemoryBroker(supervision=deciding(Decision.STOP))

    @broker.subscriber("orders")
    async def handle(order: str) -> None:
        raise ValueError

    async with broker:
        await broker.start()
        await broker.publish("order", "orders")
        await idle()
        assert subscription(broker).state == "stopped"


async def test_a_hook_of_an_actor_is_decided_upon_too(broker: MemoryBroker) -> None:
    starts: list[float] = []

    @broker.subscriber("orders", supervision=deciding(Decision.STOP))
    class Clerk:
        async def on_start(self) -> None:
            starts.append(anyio.current_time())
            if len(starts) > 1:
                raise ValueError("no shelf")

        async def receive(self, order: str) -> None:
            raise ActorCrash

    async with broker:
        await broker.start()
        await broker.publish("order", "orders")
        await idle()
        assert len(starts) == 2
        assert subscription(broker).state == "stopped"


@pytest.mark.parametrize(
    "anyio_backend", [virtual_backend("asyncio")], ids=["asyncio"], indirect=False
)
async def test_a_foreign_cancellation_may_be_a_failure_of_the_message_alone(
    broker: MemoryBroker,
) -> None:
    lives: list[object] = []
    resume = Supervision(decide=[(ForeignCancellation, Decision.RESUME)])

    @broker.subscriber("orders", supervision=resume)
    class Clerk:
        def __init__(self) -> None:
            lives.append(self)

        async def receive(self, order: str) -> None:
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            await future

    async with broker:
        await broker.start()
        await broker.publish("order", "orders")
        await idle()
        assert len(lives) == 1
        assert len(broker.dead_letters()) == 1


async def test_what_escalates_again_and_again_ends_the_broker(broker: MemoryBroker) -> None:
    @broker.subscriber("orders")
    class Doomed:
        lives = 0

        async def on_start(self) -> None:
            Doomed.lives += 1
            if Doomed.lives > 1:
                raise Escalate("no shelf")

        async def receive(self, order: str) -> None:
            raise Escalate("corrupt")

    async def run() -> None:
        async with broker:
            await broker.start()
            await broker.publish("order", "orders")
            await idle()

    with pytest.raises(GaveUp):
        await run()


async def test_the_application_decides_for_brokers_and_subscribers_that_say_nothing() -> None:
    silent, outspoken = MemoryBroker(), MemoryBroker(supervision=deciding(Decision.RESUME))
    app = App(silent, outspoken, supervision=deciding(Decision.STOP))

    for broker in (silent, outspoken):

        @broker.subscriber("orders", ack_policy=AckPolicy.ACK)
        async def handle(order: str) -> None:
            raise ValueError

    await app.start()
    try:
        for broker in (silent, outspoken):
            await broker.publish("order", "orders")
        await idle()

        assert [subscription(broker).state for broker in (silent, outspoken)] == [
            "stopped",
            "running",
        ]
    finally:
        await app.stop()


def test_the_supervision_of_an_application_is_checked() -> None:
    with pytest.raises(DeclarationError, match="supervision=5 of an application"):
        App(supervision=5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - on purpose
