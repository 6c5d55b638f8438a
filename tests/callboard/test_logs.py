"""What lines of the log say of the message in hand."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from anyio import Event, create_task_group, wait_all_tasks_blocked

from callboard import MemoryBroker
from callboard.logs import JsonFormatter, LogContext, MessageFilter, message_context

pytestmark = pytest.mark.anyio
LOGGER = logging.getLogger("shop")


class Tape(logging.Handler):
    """Keeps the lines of every logger, as a formatter makes them."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    @property
    def said(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def tape() -> Iterator[Tape]:
    tape, root = Tape(), logging.getLogger()
    root.addHandler(tape)
    LOGGER.setLevel(logging.INFO)
    yield tape
    root.removeHandler(tape)


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker(instruments=[LogContext()])


async def deliver(broker: MemoryBroker, *bodies: object) -> None:
    async with broker:
        await broker.start()
        for body in bodies:
            await broker.publish(body, "orders", message_id=f"m-{body}")
        await wait_all_tasks_blocked()


async def test_a_line_of_a_handler_says_of_which_message_it_is(
    broker: MemoryBroker, tape: Tape
) -> None:
    @broker.subscriber("orders")
    async def price(order: int) -> None:
        LOGGER.info("order %d", order, extra={"total": 30})

    await deliver(broker, 7)

    [line] = tape.said
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "logger": "shop",
        "message": "order 7",
        "subscriber": "price(orders)",
        "address": "orders",
        "message_id": "m-7",
        "attempt": 1,
        "total": 30,
    }


async def test_a_thread_of_a_handler_knows_its_message(broker: MemoryBroker, tape: Tape) -> None:
    @broker.subscriber("orders")
    def price(order: int) -> None:
        LOGGER.info("priced")

    await deliver(broker, 7)

    assert [line["message_id"] for line in tape.said] == ["m-7"]


async def test_nothing_of_a_message_outlives_it_even_in_a_task_that_does(
    broker: MemoryBroker,
) -> None:
    seen: list[object] = []
    go_on = Event()

    async def later() -> None:
        seen.append(message_context()["message_id"])
        await go_on.wait()
        seen.append(message_context())

    async with create_task_group() as tasks:

        @broker.subscriber("orders")
        async def price(order: int) -> None:
            tasks.start_soon(later)
            await wait_all_tasks_blocked()

        await deliver(broker, 7)
        go_on.set()

    assert seen == ["m-7", {}]
    assert message_context() == {}


async def test_a_failure_is_one_line_with_its_coordinates(broker: MemoryBroker, tape: Tape) -> None:
    @broker.subscriber("orders")
    async def price(order: int) -> None:
        raise LookupError("no\nstock")

    await deliver(broker, 7)

    [line] = tape.said
    assert line["level"] == "ERROR"
    assert line["event"] == "message.exception"
    assert (line["subscriber"], line["address"], line["message_id"]) == (
        "price(orders)",
        "orders",
        "m-7",
    )
    assert "no\\nstock" in line["message"]
    assert "LookupError" in line["exception"]


async def test_a_batch_says_how_many_messages_it_has(broker: MemoryBroker, tape: Tape) -> None:
    @broker.subscriber("orders", batch=True)
    async def price(orders: list[int]) -> None:
        LOGGER.info("priced")

    await deliver(broker, 1, 2)

    assert [(line["message_id"], line["messages"]) for line in tape.said] == [("m-1", 2)]


async def test_a_format_may_name_the_parts_and_they_are_empty_outside_of_a_message(
    broker: MemoryBroker, tape: Tape
) -> None:
    tape.addFilter(MessageFilter())
    tape.setFormatter(logging.Formatter("%(message)s <%(subscriber)s %(message_id)s %(attempt)s>"))

    @broker.subscriber("orders")
    async def price(order: int) -> None:
        LOGGER.info("inside")

    LOGGER.info("outside")
    await deliver(broker, 7)

    assert tape.lines == ["outside <  >", "inside <price(orders) m-7 1>"]


def test_json_stays_one_line_whatever_is_logged(tape: Tape) -> None:
    class Mute:
        def __str__(self) -> str:
            raise OSError

    LOGGER.info("a\n\x1b[31mb", extra={"odd": Mute(), "subscriber": ""})

    [line] = tape.lines
    assert "\n" not in line
    assert "\x1b" not in line
    assert json.loads(line)["odd"] == "<Mute>"
    assert "subscriber" not in json.loads(line)
