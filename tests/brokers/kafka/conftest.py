"""Kafka's client runs on asyncio, and a server has a clock of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from uuid import uuid4

import pytest

from callboard_brokers.kafka import Kafka
from callboard_brokers.kafka.connection import KafkaConnection

from .cluster import Cluster, cluster_at


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def address() -> str:
    return os.environ["CALLBOARD_KAFKA"]


@pytest.fixture
def kafka(address: str) -> Kafka:
    return Kafka(address)


@pytest.fixture
async def connection(kafka: Kafka) -> AsyncGenerator[KafkaConnection]:
    async with kafka.connect() as connection:
        yield connection


@pytest.fixture
async def cluster(address: str) -> AsyncGenerator[Cluster]:
    async with cluster_at(address) as cluster:
        yield cluster


@pytest.fixture
def topic() -> str:
    return f"test.{uuid4().hex}"
