"""The adapter passes the public suite, against a real Redis."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from callboard_brokers.conformance import CHECKS, Check, Harness
from callboard_brokers.redis import (
    BinaryMessageFormatV1,
    Redis,
    RedisOptions,
    RedisSource,
    RedisTarget,
    StreamSub,
)

from ...proxy import proxy
from .server import Server

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.broker("redis"),
    pytest.mark.slow,
    pytest.mark.timeout(120),
]


def _of_a_group(address: str, group: str) -> RedisSource:
    return RedisSource(stream=StreamSub(address, group=group, consumer="one"))


KINDS: dict[str, Callable[[str, str], RedisSource]] = {
    "channel": lambda address, group: RedisSource(address),
    "list": lambda address, group: RedisSource(list=address),
    "group": _of_a_group,
    "forgetful": lambda address, group: RedisSource(
        stream=StreamSub(address, group=group, consumer="one", no_ack=True)
    ),
    "stream": lambda address, group: RedisSource(stream=address),
}


@pytest.fixture(params=KINDS)
async def harness(
    server: Server, address: str, name: str, request: pytest.FixtureRequest
) -> AsyncGenerator[Harness[RedisSource, RedisTarget]]:
    through, make = os.environ["CALLBOARD_REDIS_PROXY"], KINDS[request.param]
    redis = Redis(f"redis://{through}")
    kind = make("any", "any").kind

    def target(address: str) -> RedisTarget:
        given: dict[str, Any] = {kind: address}
        return RedisTarget(**given)

    async def smuggle(address: str, headers: Sequence[tuple[str, bytes | None]]) -> None:
        octets = BinaryMessageFormatV1.pack(b"", headers, address)
        word = {"channel": "PUBLISH", "list": "RPUSH", "stream": "XADD"}[kind]
        words = ("*", "__data__", octets) if kind == "stream" else (octets,)
        await server.ask(word, address, *words)

    async with proxy(through, address) as network:

        async def cut() -> None:
            network.refuse = True
            network.cut()
            await checkpoint()

        async def restore() -> None:
            network.restore()
            await checkpoint()

        yield Harness(
            adapter=redis,
            source=make,
            target=target,
            answer=RedisTarget,
            stale=lambda: redis.counts["settle.stale"],
            settled_twice=lambda: redis.counts["settle.double"],
            smuggle=smuggle,
            cut=cut,
            restore=restore,
            refused=Redis(f"redis://{address}", RedisOptions(username="alice", password="wrong")),
            address=name,
            patience=30.0,
        )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_redis_conforms(check: Check, harness: Harness[RedisSource, RedisTarget]) -> None:
    await check(harness)
