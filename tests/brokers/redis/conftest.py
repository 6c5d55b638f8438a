"""The client of Redis runs on asyncio, and a server has a clock of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from uuid import uuid4

import pytest

from callboard_brokers.redis import Redis
from callboard_brokers.redis.connection import RedisConnection

from .server import Events, Server, server_at


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def address() -> str:
    return os.environ["CALLBOARD_REDIS"]


@pytest.fixture
def url(address: str) -> str:
    return f"redis://{address}"


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def redis(url: str, events: Events) -> Redis:
    return Redis(url, notify=events.append)


@pytest.fixture
async def connection(redis: Redis) -> AsyncGenerator[RedisConnection]:
    async with redis.connect() as connection:
        yield connection


@pytest.fixture
async def server(address: str) -> AsyncGenerator[Server]:
    async with server_at(address) as server:
        yield server


@pytest.fixture
async def name(server: Server) -> AsyncGenerator[str]:
    """Return a name that one test alone has; what is called so ends with it."""
    name = f"test.{uuid4().hex}"
    yield name
    await server.forget(name)
