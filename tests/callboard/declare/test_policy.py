"""How a message is settled: the whole table, and what holds for all of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from anyio import current_time, sleep, sleep_forever, wait_all_tasks_blocked

from callboard import (
    AckMessage,
    AckPolicy,
    Header,
    MemoryBroker,
    NackMessage,
    RejectMessage,
    SkipMessage,
    StopApplication,
)
from callboard.memory import MemoryMessage

pytestmark = pytest.mark.anyio

Do = Callable[[MemoryMessage], Awaitable[None]]


async def ok(message: MemoryMessage) -> None: ...


async def fail(message: MemoryMessage) -> None:
    raise ValueError("failed")


async def raise_ack(message: MemoryMessage) -> None:
    raise AckMessage


async def raise_nack(message: MemoryMessage) -> None:
    raise NackMessage


async def raise_reject(message: MemoryMessage) -> None:
    raise RejectMessage("hopeless")


async def raise_skip(message: MemoryMessage) -> None:
    raise SkipMessage


async def raise_stop(message: MemoryMessage) -> None:
    raise StopApplication


async def ack(message: MemoryMessage) -> None:
    await message.ack()


async def nack(message: MemoryMessage) -> None:
    await message.nack()


async def reject(message: MemoryMessage) -> None:
    await message.reject()


# What becomes of a message for:    ACK_FIRST ACK    REJECT_…  NACK_…   MANUAL
TABLE: dict[Do, tuple[str, str, str, str, str]] = {
    ok: ("ack", "ack", "ack", "ack", "left"),
    fail: ("ack", "ack", "reject", "nack", "left"),
    raise_ack: ("ack", "ack", "ack", "ack", "ack"),
    raise_nack: ("ack", "nack", "nack", "nack", "nack"),
    raise_reject: ("ack", "reject", "reject", "reject", "reject"),
    raise_skip: ("ack", "left", "left", "left", "left"),
    raise_stop: ("ack", "ack", "ack", "ack", "ack"),
    ack: ("ack", "ack", "ack", "ack", "ack"),
    nack: ("ack", "nack", "nack", "nack", "nack"),
    reject: ("ack", "reject", "reject", "reject", "reject"),
}
UNDECODABLE = ("ack", "ack", "reject", "reject", "left")
CASES = [
    pytest.param(do, policy, expected, id=f"{policy.name}-{do.__name__}")
    for do, row in TABLE.items()
    for policy, expected in zip(AckPolicy, row, strict=True)
]


async def fate(broker: MemoryBroker, deliveries: list[int]) -> str:
    """Run *broker* with one message in `orders` until nothing more happens; say what became of it."""
    async with broker:
        await broker.start()
        await broker.publish(1, "orders")
        await sleep(1)
        redelivered = len(deliveries) > 1
    if redelivered:
        return "nack"
    if broker.dead_letters("orders"):
        return "reject"
    return "left" if broker.unread("orders") else "ack"


@pytest.mark.parametrize(("do", "policy", "expected"), CASES)
async def test_the_policy_and_the_handler_decide_how_a_message_is_settled(
    broker: MemoryBroker, do: Do, policy: AckPolicy, expected: str
) -> None:
    deliveries: list[int] = []

    @broker.subscriber("orders", group="g", ack_policy=policy)
    async def handle(order: int, message: MemoryMessage) -> None:
        deliveries.append(message.raw_message.deliveries)
        if len(deliveries) > 1:
            raise AckMessage
        await do(message)

    assert await fate(broker, deliveries) == expected


@pytest.mark.parametrize(
    ("policy", "expected"), [*zip(AckPolicy, UNDECODABLE, strict=True)], ids=lambda it: str(it)
)
async def test_an_invalid_body_is_never_delivered_again(
    broker: MemoryBroker, policy: AckPolicy, expected: str
) -> None:
    @broker.subscriber("orders", group="g", ack_policy=policy)
    async def handle(order: list[int]) -> None:
        pytest.fail("is no list")

    assert await fate(broker, []) == expected


async def test_a_header_that_is_missing_is_missing_the_next_time_as_well(
    broker: MemoryBroker,
) -> None:
    @broker.subscriber("orders", group="g", ack_policy=AckPolicy.NACK_ON_ERROR)
    async def handle(tenant: str = Header()) -> None:
        pytest.fail("has no tenant")

    assert await fate(broker, []) == "reject"


async def test_a_brokers_policy_is_that_of_its_subscribers_unless_they_have_one() -> None:
    broker = MemoryBroker(ack_policy=AckPolicy.ACK)

    @broker.subscriber("orders")
    async def inheriting(order: int) -> None:
        raise ValueError

    @broker.subscriber("orders", group="own", ack_policy=AckPolicy.REJECT_ON_ERROR)
    async def own(order: int) -> None:
        raise ValueError

    async with broker:
        await broker.start()
        await broker.publish(1, "orders")
        await wait_all_tasks_blocked()

    assert [letter.group for letter in broker.dead_letters()] == ["own"]


async def test_the_first_settlement_wins(broker: MemoryBroker) -> None:
    deliveries: list[int] = []

    @broker.subscriber("orders", group="g")
    async def handle(message: MemoryMessage) -> None:
        deliveries.append(1)
        await message.ack()
        await message.nack()
        await message.reject()
        raise RejectMessage

    assert await fate(broker, deliveries) == "ack"


async def test_a_message_says_whether_it_is_settled(broker: MemoryBroker) -> None:
    processed: list[bool] = []

    @broker.subscriber("orders")
    async def handle(message: MemoryMessage) -> None:
        processed.append(message.processed)
        await message.ack()
        processed.append(message.processed)

    async with broker:
        await broker.start()
        await broker.publish(1, "orders")
        await wait_all_tasks_blocked()

    assert processed == [False, True]


@pytest.mark.parametrize("policy", AckPolicy)
@pytest.mark.parametrize("do", [ok, ack, nack, reject])
async def test_a_policy_that_comes_too_late_is_no_second_settlement(
    broker: MemoryBroker, do: Do, policy: AckPolicy
) -> None:
    events: list[str] = []
    broker.events.subscribe(lambda event: events.append(event.name))

    @broker.subscriber("orders", ack_policy=policy)
    async def handle(message: MemoryMessage) -> None:
        if message.raw_message.deliveries == 1:
            await do(message)

    async with broker:
        await broker.start()
        await broker.publish(1, "orders")
        await sleep(1)

    assert "settle.double" not in events


async def test_ack_first_acknowledges_before_the_handler_begins(broker: MemoryBroker) -> None:
    processed: list[bool] = []

    @broker.subscriber("orders", group="g", ack_policy=AckPolicy.ACK_FIRST)
    async def handle(message: MemoryMessage) -> None:
        processed.append(message.processed)
        raise ValueError

    assert await fate(broker, []) == "ack"
    assert processed == [True]


async def test_a_nacked_message_comes_again_after_growing_waits(broker: MemoryBroker) -> None:
    times: list[float] = []

    @broker.subscriber("orders", ack_policy=AckPolicy.NACK_ON_ERROR)
    async def handle(order: int) -> None:
        times.append(current_time() - began)
        if len(times) < 5:
            raise ValueError

    async with broker:
        await broker.start()
        began = current_time()
        await broker.publish(1, "orders")
        await sleep(60)

    assert times == pytest.approx([0, 0.1, 0.3, 0.7, 1.5])


@pytest.mark.parametrize("raises", [True, False])
async def test_a_nack_may_say_how_long_to_wait(broker: MemoryBroker, raises: bool) -> None:
    times: list[float] = []

    @broker.subscriber("orders")
    async def handle(message: MemoryMessage) -> None:
        times.append(current_time() - began)
        if len(times) > 1:
            return
        if raises:
            raise NackMessage(delay=5)
        await message.nack(delay=5)

    async with broker:
        await broker.start()
        began = current_time()
        await broker.publish(1, "orders")
        await sleep(60)

    assert times == pytest.approx([0, 5])


async def test_a_nacked_message_holds_nobody_back(broker: MemoryBroker) -> None:
    handled: list[int] = []

    @broker.subscriber("orders", ack_policy=AckPolicy.NACK_ON_ERROR)
    async def handle(order: int, message: MemoryMessage) -> None:
        if order == 0 and message.raw_message.deliveries == 1:
            raise ValueError
        handled.append(order)

    async with broker:
        await broker.start()
        for n in range(3):
            await broker.publish(n, "orders")
        await sleep(1)

    assert handled == [1, 2, 0]


@pytest.mark.parametrize("policy", [policy for policy in AckPolicy if policy.name != "ACK_FIRST"])
async def test_a_cancellation_settles_nothing(policy: AckPolicy) -> None:
    broker = MemoryBroker(graceful_timeout=1)

    @broker.subscriber("orders", group="g", ack_policy=policy)
    async def handle(order: int) -> None:
        await sleep_forever()

    async with broker:
        await broker.start()
        await broker.publish(1, "orders")
        await wait_all_tasks_blocked()

    assert broker.unread("orders") == 1
    assert not broker.dead_letters()


async def test_what_a_handler_raises_on_purpose_is_not_logged_as_an_error(
    broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        raise (AckMessage, NackMessage(60), RejectMessage("no"), SkipMessage)[order]

    async with broker:
        await broker.start()
        for n in range(4):
            await broker.publish(n, "orders")
        await wait_all_tasks_blocked()

    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_failure_is_logged_once_with_its_traceback_and_what_follows(
    broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        raise ValueError("no such customer")

    async with broker:
        await broker.start()
        await broker.publish(1, "orders", message_id="m1")
        await wait_all_tasks_blocked()

    [record] = caplog.records
    assert record.getMessage() == (
        "handle(orders) failed on message m1 of 'orders'; it is rejected:"
        " ValueError: no such customer"
    )
    assert record.exc_info is not None
    assert "raise ValueError" in caplog.text
