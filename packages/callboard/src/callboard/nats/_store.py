"""A bucket of NATS in which is kept which messages have been handled."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from hashlib import sha256
from time import time
from typing import TYPE_CHECKING, Any

from callboard._errors import DeclarationError
from callboard.declare._idempotency import Claim
from callboard.nats._broker import NatsBroker

if TYPE_CHECKING:
    from callboard_brokers.nats.connection import Entries


class NatsStore:
    """Remembers in a *bucket* of keys and values, by the connection of *broker*.

    The bucket is made if it is missing, and forgets everything after *ttl* seconds; an `Idempotency`
    can have less. Whether a claim is up is told by the clocks of the processes.
    """

    def __init__(
        self,
        broker: NatsBroker,
        bucket: str = "callboard_idempotency",
        *,
        ttl: float = 7 * 86_400.0,
    ) -> None:
        self._broker = broker
        self._bucket = bucket
        self._ttl = ttl
        self._open: tuple[object, Entries] | None = None

    async def claim(self, key: str, owner: str, lease: float, /) -> Claim:
        """Claim *key*."""
        entries, name, now = await self._entries(), _name(key), time()
        value, revision = await entries.get(name)
        kept = _read(value)
        if kept["until"] > now:
            result = kept.get("result")
            if kept.get("owner") is not None:
                return Claim("held")
            return Claim("done", None if result is None else b64decode(result))
        claimed = await entries.put(name, _written(owner, now + lease), revision)
        return Claim("ours" if claimed else "held")

    async def extend(self, key: str, owner: str, lease: float, /) -> bool:
        """Extend a claim."""
        return await self._change(key, owner, _written(owner, time() + lease))

    async def done(self, key: str, owner: str, result: bytes | None, ttl: float, /) -> bool:
        """Keep *result*."""
        return await self._change(key, owner, _written(None, time() + ttl, result))

    async def failed(self, key: str, owner: str, /) -> None:
        """Let the next one claim *key*."""
        await self._change(key, owner, _written(owner, 0.0))

    async def _change(self, key: str, owner: str, value: bytes) -> bool:
        entries, name = await self._entries(), _name(key)
        while True:
            found, revision = await entries.get(name)
            kept = _read(found)
            if kept.get("owner") != owner:
                return False
            if await entries.put(name, value, revision):
                return True

    async def _entries(self) -> Entries:
        connection: Any = self._broker.slot.connection
        if self._open is None or self._open[0] is not connection:
            if not hasattr(connection, "entries"):
                raise DeclarationError(
                    "a NatsStore keeps on a server, and there is none under a test broker; give"
                    " Idempotency a MemoryStore() there"
                )
            entries = await connection.entries(self._bucket, ttl=self._ttl)
            self._open = connection, entries
        return self._open[1]


def _name(key: str) -> str:
    return sha256(key.encode(errors="surrogatepass")).hexdigest()  # a key may hold any character


def _written(owner: str | None, until: float, result: bytes | None = None) -> bytes:
    kept = None if result is None else b64encode(result).decode()
    return json.dumps({"owner": owner, "until": until, "result": kept}).encode()


def _read(value: bytes | None) -> dict[str, Any]:
    return {"until": 0.0} if value is None else json.loads(value)
