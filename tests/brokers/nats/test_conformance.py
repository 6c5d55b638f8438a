"""The adapter passes the public suite, against a real NATS."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from uuid import uuid4

import pytest
from anyio.lowlevel import checkpoint

from callboard_brokers.conformance import CHECKS, Check, Harness
from callboard_brokers.nats import (
    ConsumerConfig,
    JStream,
    Nats,
    NatsOptions,
    NatsSource,
    NatsTarget,
)

from ...proxy import proxy
from .server import Server

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.broker("nats"),
    pytest.mark.slow,
    pytest.mark.timeout(120),
]


@dataclass(frozen=True)
class Kind:
    """A kind of source, made of a stream, an address and a group; and where it reads from."""

    source: Callable[[JStream, str, str], NatsSource]
    stored: bool = True
    keys: bool = False


KINDS = {
    "core": Kind(lambda stream, address, group: NatsSource(address), stored=False),
    "queue": Kind(lambda stream, address, group: NatsSource(address, group), stored=False),
    "durable": Kind(
        lambda stream, address, group: NatsSource(address, stream=stream, durable=group)
    ),
    "nameless": Kind(lambda stream, address, group: NatsSource(address, stream=stream)),
    "pushed": Kind(
        lambda stream, address, group: NatsSource(
            address,
            group,
            stream=stream,
            durable=group,
            pull_sub=False,
            config=ConsumerConfig(max_ack_pending=20_000),
        )
    ),
    "ordered": Kind(
        lambda stream, address, group: NatsSource(address, stream=stream, ordered_consumer=True)
    ),
    "keys": Kind(
        lambda stream, address, group: NatsSource(
            address, kv_watch=stream.name.removeprefix("KV_")
        ),
        keys=True,
    ),
}


@pytest.fixture(params=KINDS)
async def harness(
    server: Server, address: str, request: pytest.FixtureRequest
) -> AsyncGenerator[Harness[NatsSource, NatsTarget]]:
    through, kind = os.environ["CALLBOARD_NATS_PROXY"], KINDS[request.param]
    nats, name = Nats(through), f"KV_{uuid4().hex}"
    prefix = f"$KV.{name.removeprefix('KV_')}." if kind.keys else ""

    subjects = [f"{prefix}>"] if kind.keys else []
    history = -1 if kind.keys else None
    stream = JStream(name, subjects, storage="memory", max_msgs_per_subject=history)

    def target(address: str) -> NatsTarget:
        return NatsTarget(prefix + address, stream=stream if kind.stored else None)

    if kind.stored:
        server.made.add(name)
        async with Nats(address).connect() as connection:
            await connection.prepare([], [target("any")] if kind.keys else [])
    async with proxy(through, address) as network:

        async def cut() -> None:
            network.refuse = True
            network.cut()
            await checkpoint()

        async def restore() -> None:
            network.restore()
            await checkpoint()

        yield Harness(
            adapter=nats,
            source=lambda address, group: kind.source(stream, address, group),
            target=target,
            answer=NatsTarget,
            stale=lambda: nats.counts["settle.stale"],
            settled_twice=lambda: nats.counts["settle.double"],
            smuggle=lambda address, headers: server.publish_headers(prefix + address, headers),
            cut=cut,
            restore=restore,
            refused=Nats(address, NatsOptions(user="alice", password="wrong")),
            patience=30.0,
        )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_nats_conforms(check: Check, harness: Harness[NatsSource, NatsTarget]) -> None:
    await check(harness)
