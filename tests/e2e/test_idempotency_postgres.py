"""What has been handled is remembered by PostgreSQL, whoever dies meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from uuid import uuid4

import anyio
import pytest

from callboard import DeclarationError, Idempotency
from callboard.nats import JStream, NatsBroker
from callboard.postgres import Postgres, PostgresStore

from ..brokers.nats import server as nats_server
from .test_kafka import Heard

pytestmark = [pytest.mark.anyio, pytest.mark.broker("postgres"), pytest.mark.slow]

DIES = """
import asyncio, os, signal, sys
from callboard import Idempotency
from callboard.nats import JStream, NatsBroker
from callboard.postgres import PostgresStore

address, name = sys.argv[1:]
broker = NatsBroker(address)
stream = JStream(name, [f"{name}.>"], storage="memory")
options = Idempotency(PostgresStore(os.environ["CALLBOARD_POSTGRES"], name), lease=2)

@broker.subscriber(f"{name}.in", stream=stream, durable="d", ack_wait=1, idempotent=options)
async def handle(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with broker:
        await broker.start()
        await broker.publish(1, f"{name}.in", stream=name, message_id="one")
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
def name() -> str:
    return f"once_{uuid4().hex}"


@pytest.fixture
async def database(name: str) -> AsyncGenerator[Postgres]:
    async with Postgres(os.environ["CALLBOARD_POSTGRES"]) as database:
        yield database
        async with database.connection() as connection:
            await connection.execute(f"DROP TABLE IF EXISTS {name}")


async def test_one_of_two_has_a_key(database: Postgres, name: str) -> None:
    first, second = PostgresStore(database, name), PostgresStore(database, name)

    assert (await first.claim("k", "a", 60)).state == "ours"
    assert (await second.claim("k", "b", 60)).state == "held"
    await second.failed("k", "b")  # it is not his
    assert (await second.claim("k", "b", 60)).state == "held"
    assert await first.extend("k", "a", 60)
    await first.failed("k", "a")
    assert (await second.claim("k", "b", 60)).state == "ours"
    assert not await first.done("k", "a", b"wrong", 60)
    assert await second.done("k", "b", b"result", 60)
    assert await first.claim("k", "a", 60) == ("done", b"result")


async def test_of_many_who_claim_a_key_at_once_one_has_it(database: Postgres, name: str) -> None:
    claims: list[str] = []

    async def claim(owner: str) -> None:
        claims.append((await PostgresStore(database, name).claim("k\0\ud800", owner, 60)).state)

    async with anyio.create_task_group() as tasks:
        for n in range(20):
            tasks.start_soon(claim, f"{n}")

    assert sorted(claims) == ["held"] * 19 + ["ours"]


async def test_a_claim_is_up_with_its_lease_and_what_is_done_is_forgotten_and_removed(
    database: Postgres, name: str
) -> None:
    store = PostgresStore(database, name)
    await store.claim("k", "a", 0.01)
    await anyio.sleep(0.1)

    assert (await store.claim("k", "b", 60)).state == "ours"
    assert not await store.done("k", "a", b"late", 60)
    assert await store.done("k", "b", b"result", 0.01)
    await anyio.sleep(0.1)
    await PostgresStore(database, name).claim("other", "c", 60)  # another process, which sweeps
    async with database.connection() as connection:
        assert await connection.fetchval(f"SELECT count(*) FROM {name}") == 1


async def test_a_database_that_is_away_is_an_error_in_time(name: str) -> None:
    store = PostgresStore(Postgres("postgresql://nobody:none@127.0.0.1:1/none", timeout=2), name)

    with pytest.raises(ConnectionRefusedError):
        await store.claim("k", "a", 60)


async def test_a_table_is_named_plainly() -> None:
    with pytest.raises(DeclarationError, match="plain name of PostgreSQL"):
        PostgresStore("postgresql://127.0.0.1", 'x"; DROP TABLE y; --')


@pytest.mark.broker("nats")
async def test_what_was_in_the_hands_of_a_killed_process_is_handled_again_once(
    database: Postgres, name: str
) -> None:
    address = os.environ["CALLBOARD_NATS"]
    dies = [sys.executable, "-c", DIES, address, name]
    killed = await anyio.run_process(dies, check=False, stderr=subprocess.DEVNULL)
    assert killed.returncode == -signal.SIGKILL
    broker, heard, handled = NatsBroker(address), Heard[int](2), list[int]()
    stream = JStream(name, [f"{name}.>"], storage="memory")
    options = Idempotency(PostgresStore(database, name), lease=2)

    @broker.publisher(f"{name}.out", stream=name)
    @broker.subscriber(f"{name}.in", stream=stream, durable="d", ack_wait=1, idempotent=options)
    async def handle(number: int) -> int:
        handled.append(number)
        return 2 * number

    @broker.subscriber(f"{name}.out", stream=stream, durable="out")
    async def hear(number: int) -> None:
        heard.hear(number)

    async with nats_server.server_at(address) as server, broker:
        server.made.add(name)
        await broker.start()
        await broker.publish(1, f"{name}.in", stream=name, message_id="one")
        await heard.complete()

    assert handled == [1]
    assert {*heard} == {2}
