"""Preparing: what has to be there before anything is read or published."""

# ruff: noqa: S101 - these are tests: they assert

from __future__ import annotations

from callboard_brokers._port import Preparing
from callboard_brokers.conformance._harness import Harness, Stage


async def what_is_prepared_keeps_what_is_published_before_it_is_read(harness: Harness) -> None:
    harness.needs("persistent")
    async with harness.connect() as stage:
        await _prepare(stage)
        await stage.publish(b"early")
        await _prepare(stage)
        async with stage.read() as incoming:
            assert (await incoming.one()).message.body == b"early"


async def _prepare(stage: Stage) -> None:
    harness, connection = stage.harness, stage.connection
    if not isinstance(connection, Preparing):
        harness.lacks("preparing")
    source = harness.source(harness.address, "readers")
    targets = [harness.target(harness.address)]
    await connection.prepare([source], targets)  # pyright: ignore[reportUnknownMemberType] - isinstance can't say of what
