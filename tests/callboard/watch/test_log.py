"""What the log says about messages and about supervision."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, Final

import pytest
from anyio import sleep, wait_all_tasks_blocked
from pydantic import BaseModel

import callboard_actors.events
import callboard_brokers.events
from callboard import (
    AckPolicy,
    ActorCrash,
    Event,
    MemoryBroker,
    NackMessage,
    Quarantined,
    RejectMessage,
    Supervision,
    TestBroker,
)
from callboard.events import ServerLost
from callboard.watch._log import LINES, Log

from ..faulty import FaultyBroker

pytestmark = pytest.mark.anyio


class Order(BaseModel):
    id: int


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "callboard")
    return caplog


async def deliver(broker: MemoryBroker, body: object) -> None:
    """Publish a message with an id to `orders`, and wait until it has been handled."""
    async with broker:
        await broker.start()
        await broker.publish(body, "orders", message_id="m1")
        await wait_all_tasks_blocked()


@pytest.mark.parametrize(
    ("policy", "then"),
    [
        (AckPolicy.ACK, "it is acknowledged all the same"),
        (AckPolicy.NACK_ON_ERROR, "it will be delivered again"),
        (AckPolicy.REJECT_ON_ERROR, "it is rejected"),
        (AckPolicy.MANUAL, "it stays unsettled"),
    ],
)
async def test_a_failure_is_an_error_with_its_traceback_and_what_follows(
    broker: MemoryBroker, log: pytest.LogCaptureFixture, policy: AckPolicy, then: str
) -> None:
    @broker.subscriber("orders", ack_policy=policy)
    async def handle(order: int) -> None:
        raise LookupError("no stock")

    await deliver(broker, 1)

    record = log.records[0]
    assert record.levelno == logging.ERROR
    assert record.name == "callboard.memory"
    assert record.getMessage() == (
        f"handle(orders) failed on message m1 of 'orders'; {then}: LookupError: no stock"
    )
    assert record.exc_info is not None


async def test_a_body_that_does_not_fit_is_told_without_a_traceback(
    broker: MemoryBroker, log: pytest.LogCaptureFixture
) -> None:
    @broker.subscriber("orders")
    async def handle(order: Order) -> None: ...

    await deliver(broker, {"id": "x"})

    (record,) = log.records
    assert "ValidationError" in record.getMessage()
    assert record.exc_info is None


@pytest.mark.parametrize("signal", [NackMessage(60), RejectMessage("stale")])
async def test_what_is_raised_on_purpose_is_no_error(
    broker: MemoryBroker, log: pytest.LogCaptureFixture, signal: Exception
) -> None:
    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        raise signal

    await deliver(broker, 1)

    assert log.records == []


async def test_what_a_handler_decides_is_not_called_a_failure(
    broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "callboard")

    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        raise RejectMessage("stale")

    await deliver(broker, 1)

    assert (
        "handle(orders) has decided about message m1 of 'orders': RejectMessage: stale"
        in caplog.messages
    )


async def test_a_crash_is_told_once_and_not_at_every_level_of_the_tree(
    broker: MemoryBroker, log: pytest.LogCaptureFixture
) -> None:
    @broker.subscriber("orders")
    class Broken:
        async def on_start(self) -> None:
            raise LookupError("no shelf")

        async def receive(self, order: int) -> None: ...

    with pytest.raises(LookupError):
        await broker.start()
    await broker.stop()

    (record,) = log.records
    assert record.getMessage().startswith(
        "memory/subscriptions/Broken(orders)/workers/worker-0 crashed:\n  Traceback"
    )
    assert record.getMessage().endswith("LookupError: no shelf")


async def test_crash_restart_and_quarantine_are_told(
    broker: MemoryBroker, log: pytest.LogCaptureFixture
) -> None:
    @broker.subscriber("orders")
    class Clerk:
        async def receive(self, order: int) -> None:
            raise ActorCrash("corrupt")

    async with TestBroker(broker):
        with pytest.raises(Quarantined):
            await broker.publish(1, "orders", message_id="m1")

    told = [(record.levelname, record.getMessage().partition(":")[0]) for record in log.records]
    worker = "test/memory-1/subscriptions/Clerk(orders)/workers/worker-0"
    assert told[:2] == [
        ("ERROR", f"{worker} crashed"),
        ("WARNING", f"{worker} starts again in 0.0 s, try 1"),
    ]
    assert told[-1] == (
        "ERROR",
        "Clerk(orders) crashed twice on message m1 of 'orders'; it is quarantined",
    )


async def test_giving_up_is_an_error(broker: MemoryBroker, log: pytest.LogCaptureFixture) -> None:
    @broker.subscriber("orders", supervision=Supervision(intensity=0))
    class Clerk:
        async def receive(self, order: int) -> None:
            raise ActorCrash("corrupt")

    await deliver(broker, 1)

    errors = [each.getMessage() for each in log.records if each.levelno == logging.ERROR]
    assert (
        "memory/subscriptions/Clerk(orders)/workers gives up on worker-0:"
        " more than 0 restarts within 30.0 s"
    ) in errors


async def test_outputs_that_cannot_be_published_are_told_and_are_an_event(
    broker: MemoryBroker, log: pytest.LogCaptureFixture
) -> None:
    events: list[Event] = []
    other = MemoryBroker()  # never started
    broker.events.subscribe(events.append)

    @broker.subscriber("orders")
    @other.publisher("invoices")
    async def handle(order: int) -> int:
        return order

    await deliver(broker, 1)

    assert (
        log.records[0]
        .getMessage()
        .startswith(
            "the outputs of message m1 of 'orders' can't be published; it will be delivered again: "
        )
    )
    assert "message.unpublished" in [event.name for event in events]


async def test_a_dead_letter_that_cannot_be_published_is_told(
    log: pytest.LogCaptureFixture,
) -> None:
    broker = FaultyBroker(dead_letter="dead")
    broker.faulty.faults["dead"] = 1

    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        raise RejectMessage("stale")

    await deliver(broker, 1)

    (record,) = log.records
    assert record.getMessage() == (
        "the dead letter of message m1 of 'orders' can't be published; trying again:"
        " PublishFailed: 'dead' takes nothing at the moment"
    )


async def test_the_lines_of_a_broker_go_to_the_logger_that_it_was_given(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = MemoryBroker(logger=logging.getLogger("shop"))

    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        raise LookupError("no stock")

    await deliver(broker, 1)

    assert [record.name for record in caplog.records] == ["shop"]


NASTY = "id\x1b]0;title\x07\x1b[2J\r\nCRITICAL root: logged in"


def written(log: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines as a handler writes them, without the first letters of each record."""
    formatter = logging.Formatter("%(message)s")
    return [line for each in log.records for line in formatter.format(each).split("\n")]


async def test_what_a_message_or_an_exception_says_can_forge_no_line_and_no_escape(
    broker: MemoryBroker, log: pytest.LogCaptureFixture
) -> None:
    @broker.subscriber("orders")
    class Clerk:
        async def receive(self, order: str) -> None:
            raise LookupError(NASTY) if order == "fail" else ActorCrash(NASTY)

    async with broker:
        await broker.start()
        for order in ("fail", "crash"):
            await broker.publish(order, "orders", message_id=NASTY)
        await sleep(1)

    lines = written(log)
    assert any("LookupError" in line for line in lines)
    assert any("crashed" in line for line in lines)
    assert all(line.isprintable() and not line.startswith("CRITICAL") for line in lines)


async def test_an_exception_of_twenty_megabytes_is_clipped(
    broker: MemoryBroker, log: pytest.LogCaptureFixture
) -> None:
    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        raise LookupError("x" * 20_000_000)

    await deliver(broker, 1)

    assert sum(map(len, written(log))) < 12_000


async def test_an_exception_that_cannot_be_shown_is_told_all_the_same(
    broker: MemoryBroker, log: pytest.LogCaptureFixture
) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise LookupError

    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        raise Mute

    await deliver(broker, 1)

    assert "Mute: (its text can't be read)" in written(log)[0]


def kinds(of: type[object]) -> Iterator[type[object]]:
    """Yield all types of events below *of* that have a name, hence may be told."""
    for each in of.__subclasses__():
        if each.__module__.startswith("callboard") and hasattr(each, "name"):
            yield each
        yield from kinds(each)


KINDS = [*kinds(callboard_actors.events.Event), *kinds(callboard_brokers.events.Event)]
SAMPLES: Final[dict[str, object]] = {
    "str": NASTY,
    "str | None": NASTY,
    "ExitKind": "failed",
    "int": 3,
    "int | None": None,
    "float": 3.5,
    "bool": True,
    "Exception": LookupError(NASTY),
    "Settlement | None": None,
    "Sequence[str]": [NASTY],
    "Sequence[tuple[str, int]]": [(NASTY, 3)],
    "Delivery": None,
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_type_of_event_has_a_level_and_a_line(
    log: pytest.LogCaptureFixture, kind: Any
) -> None:
    log.set_level(logging.DEBUG, "callboard")
    said = {each.name: SAMPLES[str(each.type)] for each in fields(kind)}

    Log(logging.getLogger("callboard"))(kind(**said))

    level, _ = LINES[kind]
    assert [record.levelno for record in log.records] == [level]
    assert all(line.isprintable() for line in written(log))


def test_no_line_is_of_an_event_that_nobody_tells() -> None:
    assert {*LINES} == {*KINDS}


async def test_what_an_event_says_is_in_the_record_by_its_name(
    log: pytest.LogCaptureFixture,
) -> None:
    Log(logging.getLogger("callboard"))(ServerLost("here:1", "refused", path="kafka"))

    (record,) = log.records
    assert record.getMessage() == "kafka can't reach here:1, and tries again until it can: refused"
    assert record.args == {
        "name": "connection.lost",
        "path": "kafka",
        "address": "here:1",
        "error": "refused",
    }
