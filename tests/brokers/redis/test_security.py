"""Who is let in, by which way, and what a server says to the others."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest
from anyio import fail_after

from callboard_brokers import AccessRefused, Capacity, ConnectionLost, Message, PublishFailed
from callboard_brokers.redis import Redis, RedisOptions, RedisSource, RedisTarget
from callboard_brokers.redis._client import refusal

from .server import Server

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.broker("redis"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


async def test_a_user_of_the_access_list_is_let_in(address: str, name: str) -> None:
    async with Redis(f"redis://alice:alice-secret@{address}").connect() as connection:
        await connection.ping()


async def test_a_right_that_is_missing_is_named(address: str, name: str, server: Server) -> None:
    user = name.replace(".", "-")
    await server.ask("ACL", "SETUSER", user, "on", ">s", "~*", "&*", "+@connection", "+hello")
    try:
        async with Redis(f"redis://{user}:s@{address}").connect() as connection:
            with pytest.raises(AccessRefused, match="ACL SETUSER"):
                await connection.publish(Message(b"x"), RedisTarget(list=name))
            with pytest.raises(AccessRefused, match="NOPERM"):
                async with connection.subscribe(RedisSource(list=name), Capacity(1)) as reading:
                    await reading.receive(1)
    finally:
        await server.ask("ACL", "DELUSER", user)


@pytest.mark.skipif("CALLBOARD_REDIS_TLS" not in os.environ, reason="it was not started here")
async def test_tls_is_by_an_authority_of_ones_own(name: str) -> None:
    folder = Path(os.environ["CALLBOARD_REDIS_CERTIFICATES"])
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    options = RedisOptions(ssl_context=context)
    url = f"rediss://{os.environ['CALLBOARD_REDIS_TLS']}"
    async with Redis(url, options).connect() as connection:
        assert await connection.publish(Message(b"x"), RedisTarget(list=name)) == 1


@pytest.mark.parametrize(
    ("said", "kind", "advice"),
    [
        ("NOAUTH Authentication required.", AccessRefused, "password="),
        ("READONLY You can't write against a read only replica.", ConnectionLost, "master"),
        ("OOM command not allowed when used memory > 'maxmemory'.", PublishFailed, "maxmemory"),
        ("CROSSSLOT Keys in request don't hash to the same slot", Exception, "hash tag"),
    ],
)
def test_what_a_server_refuses_is_one_clear_line(
    said: str, kind: type[Exception], advice: str
) -> None:
    error = refusal(said, "orders")

    assert isinstance(error, kind)
    assert str(error).startswith(f"orders: {said}; ")
    assert advice in str(error)


async def test_a_server_that_is_full_refuses_what_is_published(
    address: str, name: str, server: Server
) -> None:
    async with Redis(f"redis://{address}").connect() as connection:
        await server.ask("CONFIG", "SET", "maxmemory", "1")
        try:
            with fail_after(30), pytest.raises(PublishFailed, match="OOM"):
                await connection.publish(Message(b"x"), RedisTarget(list=name))
        finally:
            await server.ask("CONFIG", "SET", "maxmemory", "0")
