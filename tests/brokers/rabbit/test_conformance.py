"""The adapter passes the public suite, on an older and a newer RabbitMQ, with every type of queue."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence

import pytest
from anyio.lowlevel import checkpoint

from callboard_brokers.conformance import CHECKS, Check, Harness
from callboard_brokers.rabbit import Rabbit, RabbitQueue, RabbitSource, RabbitTarget

from ...proxy import Proxy
from .server import NODES, Server, proxied

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.broker("rabbit"),
    pytest.mark.slow,
    pytest.mark.timeout(120),
]


def dead(address: str) -> str:
    return f"{address}.dead"


KINDS: dict[str, Callable[[str], RabbitQueue]] = {
    "classic": lambda address: RabbitQueue(
        address, dead_letter_exchange="", dead_letter_routing_key=dead(address)
    ),
    "quorum": lambda address: RabbitQueue(
        address, "quorum", dead_letter_exchange="", dead_letter_routing_key=dead(address)
    ),
    "stream": lambda address: RabbitQueue(address, "stream"),
}


@pytest.fixture(params=NODES)
def node(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=KINDS)
async def harness(
    request: pytest.FixtureRequest, node: str, network: Proxy, server: Server
) -> AsyncGenerator[Harness[RabbitSource, RabbitTarget]]:
    rabbit, kind = Rabbit(proxied(node)), KINDS[request.param]

    async def cut() -> None:
        network.refuse = True
        network.cut()
        await checkpoint()

    async def restore() -> None:
        network.restore()
        await checkpoint()

    async def smuggle(address: str, headers: Sequence[tuple[str, bytes | None]]) -> None:
        values = {name: None if octets is None else bytearray(octets) for name, octets in headers}
        await server.publish(address, values)

    harness = Harness(
        adapter=rabbit,
        source=lambda address, group: RabbitSource(kind(address)),
        target=RabbitTarget,
        stale=lambda: rabbit.counts["settle.stale"],
        settled_twice=lambda: rabbit.counts["settle.double"],
        dead_letters=lambda address: server.take_all(dead(address)),
        smuggle=smuggle,
        cut=cut,
        restore=restore,
        refused=Rabbit(proxied(node).replace("guest:guest", "guest:wrong")),
        patience=30.0,
    )
    await server.declare(dead(harness.address))
    yield harness
    await server.delete(dead(harness.address))
    await server.delete(harness.address)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_rabbit_conforms(check: Check, harness: Harness[RabbitSource, RabbitTarget]) -> None:
    await check(harness)
