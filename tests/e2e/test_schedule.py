"""Of several who share a store in PostgreSQL, one does what is due, and another if he dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from datetime import datetime
from uuid import uuid4

import anyio
import pytest

from callboard import Context, MemoryBroker
from callboard.postgres import Postgres, PostgresStore

pytestmark = [pytest.mark.anyio, pytest.mark.broker("postgres"), pytest.mark.slow]

DIES = """
import asyncio, os, signal, sys
from callboard import Context, MemoryBroker
from callboard.postgres import PostgresStore

broker = MemoryBroker()
store = PostgresStore(os.environ["CALLBOARD_POSTGRES"], sys.argv[1])

@broker.schedule(every=20, store=store, lease=2, name="tick", missed=20)
async def tick(due = Context("due")) -> None:
    print(due, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with broker:
        await broker.start()
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
def name() -> str:
    return f"schedule_{uuid4().hex}"


@pytest.fixture
async def database(name: str) -> AsyncGenerator[Postgres]:
    async with Postgres(os.environ["CALLBOARD_POSTGRES"]) as database:
        yield database
        async with database.connection() as connection:
            await connection.execute(f"DROP TABLE IF EXISTS {name}")


async def test_each_time_is_somebodys(database: Postgres, name: str) -> None:
    done: list[datetime] = []
    brokers = [MemoryBroker(), MemoryBroker()]
    for broker in brokers:

        @broker.schedule(every=1, store=PostgresStore(database, name), name="tick")
        async def tick(due: datetime = Context("due")) -> None:
            done.append(due)

    async with brokers[0], brokers[1]:
        for broker in brokers:
            await broker.start()
        with anyio.fail_after(45):
            while len(done) < 4:  # noqa: ASYNC110 - of a list
                await anyio.sleep(0.02)

    assert len({*done}) == len(done)


async def test_another_one_does_what_was_in_the_hands_of_a_killed_process(
    database: Postgres, name: str
) -> None:
    killed = await anyio.run_process(
        [sys.executable, "-c", DIES, name], check=False, stderr=subprocess.DEVNULL
    )
    assert killed.returncode == -signal.SIGKILL
    broker, done = MemoryBroker(), list[datetime]()
    store = PostgresStore(database, name)

    @broker.schedule(every=20, store=store, lease=2, name="tick", missed=60)
    async def tick(due: datetime = Context("due")) -> None:
        done.append(due)

    async with broker:
        await broker.start()
        with anyio.fail_after(45):
            while not done:  # noqa: ASYNC110 - of a list
                await anyio.sleep(0.02)

    assert done[0] >= datetime.fromisoformat(killed.stdout.decode().strip())
