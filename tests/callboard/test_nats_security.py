"""What a server of NATS is told of who we are, and what it may answer to that."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from anyio import (
    BrokenResourceError,
    EndOfStream,
    IncompleteRead,
    create_task_group,
    create_tcp_listener,
    fail_after,
)
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from callboard import DeclarationError
from callboard.nats import (
    NatsBroker,
    NatsCredentials,
    NatsJWT,
    NatsNKey,
    NatsSecurity,
    NatsToken,
    NatsUserPassword,
)
from callboard.security import BaseSecurity, SASLPlaintext, SASLScram256
from callboard_brokers import AccessRefused

pytestmark = pytest.mark.anyio

SEED = "SUAGXLDLDDAMALPX4KPB4KFBS4EIPT7KUUO2QRVYVQI3YQHY2OSKTY7MCM"
KEY = "UCJ4CTPUNHKEMQL25F5PNULFIVYCAUBAUP4IJMKDISJ4FXWOZIFBA4YX"
"""Of a key that is nobody's."""
CREDENTIALS = f"""\
-----BEGIN NATS USER JWT-----
a.b.c
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
{SEED}
------END USER NKEY SEED------
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # as the client is


class Door:
    """As much of a server as greets, hears who comes, and lets him in or not."""

    def __init__(self, refusal: str | None) -> None:
        self.heard: dict[str, Any] = {}
        self.address = ""
        self._refusal = refusal

    async def open(self, stream: SocketStream) -> None:
        greeting = {"version": "2.12.0", "max_payload": 2**20, "nonce": "n", "headers": True}
        received = BufferedByteReceiveStream(stream)
        async with stream:
            await stream.send(b"INFO %b\r\n" % json.dumps(greeting).encode())
            line = await received.receive_until(b"\r\n", 10_000)
            self.heard = json.loads(line.removeprefix(b"CONNECT "))
            if self._refusal is not None:
                await stream.send(b"-ERR '%b'\r\n" % self._refusal.encode())
                return
            while True:  # until the client hangs up
                if await received.receive_until(b"\r\n", 10_000) == b"PING":
                    await stream.send(b"PONG\r\n")


@asynccontextmanager
async def door(refusal: str | None = None) -> AsyncGenerator[Door]:
    """Open one on a port of its own."""
    door = Door(refusal)

    async def serve(stream: SocketStream) -> None:
        with suppress(EndOfStream, IncompleteRead, BrokenResourceError):  # who has hung up
            await door.open(stream)

    async with await create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no Django is here
        door.address = f"127.0.0.1:{port}"
        async with create_task_group() as tasks:
            tasks.start_soon(listener.serve, serve)
            yield door
            tasks.cancel_scope.cancel()


async def told(security: BaseSecurity) -> dict[str, Any]:
    """Return what a server is told by a broker."""
    async with door() as there:
        with fail_after(15):
            async with NatsBroker(there.address, security=security):
                return there.heard


@pytest.mark.parametrize(
    ("security", "proof"),
    [
        (NatsToken("secret"), {"auth_token": "secret"}),
        (NatsToken(lambda: "fresh"), {"auth_token": "fresh"}),
        (NatsUserPassword("alice", "secret"), {"user": "alice", "pass": "secret"}),
        (SASLPlaintext("alice", "secret"), {"user": "alice", "pass": "secret"}),
        (NatsNKey.from_string(SEED), {"nkey": KEY}),
        (NatsCredentials.from_string(CREDENTIALS), {"jwt": "a.b.c"}),
        (NatsJWT(lambda: b"d.e.f", lambda nonce: b"of " + nonce.encode()), {"jwt": "d.e.f"}),
        (NatsSecurity(), {}),
    ],
    ids=lambda each: type(each).__name__,
)
async def test_a_server_is_told_what_proves_who_we_are(
    security: BaseSecurity, proof: dict[str, str]
) -> None:
    heard = await told(security)

    assert {name: heard.get(name) for name in proof} == proof
    assert bool(heard.get("sig")) is bool({"nkey", "jwt"} & {*proof})


def test_files_are_read_by_the_client_whenever_it_connects() -> None:
    said = [
        NatsNKey("alice.nk").said,
        NatsCredentials.from_file("alice.creds").said,
        NatsCredentials.from_files("alice.jwt", "alice.nk", tls_hostname="nats").said,
    ]

    assert said == [
        {"nkeys_seed": "alice.nk"},
        {"user_credentials": "alice.creds"},
        {"user_credentials": ("alice.jwt", "alice.nk"), "tls_hostname": "nats"},
    ]


@pytest.mark.parametrize(
    "answer",
    ["User Authentication Expired", "Authorization Violation", "Account Authentication Expired"],
)
async def test_credentials_that_are_no_longer_good_end_the_start(answer: str) -> None:
    async with door(answer) as there:
        nats = NatsBroker(there.address, security=NatsCredentials.from_string(CREDENTIALS))
        with fail_after(15), pytest.raises(AccessRefused, match=r"(?i)auth"):
            await nats.connect()


def test_what_is_for_other_brokers_is_refused() -> None:
    with pytest.raises(DeclarationError, match="not for NATS") as raised:
        NatsBroker(security=SASLScram256("alice", "secret"))

    assert "secret" not in str(raised.value)


def test_no_secret_is_shown() -> None:
    secrets = NatsToken("xyz"), NatsUserPassword("alice", "xyz"), NatsNKey(seed="xyz")

    assert "xyz" not in repr(secrets)
    assert "xyz" not in repr(NatsCredentials.from_string("xyz"))
