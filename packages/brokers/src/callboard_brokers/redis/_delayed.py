"""What is published for later: the server keeps it, and whoever reads there publishes what is due."""

from __future__ import annotations

from math import inf
from uuid import uuid4

from callboard_brokers.redis._link import Link
from callboard_brokers.redis._message import FIELD
from callboard_brokers.redis._records import RedisTarget, beside
from callboard_brokers.redis._scripts import SCRIPTS


async def put_off(link: Link, target: RedisTarget, octets: bytes, seconds: float) -> None:
    """Return once the server keeps *octets*, to be published to *target* in so many *seconds*."""
    member = uuid4().hex.encode() + octets
    kept, after = beside(target.address, "delayed"), round(seconds * 1000)
    await link.call(target.address, "EVAL", SCRIPTS["put_off"], 1, kept, after, member)


async def due_now(link: Link, kind: str, address: str) -> float:
    """Have what is due published there; return after how many seconds the next is."""
    kept = beside(address, "delayed")
    if not await link.call(
        address, "EXISTS", kept
    ):  # who puts nothing off needs no right to scripts
        return inf
    words = SCRIPTS["delayed"], 2, kept, address, kind, FIELD
    after: int | None = await link.call(address, "EVAL", *words)
    return inf if after is None else after / 1000
