"""Messages that are written in a transaction leave if it is committed, in order, and at least once."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import anyio
import pytest
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from callboard import DeclarationError, MemoryBroker, Message
from callboard.events import Event, OutboxHeldUp, OutboxMessageRefused, OutboxResumed
from callboard.memory import MemoryMessage, TestMemoryBroker
from callboard.outbox import Outbox
from callboard.postgres import Postgres

from ..callboard.faulty import FaultyBroker
from ..proxy import proxy
from .test_kafka import Heard

pytestmark = [pytest.mark.anyio, pytest.mark.broker("postgres"), pytest.mark.slow]

PATIENCE = 30.0


@pytest.fixture
def table() -> str:
    return f"outbox_{uuid4().hex}"


@pytest.fixture
async def database(table: str) -> AsyncGenerator[Postgres]:
    async with Postgres(os.environ["CALLBOARD_POSTGRES"]) as database:
        yield database
        async with database.connection() as connection:
            await connection.execute(f"DROP TABLE IF EXISTS {table}, {table}_lanes")


async def write(outbox: Outbox, bodies: Sequence[object], address: str, **options: Any) -> None:
    """Write *bodies* in one transaction."""
    await outbox.create()
    async with outbox.database.connection() as connection, connection.transaction():
        for body in bodies:
            await outbox.publish(connection, body, address, **options)


def hearing(broker: MemoryBroker, heard: Heard[int]) -> list[int]:
    """Hear what *broker* has at `out`; return what that will be."""
    here: list[int] = []

    @broker.subscriber("out")
    async def hear(number: int) -> None:
        here.append(number)
        heard.hear(number)

    return here


async def waiting(outbox: Outbox, table: str, which: str = "sent_at IS NULL") -> int:
    async with outbox.database.connection() as connection:
        count: int = await connection.fetchval(f"SELECT count(*) FROM {table} WHERE {which}")
    return count


async def test_what_is_committed_leaves_and_what_is_rolled_back_does_not(
    database: Postgres, table: str
) -> None:
    broker, heard = MemoryBroker(), Heard[int](1)
    outbox = Outbox(broker, database, table=table, poll=60)

    @broker.subscriber("out")
    async def hear(number: int) -> None:
        heard.hear(number)

    async with broker:
        await broker.start()
        await outbox.create()
        async with database.connection() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await outbox.publish(connection, 1, "out")
            await transaction.rollback()
            async with connection.transaction():
                await outbox.publish(connection, 2, "out")
                assert heard == []
        await heard.complete()

    assert heard == [2]
    assert await waiting(outbox, table) == 0


async def test_a_message_is_what_its_broker_would_have_made_of_it(
    database: Postgres, table: str
) -> None:
    broker, heard = MemoryBroker(), Heard[Message](1)
    outbox = Outbox(broker, database, table=table)
    at = datetime(2020, 1, 1, tzinfo=UTC)

    @broker.subscriber("out")
    async def hear(number: int, message: MemoryMessage) -> None:
        heard.hear(message)

    headers: dict[str, Any] = {
        "text": "ü",
        "octets": b"\0\xff",
        "at": at,
        "number": 7,
        "none": None,
    }
    async with broker:
        await broker.start()
        options = {"headers": headers, "message_id": "id", "correlation_id": "c", "reply_to": "r"}
        await write(outbox, [1], "out", key=b"\xfe", **options)
        await heard.complete()

    [message] = heard
    assert (message.body, message.headers, message.key) == (b"1", headers, b"\xfe")
    assert (message.message_id, message.correlation_id, message.reply_to) == ("id", "c", "r")
    assert message.content_type == "application/json"


async def test_it_is_written_in_a_transaction_or_not_at_all(database: Postgres, table: str) -> None:
    outbox = Outbox(MemoryBroker(), database, table=table)

    async with database.connection() as connection:
        with pytest.raises(DeclarationError, match="in a transaction"):
            await outbox.publish(connection, 1, "out")
    with pytest.raises(DeclarationError, match="no connection of asyncpg"):
        await outbox.publish(database, 1, "out")
    with pytest.raises(DeclarationError, match="can't be kept in an outbox"):
        await write(outbox, [1], "out", headers={"x": {1}})


async def test_a_connection_or_session_of_sqlalchemy_does_as_well(
    database: Postgres, table: str
) -> None:
    broker, heard = MemoryBroker(), Heard[int](2)
    outbox = Outbox(broker, database, table=table)
    dsn = os.environ["CALLBOARD_POSTGRES"].replace("postgresql:", "postgresql+asyncpg:")
    engine = create_async_engine(dsn)

    @broker.subscriber("out")
    async def hear(number: int) -> None:
        heard.hear(number)

    async with broker:
        await broker.start()
        await outbox.create()
        async with engine.begin() as connection:
            await outbox.publish(connection, 1, "out")
        async with AsyncSession(engine) as session:
            await outbox.publish(session, 0, "out")
            await session.rollback()
            await outbox.publish(session, 2, "out")
            await session.commit()
        await heard.complete()
    await engine.dispose()

    assert sorted(heard) == [1, 2]


async def test_what_follows_one_that_does_not_get_out_waits_for_it_and_others_do_not(
    database: Postgres, table: str
) -> None:
    broker, heard = FaultyBroker(), Heard[tuple[str, int]](20)
    broker.faulty.faults["bad"] = 2
    outbox = Outbox(broker, database, table=table)

    async def hear(number: int, message: MemoryMessage) -> None:
        heard.hear((message.address, number))

    for address in ("bad", "good"):
        broker.subscriber(address)(hear)
    async with broker:
        await outbox.create()
        async with database.connection() as connection, connection.transaction():
            for number in range(10):
                await outbox.publish(connection, number, "bad", ordered_by="same lane: bad")
                await outbox.publish(connection, number, "good", key=b"good")
        await broker.start()
        await heard.complete()

    assert [n for address, n in heard if address == "bad"] == [*range(10)]
    assert [n for address, n in heard if address == "good"] == [*range(10)]


async def test_many_that_do_not_get_out_are_in_nobody_elses_way(
    database: Postgres, table: str
) -> None:
    broker, heard = FaultyBroker(), Heard[int](10)
    broker.faulty.faults["bad"] = 10**6
    outbox = Outbox(broker, database, table=table)
    hearing(broker, heard)
    await write(outbox, range(900), "bad", ordered_by="bad")
    for number in range(10):
        await write(outbox, [number], "out", ordered_by=f"good {number}")

    async with broker:
        await broker.start()
        await heard.complete()

    assert sorted(heard) == [*range(10)]


async def test_what_never_can_be_sent_is_set_aside_and_the_next_goes_on(
    database: Postgres, table: str
) -> None:
    broker, heard, told = FaultyBroker(), Heard[str](1), list[Event]()
    broker.events.subscribe(told.append)
    broker.faulty.limit = 500
    outbox = Outbox(broker, database, table=table)

    @broker.subscriber("out")
    async def hear(text: str) -> None:
        heard.hear(text)

    async with broker:
        await broker.start()
        await write(outbox, ["x" * 1000, "small"], "out", ordered_by="one")
        await heard.complete()

    assert heard == ["small"]
    assert await waiting(outbox, table, "refused_at IS NOT NULL AND error <> ''") == 1
    assert [each.address for each in told if isinstance(each, OutboxMessageRefused)] == ["out"]


async def test_a_broker_that_is_away_is_told_of_once_and_gets_all_when_it_is_back(
    database: Postgres, table: str
) -> None:
    broker, heard, told = FaultyBroker(), Heard[int](5), list[Event]()
    broker.events.subscribe(told.append)
    broker.faulty.faults["out"] = 3
    outbox = Outbox(broker, database, table=table)

    @broker.subscriber("out")
    async def hear(number: int) -> None:
        heard.hear(number)

    async with broker:
        await broker.start()
        await write(outbox, range(5), "out", ordered_by="one")
        await heard.complete()
        await told_of(told, OutboxResumed)

    assert heard == [*range(5)]
    held_up = [each for each in told if isinstance(each, OutboxHeldUp)]
    assert [each.path for each in held_up] == [f"memory/services/outbox({table})"]


async def told_of(told: Sequence[Event], kind: type[Event]) -> None:
    with anyio.fail_after(PATIENCE):
        while not any(isinstance(each, kind) for each in told):  # noqa: ASYNC110 - of a list
            await anyio.sleep(0.02)


async def test_a_database_that_is_away_is_told_of_and_loses_nothing(
    database: Postgres, table: str
) -> None:
    address = os.environ["CALLBOARD_POSTGRES"]
    server = address.rpartition("@")[2].partition("/")[0]
    listen = os.environ["CALLBOARD_POSTGRES_PROXY"]
    broker, heard, told = MemoryBroker(), Heard[int](2), list[Event]()
    broker.events.subscribe(told.append)

    @broker.subscriber("out")
    async def hear(number: int) -> None:
        heard.hear(number)

    async with (
        proxy(listen, server) as between,
        Postgres(address.replace(server, listen)) as far,
    ):
        Outbox(broker, far, table=table, poll=0.1)
        writer = Outbox(MemoryBroker(), database, table=table, relay=False)
        await writer.create()
        async with broker:
            await broker.start()
            await write(writer, [1], "out")
            between.refuse = True
            between.cut()
            await told_of(told, OutboxHeldUp)
            await write(writer, [2], "out")
            between.refuse = False
            await heard.complete()
            await told_of(told, OutboxResumed)

    assert heard == [1, 2]


async def test_several_relays_share_what_waits_and_none_sends_what_another_has(
    database: Postgres, table: str
) -> None:
    heard, brokers = Heard[int](400), [MemoryBroker(), MemoryBroker()]
    outboxes = [Outbox(broker, database, table=table) for broker in brokers]
    by = [hearing(broker, heard) for broker in brokers]

    async with brokers[0], brokers[1]:
        for n in range(40):
            await write(outboxes[0], range(10 * n, 10 * n + 10), "out")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(brokers[0].start)
            tasks.start_soon(brokers[1].start)
        await heard.complete()

    assert sorted(heard) == [*range(400)]
    assert min(map(len, by)) > 0


async def test_what_was_sent_is_kept_for_some_time_or_not_at_all(
    database: Postgres, table: str
) -> None:
    for keep, left in ((60.0, 3), (0.0, 0)):
        broker, heard = MemoryBroker(), Heard[int](3)
        outbox = Outbox(broker, database, table=f"{table}", keep=keep)

        hearing(broker, heard)
        async with broker:
            await broker.start()
            await write(outbox, range(3), "out")
            await heard.complete()
        assert await waiting(outbox, table, "sent_at IS NOT NULL") == left
        await outbox.prune(0)

    assert await waiting(outbox, table, "true") == 0


async def test_only_a_relay_sends_and_none_runs_under_a_test_broker(
    database: Postgres, table: str
) -> None:
    broker = MemoryBroker()
    outbox = Outbox(broker, database, table=table, relay=False)
    await write(outbox, [1], "out", delay=timedelta(seconds=5))
    async with broker:
        await broker.start()
    Outbox(broker, database, table=table)
    async with TestMemoryBroker(broker):
        assert [node.id for node in broker.tree().children] == ["connection", "subscriptions"]

    assert await waiting(outbox, table) == 1
