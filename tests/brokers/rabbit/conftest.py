"""RabbitMQ's client runs on asyncio, and a server has a clock of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from uuid import uuid4

import pytest

from callboard_brokers.rabbit import Rabbit
from callboard_brokers.rabbit.connection import RabbitConnection

from ...proxy import Proxy, proxy
from .server import Server, server_at, through_proxy, url_of


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def node(request: pytest.FixtureRequest) -> str:
    """Which server it is; `on_both` has a test run with each."""
    return str(getattr(request, "param", "rabbit"))


@pytest.fixture
def url(node: str) -> str:
    return url_of(node)


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
async def network(node: str) -> AsyncGenerator[Proxy]:
    at, listen = through_proxy(node)
    async with proxy(listen, at) as network:
        yield network


@pytest.fixture
async def queue(server: Server) -> AsyncGenerator[str]:
    """A name for a queue, which is deleted in the end."""
    name = f"test.{uuid4().hex}"
    yield name
    await server.delete(name)
