"""An adapter of a third party passes the public suite, on both backends."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from anyio import to_thread

from callboard_brokers.conformance import CHECKS, Check, Harness

from .sqlite_adapter import PUBLISH, Sqlite, SqliteSource, SqliteTarget

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


class Lock:
    """Keeps a file from everybody else."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._taken: list[sqlite3.Connection] = []

    async def take(self) -> None:
        await to_thread.run_sync(self._take)

    async def give(self) -> None:
        while self._taken:
            await to_thread.run_sync(self._taken.pop().close)

    def _take(self) -> None:
        self._taken.append(sqlite3.connect(self._path, check_same_thread=False))
        self._taken[-1].execute("BEGIN EXCLUSIVE")


@pytest.fixture
def harness(tmp_path: Path) -> Harness[SqliteSource, SqliteTarget]:
    path = str(tmp_path / "queues.db")
    adapter = Sqlite(path)

    def dead(address: str) -> Sequence[bytes]:
        database = sqlite3.connect(path)
        try:
            query = "SELECT body FROM messages WHERE dead AND queue = ? ORDER BY id"
            return [body for (body,) in database.execute(query, (address,))]
        finally:
            database.close()

    async def dead_letters(address: str) -> Sequence[bytes]:
        return await to_thread.run_sync(dead, address)

    def insert(address: str, headers: Sequence[tuple[str, bytes | None]]) -> None:
        stored = json.dumps([(name, (value or b"").hex()) for name, value in headers])
        database = sqlite3.connect(path)
        try:
            with database:
                database.execute(PUBLISH, (b"", None, stored, address))
        finally:
            database.close()

    async def smuggle(address: str, headers: Sequence[tuple[str, bytes | None]]) -> None:
        await to_thread.run_sync(insert, address, headers)

    lock = Lock(path)

    return Harness(
        adapter=adapter,
        source=lambda address, group: SqliteSource(address, group=group),
        target=SqliteTarget,
        stale=lambda: adapter.journal.counts["settle.stale"],
        settled_twice=lambda: adapter.journal.counts["settle.double"],
        dead_letters=dead_letters,
        smuggle=smuggle,
        cut=lock.take,
        restore=lock.give,
        many=1_000,  # each is a transaction on a disk
        patience=20.0,
        silence=0.3,
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_adapter_conforms(
    check: Check, harness: Harness[SqliteSource, SqliteTarget]
) -> None:
    await check(harness)
