"""What the tests against real servers share: topics of their own, and a broker that speaks there."""

from __future__ import annotations

import os
from uuid import uuid4

import pytest

from callboard.kafka import KafkaBroker


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # as the clients are


@pytest.fixture
def topic() -> str:
    return f"e2e.{uuid4().hex}"


@pytest.fixture
def kafka() -> KafkaBroker:
    return KafkaBroker(os.environ["CALLBOARD_KAFKA"], dead_letter="{address}.dead")
