"""What a user says of supervision at the decorator, and what an exception then means."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Literal

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
    Event,
    ForeignCancellation,
    GaveUp,
    MemoryBroker,
    StopActor,
    Supervision,
)
from callboard_actors import Node, SpecError
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
    async def collect(order: str) -> None:
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


class Rotten:
    """Crashes on whatever it gets, until it is cured."""

    cured = False

    async def receive(self, order: str) -> None:
        if not self.cured:
            raise ActorCrash("rotten")


def quick(on_give_up: Literal["wait", "stop"] = "wait") -> Supervision:
    return Supervision(intensity=1, period=600, backoff=AT_ONCE, on_give_up=on_give_up)


def names(broker: MemoryBroker) -> list[str]:
    """Take down the names of what becomes of the subscriptions of *broker*."""
    told: list[str] = []
    broker.events.subscribe(
        lambda event: told.append(event.name) if event.name.startswith("subscription.") else None
    )
    return told


async def spoil(broker: MemoryBroker, address: str) -> None:
    """Publish so much that a subscriber that crashes on everything gives up."""
    for n in range(12):
        await broker.publish(f"{address} {n}", address)
    await anyio.sleep(5)


async def test_a_subscription_that_gives_up_is_down_and_its_siblings_go_on(
    broker: MemoryBroker,
) -> None:
    starts: list[str] = []

    @broker.subscriber("good", group="g")
    class Good:
        async def on_start(self) -> None:
            starts.append("good")

        async def receive(self, order: str) -> None:
            starts.append(order)

    broker.subscriber("bad", group="h", supervision=quick())(type("Bad", (Rotten,), {}))
    told = names(broker)
    async with broker:
        await broker.start()
        await spoil(broker, "bad")
        await broker.publish("order", "good")
        await idle()
        good, bad = broker.tree().children[1].children

    assert starts == ["good", "order"]
    assert (good.state, good.restarts) == ("running", 0)
    assert (bad.state, bad.last_exit) == ("restarting", "gave_up")
    assert told == ["subscription.down"]


async def test_what_a_subscription_held_is_released_when_it_is_down(broker: MemoryBroker) -> None:
    @broker.subscriber("good")
    async def handle(order: str) -> None: ...

    broker.subscriber("bad", group="h", supervision=quick())(type("Bad", (Rotten,), {}))
    async with broker:
        await broker.start()
        await spoil(broker, "bad")

        assert broker.unread("bad") + len(broker.dead_letters()) == 12
        assert broker.unread("bad") > 0


async def test_a_subscription_that_is_down_is_tried_again_after_ever_longer_pauses(
    broker: MemoryBroker,
) -> None:
    downs: list[tuple[float, object]] = []

    @broker.subscriber("good")
    async def handle(order: str) -> None: ...

    @broker.subscriber("bad", supervision=quick())
    class Bad:
        lives = 0

        async def on_start(self) -> None:
            Bad.lives += 1
            if Bad.lives > 1:
                raise LookupError("no database")

        async def receive(self, order: str) -> None:
            raise ActorCrash

    def hear(event: Event) -> None:
        if event.name == "subscription.down":
            downs.append((event.at, event.attributes["delay"]))

    broker.events.subscribe(hear)
    async with broker:
        await broker.start()
        await broker.publish("order", "bad")
        await anyio.sleep(2000)

    pauses = [30, 60, 120, 240, 480, 600]
    assert [delay for _, delay in downs][:6] == pauses
    times = [at for at, _ in downs]
    assert [later - earlier for earlier, later in pairwise(times)][:6] == pytest.approx(pauses)


async def test_a_subscription_that_was_down_goes_on_where_it_was(
    broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    @broker.subscriber("good")
    async def handle(order: str) -> None: ...

    bad = type("Bad", (Rotten,), {})
    broker.subscriber("bad", group="h", supervision=quick())(bad)
    told = names(broker)
    async with broker:
        await broker.start()
        await spoil(broker, "bad")
        bad.cured = True  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue] - of a class made here
        await anyio.sleep(31)

        assert broker.unread("bad") == 0
    assert told == ["subscription.down", "subscription.up"]
    assert "Bad(bad) is down; it is tried again in 30.0 s: " in caplog.text
    assert "Bad(bad) is up again" in caplog.text


async def test_an_application_may_be_stopped_by_a_subscription_that_gives_up(
    broker: MemoryBroker,
) -> None:
    @broker.subscriber("good")
    async def handle(order: str) -> None: ...

    broker.subscriber("bad", supervision=quick("stop"))(type("Bad", (Rotten,), {}))
    app = App(broker)

    @app.after_startup
    async def fill() -> None:
        await spoil(broker, "bad")

    with pytest.raises(GaveUp):
        await app.run()


async def test_an_application_that_has_lost_all_its_subscriptions_ends(
    broker: MemoryBroker,
) -> None:
    other = MemoryBroker()
    broker.subscriber("bad", supervision=quick())(type("Bad", (Rotten,), {}))
    other.subscriber("worse", supervision=quick())(type("Worse", (Rotten,), {}))
    app = App(broker, other)
    ready: list[bool] = []

    @app.after_startup
    async def fill() -> None:
        await spoil(broker, "bad")
        ready.append(subscription(broker).state == "restarting")
        await spoil(other, "worse")

    with pytest.raises(GaveUp):
        await app.run()
    assert ready == [True]


def test_what_is_to_happen_when_a_subscription_gives_up_is_checked() -> None:
    with pytest.raises(SpecError, match="on_give_up='panic'; choose of wait, stop"):
        Supervision(on_give_up="panic")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - on purpose
