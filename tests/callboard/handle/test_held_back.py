"""With `outbox=True`, what a handler publishes leaves if it succeeds, and before the message is settled."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import from_thread, sleep

from callboard import (
    AckMessage,
    BaseMiddleware,
    DeclarationError,
    Idempotency,
    MemoryBroker,
    Message,
    Response,
    Retry,
)
from callboard.events import OutputsFailed
from callboard.idempotency import MemoryStore
from callboard.memory import TestMemoryBroker

from ..faulty import FaultyBroker

pytestmark = pytest.mark.anyio


@pytest.fixture
def heard(broker: MemoryBroker) -> list[str]:
    """What arrives at `out`."""
    heard: list[str] = []

    @broker.subscriber("out", group="heard")
    async def hear(text: str) -> None:
        heard.append(text)

    return heard


async def test_what_is_published_leaves_before_the_result_when_the_handler_has_returned(
    broker: MemoryBroker, heard: list[str]
) -> None:
    @broker.publisher("out")
    @broker.subscriber("in", outbox=True)
    async def handle(text: str) -> str:
        for n in range(2):
            await broker.publish(f"{text} {n}", "out")
        await sleep(1)
        assert heard == []
        return "result"

    async with TestMemoryBroker(broker):
        await broker.publish("by hand", "in")

    assert heard == ["by hand 0", "by hand 1", "result"]


async def test_nothing_leaves_of_a_try_that_fails(broker: MemoryBroker, heard: list[str]) -> None:
    @broker.subscriber("in", outbox=True, retry=Retry(attempts=3))
    async def handle(text: str, message: Message) -> None:
        await broker.publish(f"{message.attempt}", "out")
        if message.attempt < 3:
            raise ValueError

    async with TestMemoryBroker(broker):
        await broker.publish("", "in")

    assert heard == ["3"]


async def test_without_it_what_a_failing_handler_has_published_is_out(
    broker: MemoryBroker, heard: list[str]
) -> None:
    @broker.subscriber("in", dead_letter="dead")
    async def handle(text: str) -> None:
        await broker.publish("1", "out")
        raise AckMessage

    async with TestMemoryBroker(broker):
        await broker.publish("", "in")

    assert heard == ["1"]


@pytest.mark.parametrize(
    ("how", "out"), [("ack", ["1"]), ("nack", []), ("reject", []), ("raised", ["1"])]
)
async def test_a_handler_that_settles_by_hand_says_by_that_whether_it_has_succeeded(
    broker: MemoryBroker, heard: list[str], how: str, out: list[str]
) -> None:
    @broker.subscriber("in", outbox=True, dead_letter="dead")
    async def handle(text: str, message: Message) -> None:
        if message.deliveries == 1:
            await broker.publish("1", "out")
            if how == "raised":
                raise AckMessage
            await getattr(message, how)()

    async with TestMemoryBroker(broker):
        await broker.publish("", "in")

    assert heard == out


async def test_a_sync_handler_publishes_from_its_thread(
    broker: MemoryBroker, heard: list[str]
) -> None:
    tries: list[int] = []

    @broker.subscriber("in", outbox=True, retry=Retry(attempts=2))
    def handle(text: str) -> None:
        tries.append(1)
        from_thread.run(broker.publish, f"{len(tries)}", "out")
        if len(tries) == 1:
            raise ValueError

    async with TestMemoryBroker(broker):
        await broker.publish("", "in")

    assert heard == ["2"]


async def test_a_request_does_not_wait_for_the_handler_that_waits_for_it(
    broker: MemoryBroker, heard: list[str]
) -> None:
    @broker.subscriber("double")
    async def double(number: int) -> int:
        return 2 * number

    @broker.subscriber("in", outbox=True)
    async def handle(number: int) -> None:
        answer = await broker.request(number, "double")
        await broker.publish(f"{await answer.decode()}", "out")

    async with TestMemoryBroker(broker):
        await broker.publish(4, "in")

    assert heard == ["8"]


async def test_publishers_and_batches_and_other_brokers_are_held_back_too(
    broker: MemoryBroker, heard: list[str]
) -> None:
    other, elsewhere = MemoryBroker(), list[str]()
    publisher = broker.publisher("out", headers={"x": "y"})
    several = broker.publisher("out", batch=True)

    @other.subscriber("elsewhere")
    async def hear(text: str) -> None:
        elsewhere.append(text)

    @broker.subscriber("in", outbox=True, retry=Retry(attempts=2))
    async def handle(text: str, message: Message) -> None:
        await publisher.publish("1")
        await several.publish("2", Response("3"))
        await other.publish("4", "elsewhere")
        if message.attempt == 1:
            raise ValueError

    async with TestMemoryBroker(broker, other):
        await broker.publish("", "in")

    assert heard == ["1", "2", "3"]
    assert elsewhere == ["4"]


async def test_what_can_not_be_published_brings_the_message_back(broker: MemoryBroker) -> None:
    faulty, heard, told = FaultyBroker(), list[str](), list[object]()
    faulty.events.subscribe(told.append)
    faulty.faulty.faults["out"] = 1

    @faulty.subscriber("in", outbox=True)
    async def handle(text: str, message: Message) -> None:
        await faulty.publish(f"{message.deliveries}", "out")

    @faulty.subscriber("out")
    async def hear(text: str) -> None:
        heard.append(text)

    async with faulty:
        await faulty.start()
        await faulty.publish("", "in")
        await sleep(60)

    assert heard == ["2"]
    assert [type(each) for each in told].count(OutputsFailed) == 1


async def test_what_is_handled_once_is_done_when_all_is_out(broker: MemoryBroker) -> None:
    faulty, heard, tries = FaultyBroker(), list[str](), list[int]()
    faulty.faulty.faults["out"] = 1

    @faulty.subscriber("in", outbox=True, idempotent=Idempotency(MemoryStore()))
    async def handle(text: str) -> None:
        tries.append(1)
        await faulty.publish(f"{len(tries)}", "out")

    @faulty.subscriber("out")
    async def hear(text: str) -> None:
        heard.append(text)

    async with faulty:
        await faulty.start()
        for _ in range(2):
            await faulty.publish("", "in", message_id="one")
            await sleep(60)

    assert heard == ["2"]
    assert tries == [1, 1]


async def test_middlewares_see_it_when_it_is_published(broker: MemoryBroker) -> None:
    seen, heard = list[object](), list[str]()

    class Loud(BaseMiddleware):
        async def publish_scope(self, call_next: Any, cmd: Any) -> Any:
            seen.append(cmd.body)
            cmd.body = cmd.body.upper()
            return await call_next(cmd)

    loud = MemoryBroker(middlewares=[Loud])

    @loud.subscriber("in", outbox=True)
    async def handle(text: str) -> None:
        await loud.publish(text, "out")
        assert seen == ["A", text]

    @loud.subscriber("out")
    async def hear(text: str) -> None:
        heard.append(text)

    async with TestMemoryBroker(loud):
        await loud.publish("A", "in")

    assert heard == ["A"]
    assert seen == ["A", "A"]


@pytest.mark.parametrize(
    ("options", "says"),
    [({"outbox": "yes"}, "outbox='yes'"), ({"outbox": True, "batch": True}, "batch=True")],
)
def test_what_makes_no_sense_is_refused(
    broker: MemoryBroker, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(DeclarationError, match=says):
        broker.subscriber("in", **options)
