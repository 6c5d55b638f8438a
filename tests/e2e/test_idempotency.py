"""A message is handled once by all who read it, and again by another if one of them is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from uuid import uuid4

import anyio
import pytest

from callboard import Idempotency
from callboard.nats import JStream, NatsBroker, NatsStore

from ..brokers.nats import server as nats_server
from .test_kafka import Heard

pytestmark = [pytest.mark.anyio, pytest.mark.broker("nats"), pytest.mark.slow]

DIES = """
import asyncio, os, signal, sys
from callboard import Idempotency
from callboard.nats import JStream, NatsBroker, NatsStore

address, name = sys.argv[1:]
broker = NatsBroker(address)
stream = JStream(name, [f"{name}.>"], storage="memory")
options = Idempotency(NatsStore(broker, name), lease=2)

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
def address() -> str:
    return os.environ["CALLBOARD_NATS"]


@pytest.fixture
async def name(address: str) -> AsyncGenerator[str]:
    name = f"once_{uuid4().hex}"
    async with nats_server.server_at(address) as server:
        server.made |= {name, f"KV_{name}"}
        yield name


async def test_a_store_on_nats_lets_one_of_two_have_a_key(address: str, name: str) -> None:
    one, other = NatsBroker(address), NatsBroker(address)
    async with one, other:
        first, second = NatsStore(one, name), NatsStore(other, name)

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


async def test_what_was_in_the_hands_of_a_killed_process_is_handled_again_once(
    address: str, name: str
) -> None:
    dies = [sys.executable, "-c", DIES, address, name]
    killed = await anyio.run_process(dies, check=False, stderr=subprocess.DEVNULL)
    assert killed.returncode == -signal.SIGKILL
    broker, heard, handled = NatsBroker(address), Heard[int](2), list[int]()
    stream = JStream(name, [f"{name}.>"], storage="memory")
    options = Idempotency(NatsStore(broker, name), lease=2)

    @broker.publisher(f"{name}.out", stream=name)
    @broker.subscriber(f"{name}.in", stream=stream, durable="d", ack_wait=1, idempotent=options)
    async def handle(number: int) -> int:
        handled.append(number)
        return 2 * number

    @broker.subscriber(f"{name}.out", stream=stream, durable="out")
    async def hear(number: int) -> None:
        heard.hear(number)

    async with broker:
        await broker.start()
        await broker.publish(1, f"{name}.in", stream=name, message_id="one")
        await heard.complete()

    assert handled == [1]
    assert {*heard} == {2}
