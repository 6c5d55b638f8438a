"""The memory adapter passes the public suite."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from callboard_brokers import Memory, MemorySource, MemoryTarget, Message, Metadata
from callboard_brokers.conformance import CHECKS, Check, Harness

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["group", "no group"])
def harness(request: pytest.FixtureRequest) -> Harness[MemorySource, MemoryTarget]:
    shared = request.param == "group"
    memory = Memory(capacity=50)

    async def dead_letters(address: str) -> Sequence[bytes]:
        return [letter.message.body for letter in memory.dead_letters(address)]

    async def smuggle(address: str, headers: Sequence[tuple[str, bytes | None]]) -> None:
        def load(_: object) -> Metadata:
            raise LookupError(f"no Metadata can be made of {headers}")

        async with memory.connect() as connection:
            await connection.publish(Message(b"", load=load), MemoryTarget(address))

    return Harness(
        adapter=memory,
        source=lambda address, group: MemorySource(address, group=group if shared else None),
        target=MemoryTarget,
        stale=lambda: memory.stats().stale,
        settled_twice=lambda: memory.stats().settled_twice,
        dead_letters=dead_letters,
        bound=50,
        smuggle=smuggle,
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_memory_conforms(check: Check, harness: Harness[MemorySource, MemoryTarget]) -> None:
    await check(harness)
