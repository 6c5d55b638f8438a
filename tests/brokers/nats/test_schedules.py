"""What a stream keeps back until it is due, and which streams cannot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from callboard_brokers import (
    BrokerError,
    Capacity,
    Delivery,
    DestinationError,
    GivingUp,
    Message,
    TopologyError,
)
from callboard_brokers.nats import JStream, NatsSource, NatsTarget, Schedule
from callboard_brokers.nats.connection import NatsConnection

from .server import Server, bodies, take

pytestmark = [pytest.mark.anyio, pytest.mark.broker("nats"), pytest.mark.slow]


@pytest.fixture(autouse=True)
def scheduling(name: str, server: Server) -> None:
    if server.version < (2, 12):
        pytest.skip(f"the server has no schedules, it is {server.version}")
    server.made.add(name)


async def test_a_schedule_is_published_when_it_is_due(
    connection: NatsConnection, name: str, server: Server
) -> None:
    server.made.add(name)
    stream = JStream(name, [f"{name}.>"], storage="memory", allow_msg_schedules=True)
    due = Schedule(datetime.now(UTC) + timedelta(seconds=1), f"{name}.due")
    target = NatsTarget(f"{name}.later", stream=stream, schedule=due)
    source = NatsSource(f"{name}.due", stream=stream, durable="d")
    await connection.prepare([source], [target])
    async with connection.subscribe(source, Capacity(5)) as reading:
        await connection.publish(Message(b"now"), target)

        assert (await take(reading, 1))[0].message.body == b"now"


@pytest.mark.parametrize("time", [timedelta(seconds=1), "* * * * * *"])
async def test_a_schedule_that_repeats_is_published_again_and_again(
    connection: NatsConnection, name: str, server: Server, time: timedelta | str
) -> None:
    if server.version < (2, 14):
        pytest.skip(f"the server has no schedules that repeat, it is {server.version}")
    server.made.add(name)
    stream = JStream(name, [f"{name}.>"], storage="memory", allow_msg_schedules=True)
    zone = "Europe/Paris" if isinstance(time, str) else None
    every = Schedule(time, f"{name}.due", timezone=zone)
    target = NatsTarget(f"{name}.clock", stream=stream, schedule=every)
    source = NatsSource(f"{name}.due", stream=stream, durable="d")
    await connection.prepare([source], [target])
    async with connection.subscribe(source, Capacity(5)) as reading:
        for _ in range(2):  # the second takes the place of the first
            await connection.publish(Message(b"tick"), target)
        came = [*await take(reading, 1), *await take(reading, 1)]

        assert [each.message.body for each in came] == [b"tick", b"tick"]
        one, other = (each.message.headers["Nats-Schedule-Next"] for each in came)
        assert str(one) < str(other)


@pytest.mark.parametrize(
    ("time", "zone", "what"),
    [
        (timedelta(seconds=0.5), None, "whole seconds"),
        ("* * *", None, "five fields"),
        (timedelta(seconds=5), "Europe/Paris", "is for expressions of cron"),
    ],
)
async def test_a_schedule_that_cannot_be_is_refused_where_it_is_said(
    time: timedelta | str, zone: str | None, what: str
) -> None:
    with pytest.raises(DestinationError, match=what):
        Schedule(time, "due", timezone=zone)


async def test_who_reads_all_of_a_stream_does_not_see_what_it_keeps_back(
    connection: NatsConnection, name: str, server: Server
) -> None:
    server.made.add(name)
    stream = JStream(name, [f"{name}.>"], storage="memory")
    source = NatsSource(stream=stream, durable="d", ack_wait=0.5)
    await connection.prepare([source], [])
    async with connection.subscribe(source, Capacity(5)) as reading:
        late = NatsTarget(f"{name}.due", stream=name, delay=1.0)
        await connection.publish(Message(b"late"), late)
        await connection.publish(Message(b"now"), NatsTarget(f"{name}.due", stream=name))
        came = [*await take(reading, 1), *await take(reading, 1)]

        assert sorted(each.message.body for each in came) == [b"late", b"now"]
        assert [each.message.address for each in came] == [f"{name}.due"] * 2


@pytest.mark.parametrize("max_deliver", [None, 1])
async def test_who_reads_all_of_a_queue_does_not_end_what_it_keeps_back(
    connection: NatsConnection, name: str, max_deliver: int | None
) -> None:
    buried: list[Delivery] = []

    async def bury(delivery: Delivery, _: BrokerError) -> None:
        buried.append(delivery)

    stream = JStream(name, [f"{name}.>"], storage="memory", retention="workqueue")
    source = NatsSource(stream=stream, durable="d", ack_wait=0.5, max_deliver=max_deliver)
    await connection.prepare([source], [])
    late = NatsTarget(f"{name}.due", stream=name, delay=1.5)
    await connection.publish(Message(b"before"), late)  # and nobody reads yet
    async with connection.subscribe(source, Capacity(5)) as reading:
        assert isinstance(reading, GivingUp)
        reading.on_given_up(bury)
        await connection.publish(Message(b"after"), late)
        came = [*await take(reading, 1), *await take(reading, 1)]

        assert sorted(bodies(came)) == [b"after", b"before"]
        assert not buried


async def test_a_stream_that_removes_what_nobody_wants_keeps_nothing_back(
    connection: NatsConnection, name: str, server: Server
) -> None:
    interest: Literal["interest"] = "interest"
    stream = JStream(name, [f"{name}.>"], retention=interest, allow_msg_schedules=True)
    await connection.prepare([NatsSource(stream=stream, durable="d")], [])
    tomorrow = Schedule(datetime.now(UTC) + timedelta(days=1), f"{name}.due")
    for target in (
        NatsTarget(f"{name}.due", stream=name, delay=60),
        NatsTarget(f"{name}.clock", stream=name, schedule=tomorrow),
    ):
        with pytest.raises(TopologyError, match=f"'{name}' cannot keep .* is 'interest'.*'limits'"):
            await connection.publish(Message(b"lost"), target)
    state = (await server.ask(f"STREAM.INFO.{name}"))["state"]

    assert state["last_seq"] == 0


async def test_a_delay_beyond_the_age_of_its_stream_is_refused(
    connection: NatsConnection, name: str
) -> None:
    stream = JStream(name, [f"{name}.>"], storage="memory", max_age=3600)
    await connection.prepare([], [NatsTarget(f"{name}.due", stream=stream)])
    await connection.publish(Message(b""), NatsTarget(f"{name}.due", stream=name, delay=3000))
    with pytest.raises(TopologyError, match="for 7200 s: its max_age is 3600 s"):
        await connection.publish(Message(b""), NatsTarget(f"{name}.due", stream=name, delay=7200))


async def test_a_stream_that_refuses_what_is_new_says_that_it_keeps_nothing_back(
    connection: NatsConnection, name: str
) -> None:
    stream = JStream(name, [f"{name}.>"], storage="memory", max_msgs=5, discard="new")
    await connection.prepare([], [NatsTarget(f"{name}.due", stream=stream)])
    with pytest.raises(TopologyError, match=f"'{name}': message scheduling cannot use discard new"):
        await connection.publish(Message(b""), NatsTarget(f"{name}.due", stream=name, delay=60))
