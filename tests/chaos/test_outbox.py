"""Relays of an outbox die at each of their steps, and at any time: nothing is lost, nor out of order."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import anyio
import pytest
from anyio.abc import Process

from callboard.nats import JStream, NatsBroker
from callboard.outbox import Outbox
from callboard.postgres import Postgres

from ..brokers.nats import server as nats_server
from .relay import STEPS

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.broker("postgres", "nats"),
    pytest.mark.slow,
    pytest.mark.chaos,
]
# Without -P, what stands beside it would be imported in the place of clients.
RELAY = str(Path(__file__).parent / "relay.py")
PATIENCE = 60.0


class World:
    """A table, a stream, what was written and committed, and what has come out of the stream."""

    def __init__(self, name: str, database: Postgres) -> None:
        self.name = name
        self.database = database
        self.outbox = Outbox(
            NatsBroker(os.environ["CALLBOARD_NATS"]), database, table=name, relay=False
        )
        self.written: Mapping[str, list[int]] = defaultdict(list)
        self.heard: Mapping[str, list[int]] = defaultdict(list)
        self.doubled = 0

    async def write(self, keys: Sequence[str], *, roll_back: bool = False) -> None:
        """Write a message of each of *keys* in one transaction."""
        async with self.database.connection() as connection:
            transaction = connection.transaction()
            await transaction.start()
            for key in keys:
                number = -1 if roll_back else len(self.written[key])
                body, address = [key, number], f"{self.name}.out"
                await self.outbox.publish(
                    connection, body, address, stream=self.name, ordered_by=key
                )
                if not roll_back:
                    self.written[key].append(number)
            await (transaction.rollback() if roll_back else transaction.commit())

    def hear(self, key: str, number: int) -> None:
        """Take what has come; what has come before counts as doubled."""
        if number in self.heard[key]:
            self.doubled += 1
        else:
            self.heard[key].append(number)

    async def complete(self) -> None:
        """Wait until all that was written has come."""
        with anyio.move_on_after(PATIENCE):
            while any(len(self.heard[key]) < len(each) for key, each in self.written.items()):  # noqa: ASYNC110 - of numbers
                await anyio.sleep(0.05)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def world() -> AsyncGenerator[World]:
    name = f"relays_{uuid4().hex}"
    address = os.environ["CALLBOARD_NATS"]
    async with Postgres(os.environ["CALLBOARD_POSTGRES"]) as database:
        world, broker = World(name, database), NatsBroker(address)
        stream = JStream(name, [f"{name}.>"], storage="memory")

        @broker.subscriber(f"{name}.out", stream=stream, durable="d")
        async def hear(key: str, number: int) -> None:
            world.hear(key, number)

        await world.outbox.create()
        async with nats_server.server_at(address) as server, broker:
            server.made.add(name)
            await broker.start()
            yield world
        async with database.connection() as connection:
            await connection.execute(f"DROP TABLE {name}, {name}_lanes")


@asynccontextmanager
async def relay(world: World, step: str = "") -> AsyncGenerator[Process]:
    """Run one, which is up; kill it in the end."""
    command = [sys.executable, "-P", RELAY, os.environ["CALLBOARD_NATS"], world.name]
    async with await anyio.open_process([*command, step] if step else command, stderr=None) as run:
        assert run.stdout is not None
        try:
            if not step:
                await run.stdout.receive()
            yield run
        finally:
            if run.returncode is None:
                run.send_signal(signal.SIGKILL)
                await run.wait()


@pytest.mark.parametrize("step", STEPS)
async def test_a_relay_that_dies_at_a_step_loses_nothing_and_keeps_the_order(
    world: World, step: str
) -> None:
    for _ in range(10):
        await world.write(["a", "b", "c", "d"])
    async with relay(world, step) as run:
        with anyio.fail_after(PATIENCE):
            assert await run.wait() == -signal.SIGKILL
    async with relay(world):
        await world.complete()

    assert world.heard == world.written
    assert world.doubled <= 40


async def test_relays_that_die_again_and_again_lose_nothing_and_keep_the_order(
    world: World, seed: int, scale: float
) -> None:
    chance, keys = random.Random(seed), [f"key-{n}" for n in range(20)]
    kills = int(10 * scale) + 1
    over = anyio.Event()

    async def write() -> None:
        while not over.is_set():
            some = chance.sample(keys, 5)
            await world.write(some, roll_back=chance.random() < 0.2)
            await anyio.sleep(0.01)

    async def die(times: int) -> None:
        for _ in range(times):
            async with relay(world):
                await anyio.sleep(chance.uniform(0.2, 2.0))

    async with anyio.create_task_group() as writing:
        writing.start_soon(write)
        async with anyio.create_task_group() as dying:
            for _ in range(2):
                dying.start_soon(die, kills)
        over.set()
    async with relay(world):
        await world.complete()

    count = sum(map(len, world.written.values()))
    sys.stdout.write(f"{count} messages, {2 * kills} kills, {world.doubled} doubled\n")
    assert world.heard == world.written
