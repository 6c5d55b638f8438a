"""RabbitMQ's client runs on asyncio, and a server has a clock of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from uuid import uuid4

import pytest

from callboard_brokers.rabbit import Rabbit
from callboard_brokers.rabbit.connection import RabbitConnection

from ...proxy import Proxy, proxy
from .server import Server, server_at, through_proxy


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def url() -> str:
    return os.environ["CALLBOARD_RABBIT"]


@pytest.fixture
def rabbit(url: str) -> Rabbit:
    return Rabbit(url)


@pytest.fixture
async def connection(rabbit: Rabbit) -> AsyncGenerator[RabbitConnection]:
    async with rabbit.connect() as connection:
        yield connection


@pytest.fixture
async def server(url: str) -> AsyncGenerator[Server]:
    async with server_at(url) as server:
        yield server


@pytest.fixture
async def network() -> AsyncGenerator[Proxy]:
    at, listen = through_proxy()
    async with proxy(listen, at) as network:
        yield network


@pytest.fixture
async def queue(server: Server) -> AsyncGenerator[str]:
    """A name for a queue, which is deleted in the end."""
    name = f"test.{uuid4().hex}"
    yield name
    await server.delete(name)
