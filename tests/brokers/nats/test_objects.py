"""What changes in a bucket of objects."""

# The client does not say all of its types:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from anyio import create_task_group
from anyio.lowlevel import checkpoint

from callboard_brokers import Capacity, Message
from callboard_brokers.conformance import CHECKS, Check, Harness
from callboard_brokers.nats import Nats, NatsSource, NatsTarget, ObjWatch
from callboard_brokers.nats.connection import NatsConnection

from ...proxy import proxy
from .server import Server, bodies, take

pytestmark = [pytest.mark.anyio, pytest.mark.broker("nats"), pytest.mark.slow]
NO_NAMES = ("an_empty_body", "a_body_of_any_octets", "a_body_of_a_mebibyte")


class Putting:
    """A connection that publishes as whoever puts an object does, whose name is the body."""

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection
        self.subscribe = connection.subscribe
        self.ping = connection.ping

    @property
    def lost_at(self) -> float | None:
        return self._connection.lost_at

    async def publish(self, message: Message, target: NatsTarget, /) -> object:
        said = json.dumps({"name": message.body.decode()}).encode()
        return await self._connection.publish(Message(said), target)


class Objects:
    """The adapter, with such connections."""

    def __init__(self, nats: Nats) -> None:
        self._nats = nats
        self.features = nats.features

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[Putting]:
        async with self._nats.connect() as connection:
            yield Putting(connection)


@pytest.fixture
async def harness(
    server: Server, address: str, name: str
) -> AsyncGenerator[Harness[NatsSource, NatsTarget]]:
    through = os.environ["CALLBOARD_NATS_PROXY"]
    nats = Nats(through)
    server.made.add(f"OBJ_{name}")
    async with Nats(address).connect() as connection:
        await connection.prepare([NatsSource(name, obj_watch=True)], [])
    async with proxy(through, address) as network:

        async def cut() -> None:
            network.refuse = True
            network.cut()
            await checkpoint()

        async def restore() -> None:
            network.restore()
            await checkpoint()

        yield Harness(
            adapter=Objects(nats),
            source=lambda bucket, group: NatsSource(bucket, obj_watch=True),
            target=lambda bucket: NatsTarget(f"$O.{bucket}.M.x", stream=f"OBJ_{bucket}"),
            stale=lambda: nats.counts["settle.stale"],
            settled_twice=lambda: nats.counts["settle.double"],
            cut=cut,
            restore=restore,
            patience=30.0,
            address=name,
        )


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "check",
    [check for check in CHECKS if not check.__name__.startswith(NO_NAMES)],
    ids=lambda check: check.__name__,
)
async def test_a_watch_of_objects_conforms(
    check: Check, harness: Harness[NatsSource, NatsTarget]
) -> None:
    await check(harness)


async def test_the_names_of_objects_come_and_of_those_that_are_gone(
    connection: NatsConnection, server: Server, name: str
) -> None:
    server.made.add(f"OBJ_{name}")
    source = NatsSource(name, obj_watch=ObjWatch())
    async with connection.subscribe(source, Capacity(5)) as reading:
        store = await connection.client.jetstream().object_store(name)
        await store.put("a file.txt", b"x" * 300_000)
        (made,) = await take(reading, 1)
        await store.delete("a file.txt")
        (gone,) = await take(reading, 1)

    assert bodies([made, gone]) == [b"a file.txt"] * 2
    assert made.message.address == name
    assert b'"deleted": true' in gone.message.raw_message.data


async def test_a_watch_begins_with_what_is_there_and_leaves_out_what_is_not_wanted(
    connection: NatsConnection, server: Server, name: str
) -> None:
    server.made.add(f"OBJ_{name}")
    store = await connection.client.jetstream().create_object_store(name)
    for each in ("a", "b"):
        await store.put(each, b"x")
    await store.delete("a")
    source = NatsSource(name, obj_watch=ObjWatch(ignore_deletes=True))
    async with connection.subscribe(source, Capacity(5)) as reading:
        assert bodies(await take(reading, 1)) == [b"b"]


async def test_no_change_is_missed_or_repeated_over_cuts(
    connection: NatsConnection, server: Server, address: str, name: str
) -> None:
    through = os.environ["CALLBOARD_NATS_PROXY"]
    server.made.add(f"OBJ_{name}")
    store = await connection.client.jetstream().create_object_store(name)

    async def put() -> None:
        for n in range(60):
            if n in {20, 40}:
                network.cut()
            await store.put(f"{n}", b"x")

    async with (
        proxy(through, address) as network,
        Nats(through).connect() as other,
        other.subscribe(NatsSource(name, obj_watch=True), Capacity(10)) as reading,
        create_task_group() as tasks,
    ):
        tasks.start_soon(put)
        assert bodies(await take(reading, 60)) == [b"%d" % n for n in range(60)]
