"""Where rejected messages go, and that none is lost on the way."""

from __future__ import annotations

import logging

import pytest
from anyio import sleep, wait_all_tasks_blocked

from callboard import (
    AckPolicy,
    ActorCrash,
    App,
    Backoff,
    MemoryBroker,
    Message,
    RejectMessage,
    Retry,
)
from callboard.extending import BrokerKind
from callboard.handle._dead_letter import REASONS
from callboard.memory import MemoryMessage, MemoryTarget
from callboard_brokers import Features
from callboard_brokers.memory import Templates

from ..faulty import FaultyBroker

pytestmark = pytest.mark.anyio


async def reject(broker: MemoryBroker, body: object = 1, **options: object) -> None:
    """Publish a message to `orders`, whose subscriber is to reject it, and wait."""
    async with broker:
        await broker.start()
        await broker.publish(body, "orders", **options)  # type: ignore[arg-type] # as they are
        await sleep(10)


def letters(broker: MemoryBroker, address: str = "orders.dead") -> list[MemoryMessage]:
    """Return the list to which the dead letters at *address* are added."""
    received: list[MemoryMessage] = []

    @broker.subscriber(address)
    async def collect(message: MemoryMessage) -> None:
        received.append(message)

    return received


async def test_a_failed_message_goes_to_the_dead_letter_address_of_its_subscriber(
    broker: MemoryBroker,
) -> None:
    collected = letters(broker)

    @broker.subscriber("orders", group="g", dead_letter="orders.dead")
    async def handle(order: int) -> None:
        raise ValueError("no such customer")

    await reject(broker)

    assert len(collected) == 1
    assert broker.unread("orders") == 0
    assert not broker.dead_letters()


SORTED = BrokerKind(
    name="sorted",
    answer=MemoryTarget,
    dead_letter=lambda address, source: MemoryTarget(f"{address}.{source.group}"),
    routing=Templates,
)


class Sorted(MemoryBroker, kind=SORTED):
    """A broker whose dead letters go where their source says."""


async def test_a_dead_letter_goes_to_a_target_of_the_kind_of_its_source() -> None:
    broker = Sorted()
    of_one, of_other = letters(broker, "dead.one"), letters(broker, "dead.other")

    @broker.subscriber("orders", group="one", dead_letter="dead")
    @broker.subscriber("orders", group="other", dead_letter="dead")
    async def handle(order: int) -> None:
        raise RejectMessage

    await reject(broker, 7)

    assert [each.body for each in (*of_one, *of_other)] == [b"7", b"7"]


async def test_a_dead_letter_has_the_bytes_the_key_and_the_headers_of_the_message(
    broker: MemoryBroker,
) -> None:
    [collected] = [letters(broker)]

    @broker.subscriber("orders", dead_letter="orders.dead")
    async def handle(order: dict[str, int]) -> None:
        raise ValueError

    headers: dict[str, str | bytes] = {"tenant": "acme", "raw": b"\xff"}
    ids = {"message_id": "m", "correlation_id": "c"}
    await reject(broker, b'{"id":  1}', key="k", headers=headers, content_type="x/y+json", **ids)

    [letter] = collected
    assert (letter.body, letter.key) == (b'{"id":  1}', b"k")
    assert {name: letter.headers[name] for name in headers} == headers
    assert (letter.message_id, letter.correlation_id) == ("m", "c")
    assert letter.content_type == "x/y+json"


async def test_a_dead_letter_says_what_happened_where_and_how(broker: MemoryBroker) -> None:
    collected = letters(broker)

    @broker.subscriber("orders", group="g", dead_letter="orders.dead")
    async def handle(order: int) -> None:
        raise ValueError("no such customer")

    await reject(broker)

    headers = collected[0].headers
    assert headers["x-original-address"] == "orders"
    assert headers["x-subscriber"] == "handle(orders)"
    assert headers["x-deliveries"] == "1"
    assert headers["x-exception-type"] == "ValueError"
    assert headers["x-exception-message"] == "no such customer"
    assert 'raise ValueError("no such customer")' in str(headers["x-exception-stacktrace"])
    assert headers["x-fingerprint"] == (
        f"ValueError@{__name__}:test_a_dead_letter_says_what_happened_where_and_how.<locals>.handle"
    )
    assert (headers["x-attempts"], headers["x-crash-count"]) == ("1", "0")
    assert headers["x-first-failure-ts"] == headers["x-last-failure-ts"]
    assert headers["x-group"] == "g"
    assert headers.keys() >= {"x-host", "x-last-failure-ts", "x-dlq-id"}
    assert headers.keys() <= REASONS


async def test_the_reason_of_a_rejection_stands_in_the_dead_letter(broker: MemoryBroker) -> None:
    collected = letters(broker)

    @broker.subscriber("orders", dead_letter="orders.dead")
    async def handle(order: int) -> None:
        raise RejectMessage("sold out")

    await reject(broker)

    headers = collected[0].headers
    assert (headers["x-exception-type"], headers["x-exception-message"]) == (
        "RejectMessage",
        "sold out",
    )


async def test_a_long_message_and_a_long_traceback_are_cut(broker: MemoryBroker) -> None:
    collected = letters(broker)

    @broker.subscriber("orders", dead_letter="orders.dead")
    async def handle(order: int) -> None:
        raise ValueError("x" * 100_000)

    await reject(broker)

    headers = collected[0].headers
    assert 1000 < len(str(headers["x-exception-message"])) <= 1024
    assert 8000 < len(str(headers["x-exception-stacktrace"])) <= 8192


async def test_the_same_message_has_the_same_id_for_who_drops_duplicates(
    broker: MemoryBroker,
) -> None:
    collected = letters(broker)

    @broker.subscriber("orders", dead_letter="orders.dead")
    async def handle(order: int) -> None:
        raise ValueError

    async with broker:
        await broker.start()
        for body, message_id in [(1, "a"), (1, "a"), (2, "a"), (1, "b")]:
            await broker.publish(body, "orders", message_id=message_id)
        await wait_all_tasks_blocked()

    first, again, *others = [letter.headers["x-dlq-id"] for letter in collected]
    assert first == again
    assert len({first, *others}) == 3


async def test_a_template_on_the_broker_serves_every_subscriber_without_its_own() -> None:
    broker = MemoryBroker(dead_letter="dead.{address}")
    templated = letters(broker, "dead.orders.{id}")
    own = letters(broker, "own")

    @broker.subscriber("orders.{id}")
    async def inheriting(order: int) -> None:
        raise ValueError

    @broker.subscriber("orders.{id}", group="own", dead_letter="own")
    async def with_its_own(order: int) -> None:
        raise ValueError

    @broker.subscriber("orders.{id}", group="native", dead_letter=None)
    async def without(order: int) -> None:
        raise ValueError

    async with broker:
        await broker.start()
        await broker.publish(1, "orders.7")
        await wait_all_tasks_blocked()

    assert [letter.address for letter in templated] == ["dead.orders.7"]
    assert [letter.address for letter in own] == ["own"]
    assert [letter.group for letter in broker.dead_letters()] == ["native"]


async def test_without_an_address_the_broker_keeps_the_message(broker: MemoryBroker) -> None:
    @broker.subscriber("orders", group="g")
    async def handle(order: int) -> None:
        raise ValueError

    await reject(broker)

    [letter] = broker.dead_letters("orders")
    assert (letter.message.body, letter.group, letter.reason) == (b"1", "g", "rejected")
    assert not broker.dead_letters("others")


async def test_a_message_rejected_by_hand_goes_there_too(broker: MemoryBroker) -> None:
    collected = letters(broker)
    processed: list[bool] = []

    @broker.subscriber("orders", dead_letter="orders.dead", ack_policy=AckPolicy.MANUAL)
    async def handle(message: Message) -> None:
        await message.reject()
        processed.append(message.processed)
        await message.reject()

    await reject(broker)

    assert processed == [True]
    [letter] = collected
    assert letter.headers["x-exception-message"] == "rejected by the handler"


async def test_a_dead_letter_that_cannot_be_published_is_tried_until_it_can(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = FaultyBroker()
    broker.faulty.faults["orders.dead"] = 5
    collected = letters(broker)

    @broker.subscriber("orders", group="g", dead_letter="orders.dead")
    async def handle(order: int) -> None:
        raise ValueError

    await reject(broker)

    assert len(collected) == 1
    assert broker.faulty.attempts["orders.dead"] == 6
    assert "the dead letter of message" in caplog.text
    assert "trying again: PublishFailed: 'orders.dead' takes nothing" in caplog.text


async def test_a_worker_waits_with_its_dead_letter_and_the_intake_waits_too() -> None:
    broker = FaultyBroker(graceful_timeout=1)
    broker.faulty.faults["orders.dead"] = 1_000_000

    @broker.subscriber("orders", group="g", dead_letter="orders.dead", mailbox=1)
    async def handle(order: int) -> None:
        raise ValueError

    async with broker:
        await broker.start()
        for n in range(10):
            await broker.publish(n, "orders")
        await sleep(1)
        assert broker.unread("orders") == 8

    assert broker.unread("orders") == 10


async def test_what_is_rejected_at_the_dead_letter_address_stays_with_the_broker() -> None:
    broker = MemoryBroker(dead_letter="dead")
    calls: list[int] = []

    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        raise ValueError

    @broker.subscriber("dead")
    async def inspect(order: int) -> None:
        calls.append(order)
        raise ValueError

    await reject(broker)

    assert calls == [1]
    assert len(broker.dead_letters("dead")) == 1


@pytest.mark.parametrize("warned", [True, False])
async def test_subscribers_whose_rejected_messages_have_nowhere_to_go_are_named_in_one_line(
    caplog: pytest.LogCaptureFixture, warned: bool
) -> None:
    broker = FaultyBroker(features=Features(), dead_letter=None if warned else "dead")

    @broker.subscriber("orders")
    async def handle(order: int) -> None: ...

    @broker.subscriber("invoices")
    async def send(invoice: int) -> None: ...

    with caplog.at_level(logging.WARNING):
        await broker.start()
        await broker.stop()

    expected = (
        "what is rejected by handle(orders), send(invoices) is logged and skipped, since memory"
        " keeps no dead letters of them: give them or the broker a dead_letter= address"
    )
    assert [record.getMessage() for record in caplog.records] == ([expected] if warned else [])


async def test_a_dead_letter_says_when_it_failed_first_and_of_which_version(
    broker: MemoryBroker,
) -> None:
    collected = letters(broker)
    backoff = Backoff(30, 30, jitter="none", first=30)

    @broker.subscriber(
        "orders", retry=Retry(attempts=2, backoff=backoff), dead_letter="orders.dead"
    )
    async def handle(order: int) -> None:
        raise ValueError

    async with App(broker, version="2.1"):
        await broker.publish(1, "orders", key="k")
        await sleep(60)

    headers = collected[0].headers
    assert headers["x-app-version"] == "2.1"
    # The clock of the loop has jumped, and that of the wall has not.
    assert float(str(headers["x-last-failure-ts"])) - float(str(headers["x-first-failure-ts"])) > 29


async def test_a_dead_letter_says_how_often_its_actor_has_crashed(broker: MemoryBroker) -> None:
    collected = letters(broker)

    @broker.subscriber("orders", dead_letter="orders.dead")
    async def handle(order: int) -> None:
        raise ActorCrash("it can't go on")

    await reject(broker)

    assert collected[0].headers["x-crash-count"] == "2"


async def test_headers_that_are_called_as_reasons_are_kept_under_other_names(
    broker: MemoryBroker,
) -> None:
    collected = letters(broker)

    @broker.subscriber("orders", group="g", dead_letter="orders.dead")
    async def handle(order: int) -> None:
        raise ValueError

    await reject(broker, headers={"x-host": "mine", "x-attempts": "7", "tenant": "acme"})

    headers = collected[0].headers
    assert headers["x-attempts"] == "1"
    assert (headers["x-kept-x-host"], headers["x-kept-x-attempts"]) == ("mine", "7")
    assert headers["tenant"] == "acme"
