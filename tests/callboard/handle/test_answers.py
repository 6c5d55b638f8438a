"""Where answers may go: whoever asks names the place, and may name any."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import wait_all_tasks_blocked

from callboard import DeclarationError, MemoryBroker
from callboard.kafka import KafkaBroker, TestKafkaBroker
from callboard.memory import MemoryMessage

pytestmark = pytest.mark.anyio


async def test_an_answer_to_an_impossible_address_is_told_of_and_the_message_is_done(
    broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[int] = []

    @broker.publisher("out")
    @broker.subscriber("in", group="g")
    async def handle(number: int) -> int:
        return number

    @broker.subscriber("out")
    async def hear(number: int) -> None:
        heard.append(number)

    async with broker:
        await broker.start()
        await broker.publish(1, "in", reply_to="{nowhere}")
        await wait_all_tasks_blocked()

        assert (heard, broker.unread("in")) == ([1], 0)
        assert not broker.dead_letters()
    assert "no answer goes to '{nowhere}': cannot publish to '{nowhere}'" in caplog.text


async def test_a_failure_keeps_its_own_outcome_where_nobody_can_be_answered(
    broker: MemoryBroker,
) -> None:
    @broker.subscriber("in", group="g")
    async def handle(number: int) -> int:
        raise ValueError("no")

    async with broker:
        await broker.start()
        await broker.publish(1, "in", reply_to="{nowhere}")
        await wait_all_tasks_blocked()

        assert [letter.reason for letter in broker.dead_letters()] == ["rejected"]


@pytest.mark.parametrize(
    ("allowed", "answered"),
    [
        (None, ["replies.a", "audit"]),
        ("replies.*", ["replies.a"]),
        (["audit", "replies.b"], ["audit"]),
        ([], []),
    ],
)
async def test_answers_go_where_the_broker_allows_them(
    allowed: Any, answered: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    broker = MemoryBroker(reply_to=allowed)
    heard: list[str] = []

    @broker.subscriber("in", group="g")
    async def handle(number: int) -> int:
        return number

    for address in ("replies.a", "audit"):

        @broker.subscriber(address)
        async def hear(message: MemoryMessage) -> None:
            heard.append(message.address)

    async with broker:
        await broker.start()
        for address in ("replies.a", "audit"):
            await broker.publish(1, "in", reply_to=address)
        await wait_all_tasks_blocked()

        assert broker.unread("in") == 0
    assert sorted(heard) == sorted(answered)
    refused = {"replies.a", "audit"} - {*answered}
    assert all(f"no answer goes to '{each}': memory was told" in caplog.text for each in refused)


async def test_a_name_that_is_no_topic_is_told_of_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kafka = KafkaBroker()

    @kafka.subscriber("in", group_id="g")
    async def handle(number: int) -> int:
        return number

    async with TestKafkaBroker(kafka):
        await kafka.publish(1, "in", reply_to="x\r\nCRITICAL \x1b[2J")

    [line] = [each.getMessage() for each in caplog.records if "no answer" in each.getMessage()]
    assert line.isprintable()


def test_places_for_answers_are_texts() -> None:
    wrong: Any = [1]
    with pytest.raises(DeclarationError, match=r"reply_to=\[1\] of a broker"):
        MemoryBroker(reply_to=wrong)
