"""What is published for later, under test and where that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from anyio import current_time, sleep

from callboard import DeclarationError, MemoryBroker
from callboard.kafka import KafkaBroker
from callboard.nats import NatsBroker, Schedule
from callboard.rabbit import RabbitBroker
from callboard.testing import TestBroker
from callboard_brokers import DestinationError
from callboard_brokers.rabbit._connection import rounded

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)
STREAM = {"stream": "LATE"}


@pytest.mark.parametrize(
    ("make", "options"), [(MemoryBroker, {}), (RabbitBroker, {}), (NatsBroker, STREAM)]
)
@pytest.mark.parametrize("how", ["delay", "at"])
async def test_under_test_a_message_waits_in_virtual_time(
    make: Callable[[], Any], options: dict[str, Any], how: str
) -> None:
    broker, heard = make(), list[float]()

    async def hear(number: int) -> None:
        heard.append(current_time())

    broker.subscriber("late", **options)(hear)
    async with TestBroker(broker):
        begun = current_time()
        late = {"delay": HOUR} if how == "delay" else {"at": datetime.now(UTC) + HOUR}
        await broker.publish(1, "late", **late, **options)
        assert heard == []
        await sleep(3601)

    assert 3590 < heard[0] - begun < 3601


@pytest.mark.parametrize(
    ("late", "what"),
    [
        ({"delay": 1, "at": datetime.now(UTC)}, "give one of them"),
        ({"delay": -1}, "from 0 on"),
        ({"delay": float("nan")}, "from 0 on"),
        ({"delay": "1"}, "from 0 on"),
        ({"at": datetime(2030, 1, 1)}, "no time zone"),  # noqa: DTZ001 - that is what is wrong
    ],
)
async def test_what_is_no_time_is_refused(late: dict[str, Any], what: str) -> None:
    broker: Any = MemoryBroker()
    with pytest.raises(DeclarationError, match=what):
        broker.publisher("late", **late)
    async with broker:
        with pytest.raises(DestinationError, match=what):
            await broker.publish(1, "late", **late)


async def test_without_a_stream_nats_keeps_nothing_back() -> None:
    with pytest.raises(DeclarationError, match="only a stream keeps messages back"):
        NatsBroker().publisher("late", delay=1)


def test_kafka_says_what_can_delay_in_its_place() -> None:
    kafka: Any = KafkaBroker()

    with pytest.raises(DeclarationError, match=r"'delay'; Kafka keeps no record back; .*RabbitMQ"):
        kafka.publisher("late", delay=1)


async def test_what_would_expire_while_it_waits_is_refused_by_rabbitmq() -> None:
    with pytest.raises(DeclarationError, match="would expire"):
        RabbitBroker().publisher("late", delay=1, expiration=5)
    with pytest.raises(DeclarationError, match="counts up to 45"):
        RabbitBroker().publisher("late", delay=timedelta(days=50))


def test_delays_of_rabbitmq_are_rounded_up_so_that_there_are_few_queues() -> None:
    given = [1, 999, 1001, 90_000, 123_456, 86_400_000]

    assert [*map(rounded, given)] == [1, 999, 1010, 90_000, 124_000, 86_400_000]


async def test_under_test_a_schedule_that_repeats_brings_nothing() -> None:
    broker, heard = NatsBroker(), list[int]()

    @broker.subscriber("tidy", stream="CHORES")
    async def tidy(number: int) -> None:
        heard.append(number)

    async with TestBroker(broker):
        often = Schedule("* * * * *", "tidy", timezone="Europe/Paris")
        await broker.publish(1, "clock", stream="CHORES", schedule=often)
        await sleep(3601)
        await broker.publish(2, "tidy", stream="CHORES")

    assert heard == [2]
