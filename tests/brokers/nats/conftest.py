"""The client of NATS runs on asyncio, and a server has a clock of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from uuid import uuid4

import pytest

from callboard_brokers.nats import Nats
from callboard_brokers.nats.connection import NatsConnection

from .server import Events, Server, server_at


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def address() -> str:
    return os.environ["CALLBOARD_NATS"]


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def nats(address: str, events: Events) -> Nats:
    return Nats(address, notify=events.append)


@pytest.fixture
async def connection(nats: Nats) -> AsyncGenerator[NatsConnection]:
    async with nats.connect() as connection:
        yield connection


@pytest.fixture
async def server(address: str) -> AsyncGenerator[Server]:
    async with server_at(address) as server:
        yield server


@pytest.fixture
def name() -> str:
    """Return the name of a stream, and a subject, of one test alone."""
    return f"test_{uuid4().hex}"
