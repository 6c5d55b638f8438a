"""A broker lives and dies with the web application that it is in, whatever its framework."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import TestClient as AiohttpClient
from aiohttp.test_utils import TestServer
from httpx import ASGITransport, AsyncClient
from litestar.testing import AsyncTestClient

from web import plain, with_aiohttp, with_litestar, with_starlette
from web.orders import broker

ORDER = {"customer": "ada", "pieces": 3}
pytestmark = pytest.mark.anyio


async def test_in_starlette() -> None:
    app = with_starlette.app
    for _ in range(2):
        async with (
            app.router.lifespan_context(app),
            AsyncClient(transport=ASGITransport(app), base_url="http://web") as client,
        ):
            assert broker.running
            assert (await client.post("/orders", json=ORDER)).json() == {"price": 7.5}

        assert not broker.running


async def test_in_litestar() -> None:
    async with AsyncTestClient(with_litestar.app) as client:
        assert (await client.post("/orders", json=ORDER)).json() == {"price": 7.5}

    assert not broker.running


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # as aiohttp is
async def test_in_aiohttp(anyio_backend: str) -> None:
    async with AiohttpClient(TestServer(with_aiohttp.application())) as client:
        answer = await client.post("/orders", json=ORDER)
        assert await answer.json() == {"price": 7.5}

    assert not broker.running


async def test_in_a_plain_script() -> None:
    assert await plain.main() == 7.5
    assert not broker.running
