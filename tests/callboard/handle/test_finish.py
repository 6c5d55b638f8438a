"""The end of a message: outputs first, then the settlement."""

from __future__ import annotations

import pytest
from anyio import Event, sleep, wait_all_tasks_blocked

from callboard import AckPolicy, MemoryBroker, Message, TestBroker
from callboard.memory import MemoryMessage, MemoryRouter

from ..faulty import FaultyBroker

pytestmark = pytest.mark.anyio


async def test_a_message_waits_unsettled_while_its_output_finds_no_room() -> None:
    broker = MemoryBroker(capacity=1)
    causes: list[MemoryMessage] = []
    gate = Event()

    @broker.publisher("out")
    @broker.subscriber("in")
    async def handle(number: int, message: MemoryMessage) -> int:
        causes.append(message)
        return number

    @broker.subscriber("out", mailbox=1)
    async def slow(number: int) -> None:
        await gate.wait()

    async with broker:
        await broker.start()
        for n in range(4):
            await broker.publish(n, "in")
            await wait_all_tasks_blocked()
        assert [cause.processed for cause in causes] == [True, True, True, False]
        gate.set()
        await wait_all_tasks_blocked()

        assert causes[-1].processed


async def test_a_message_whose_outputs_cannot_be_published_is_delivered_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = FaultyBroker()
    broker.faulty.faults["out"] = 2
    deliveries: list[int] = []
    heard: list[int] = []

    @broker.publisher("out")
    @broker.subscriber("in")
    async def handle(number: int, message: MemoryMessage) -> int:
        deliveries.append(message.raw_message.deliveries)
        return number

    @broker.subscriber("out")
    async def hear(number: int) -> None:
        heard.append(number)

    async with broker:
        await broker.start()
        await broker.publish(7, "in", message_id="m")
        await sleep(10)

    assert deliveries == [1, 2, 3]
    assert heard == [7]
    assert not broker.dead_letters()
    assert (
        "the outputs of message m of 'in' can't be published; it will be delivered again:"
        " PublishFailed: 'out' takes nothing at the moment"
    ) in caplog.text


async def test_outputs_after_one_that_cannot_be_published_are_not_tried() -> None:
    broker = FaultyBroker()
    broker.faulty.faults["out.1"] = 1
    heard: list[str] = []

    @broker.publisher("out.2")
    @broker.publisher("out.1")
    @broker.subscriber("in")
    async def handle(number: int) -> int:
        return number

    @broker.subscriber("out.{n}")
    async def hear(message: Message) -> None:
        heard.append(message.address)

    async with broker:
        await broker.start()
        await broker.publish(1, "in")
        await sleep(10)

    assert heard == ["out.1", "out.2"]
    assert (broker.faulty.attempts["out.1"], broker.faulty.attempts["out.2"]) == (2, 1)


async def test_a_result_that_cannot_be_encoded_is_dead_lettered_and_the_worker_goes_on(
    broker: MemoryBroker,
) -> None:
    letters: list[MemoryMessage] = []
    heard: list[object] = []

    @broker.publisher("out")
    @broker.subscriber("in", dead_letter="dead")
    async def handle(number: int) -> object:
        return {"made": [object()]} if number == 0 else number

    @broker.subscriber("out")
    async def hear(number: int) -> None:
        heard.append(number)

    @broker.subscriber("dead")
    async def collect(message: MemoryMessage) -> None:
        letters.append(message)

    async with broker:
        await broker.start()
        await broker.publish(0, "in")
        await broker.publish(1, "in")
        await wait_all_tasks_blocked()

    assert heard == [1]
    assert [letter.headers["x-exception-type"] for letter in letters] == ["EncodeError"]
    reason = str(letters[0].headers["x-exception-message"])
    assert reason.startswith("a value of type 'dict' cannot be encoded: ")
    assert reason.endswith("object has no JSON form")


async def test_a_handler_that_settles_by_hand_still_publishes(broker: MemoryBroker) -> None:
    @broker.publisher("out")
    @broker.subscriber("in", ack_policy=AckPolicy.MANUAL)
    async def handle(number: int, message: Message) -> int:
        await message.ack()
        return number

    @broker.subscriber("out")
    async def hear(number: int) -> None: ...

    async with TestBroker(broker):
        await broker.publish(1, "in")

        await hear.assert_called_once_with(1)


async def test_nothing_is_published_for_a_handler_that_failed(broker: MemoryBroker) -> None:
    @broker.publisher("out")
    @broker.subscriber("in", ack_policy=AckPolicy.ACK)
    async def handle(number: int) -> int:
        raise ValueError("no")

    @broker.subscriber("out")
    async def hear(number: int) -> None: ...

    async with TestBroker(broker):
        with pytest.raises(ValueError, match="no"):
            await broker.publish(1, "in")

        hear.mock.assert_not_called()


async def test_outputs_that_never_can_be_published_are_a_failure_of_the_handler(
    broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    router = MemoryRouter()
    # Past `publisher`, which would refuse it where it is declared.
    broker.include_router(router, prefix="{nowhere}.")

    @router.publisher("out")
    @broker.subscriber("in")
    async def handle(number: int) -> int:
        return number

    async with broker:
        await broker.start()
        await broker.publish(1, "in")
        await wait_all_tasks_blocked()

        (letter,) = broker.dead_letters()
    assert letter.message.body == b"1"
    assert "can't be published; it is rejected: DestinationError" in caplog.text


async def test_an_output_beyond_the_limit_of_the_broker_is_one_too() -> None:
    broker = FaultyBroker(dead_letter="dead")
    broker.faulty.limit = 3_000
    reasons: list[object] = []

    @broker.subscriber("dead")
    async def collect(text: str, message: MemoryMessage) -> None:
        reasons.append(message.headers["x-exception-type"])

    @broker.publisher("out")
    @broker.subscriber("in")
    async def handle(text: str) -> str:
        return 1_000 * text

    async with broker:
        await broker.start()
        await broker.publish("long", "in")
        await wait_all_tasks_blocked()

    assert reasons == ["MessageTooLarge"]


@pytest.mark.parametrize("size", [100, 480])
async def test_a_dead_letter_beyond_the_limit_goes_without_the_reasons_or_into_the_log(
    size: int, caplog: pytest.LogCaptureFixture
) -> None:
    broker = FaultyBroker(dead_letter="dead")
    broker.faulty.limit = 500
    collected: list[MemoryMessage] = []

    @broker.subscriber("dead")
    async def collect(message: MemoryMessage) -> None:
        collected.append(message)

    @broker.subscriber("in")
    async def handle(text: str) -> None:
        raise ValueError(500 * "no")

    async with broker:
        await broker.start()
        await broker.publish(size * "x", "in")
        await wait_all_tasks_blocked()

        assert broker.unread("in") == 0
    if size == 100:
        assert [letter.headers["x-exception-type"] for letter in collected] == ["rejected"]
    else:
        assert collected == []
        assert "no dead letter can be made of message" in caplog.text
