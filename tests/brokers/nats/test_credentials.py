"""Credentials that expire, on a server of the test's own, which trusts an operator of its own."""

# The library of keys says nothing of its types:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
import os
import time
from base64 import b32encode, urlsafe_b64encode
from collections.abc import Generator
from hashlib import sha256
from pathlib import Path
from signal import SIGKILL
from typing import Any

import nkeys  # type: ignore[import-untyped] # it says nothing of its types
import pytest
from anyio import fail_after

from callboard_brokers import AccessRefused, Capacity, Message
from callboard_brokers.events import ServerFound
from callboard_brokers.nats import Nats, NatsOptions, NatsSource, NatsTarget

from ...chaos.kind import Daemon, free_ports, listens
from ...chaos.nats import program
from .server import Events, bodies, take

pytestmark = [pytest.mark.anyio, pytest.mark.broker("nats"), pytest.mark.slow]


class Authority:
    """A server that lets in whom its account has signed; their credentials are in *file*."""

    def __init__(self, folder: Path) -> None:
        (port,) = free_ports(1)
        self.address, self.file = f"127.0.0.1:{port}", folder / "user.creds"
        _, operator = _pair(nkeys.PREFIX_BYTE_OPERATOR)
        _, self._account = _pair(nkeys.PREFIX_BYTE_ACCOUNT)
        unlimited = dict.fromkeys(["subs", "data", "payload", "imports", "exports", "conn"], -1)
        trusted = _signed(operator, operator, "operator")
        account = _signed(
            operator, self._account, "account", limits=unlimited | {"wildcards": True}
        )
        (folder / "server.conf").write_text(
            f'listen: {self.address}\noperator: "{trusted}"\nresolver: MEMORY\n'
            f'resolver_preload: {{ {self._account.public_key.decode()}: "{account}" }}\n'
        )
        command = [program(), "-c", str(folder / "server.conf")]
        self.node = Daemon(command, folder, lambda: listens(self.address))

    def issue(self, seconds: float) -> None:
        """Write credentials that hold for so long."""
        seed, user = _pair(nkeys.PREFIX_BYTE_USER)
        limits = dict.fromkeys(["subs", "data", "payload"], -1)
        token = _signed(self._account, user, "user", exp=int(time.time() + seconds), **limits)
        new = self.file.with_suffix(".new")
        new.write_text(
            f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
        new.replace(self.file)


@pytest.fixture
def authority(tmp_path: Path) -> Generator[Authority]:
    if not program():
        pytest.skip("there is no nats-server that may be started; make brokers-up makes one")
    made = Authority(tmp_path)
    try:
        made.node.start()
        yield made
    finally:
        made.node.stop(SIGKILL)


async def test_credentials_that_have_expired_end_the_start(authority: Authority) -> None:
    authority.issue(-60)
    nats = Nats(authority.address, NatsOptions(user_credentials=str(authority.file)))
    with fail_after(45), pytest.raises(AccessRefused, match="which may have expired"):
        async with nats.connect():
            pass


async def test_credentials_that_expire_are_read_anew(authority: Authority) -> None:
    events, source = Events(), NatsSource("orders")
    authority.issue(3)
    options = NatsOptions(user_credentials=str(authority.file))
    async with (
        Nats(authority.address, options, notify=events.append).connect() as connection,
        connection.subscribe(source, Capacity(5)) as reading,
    ):
        authority.issue(600)
        await events.until(ServerFound)  # it was lost meanwhile
        await connection.publish(Message(b"later"), NatsTarget("orders"))

        assert bodies(await take(reading, 1)) == [b"later"]


def _pair(prefix: int) -> tuple[str, Any]:
    """Make a seed and the pair of keys that it is of."""
    seed = bytes(nkeys.encode_seed(os.urandom(32), prefix))
    return seed.decode(), nkeys.from_seed(bytearray(seed))


def _signed(signer: Any, subject: Any, kind: str, exp: int | None = None, **more: Any) -> str:
    """Return what *signer* says of *subject*, as NATS writes that."""
    claims: dict[str, Any] = {
        "iat": int(time.time()),
        "iss": signer.public_key.decode(),
        "name": kind,
        "sub": subject.public_key.decode(),
        "nats": {"type": kind, "version": 2, **more},
        **({} if exp is None else {"exp": exp}),
    }
    digest = sha256(json.dumps(claims).encode()).digest()
    claims["jti"] = b32encode(digest).decode().rstrip("=")
    parts = [
        _text(json.dumps(each).encode()) for each in ({"typ": "JWT", "alg": "ed25519-nkey"}, claims)
    ]
    return ".".join([*parts, _text(signer.sign(".".join(parts).encode()))])


def _text(octets: bytes) -> str:
    return urlsafe_b64encode(octets).decode().rstrip("=")
