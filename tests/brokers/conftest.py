from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from callboard_brokers import Memory, MemorySource, MemoryTarget
from callboard_brokers.memory import MemoryConnection


@pytest.fixture
def memory() -> Memory:
    return Memory(capacity=8)


@pytest.fixture
async def connection(
    memory: Memory,
) -> AsyncGenerator[MemoryConnection[MemorySource, MemoryTarget]]:
    async with memory.connect() as connection:
        yield connection
