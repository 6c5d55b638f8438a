"""A service on a RabbitMQ from 4.3 on that goes away and comes back."""

from __future__ import annotations

import pytest

from .conftest import Begin
from .kind import Kind
from .rabbit import RabbitNode
from .rabbit_newer import KIND
from .test_rabbit import test_a_restart_of_the_server_is_survived as survived

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.broker("rabbit_newer"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def kind() -> Kind:
    return KIND


async def test_a_restart_of_the_server_is_survived(
    begin: Begin, scale: float, node: RabbitNode
) -> None:
    await survived(begin, scale, node)
