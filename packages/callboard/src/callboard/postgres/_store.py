"""A table of PostgreSQL in which is kept which messages have been handled."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

import anyio

from callboard.declare._idempotency import Claim
from callboard.postgres._database import Postgres, database_of
from callboard.postgres._names import index_of, table_of

_SWEEP: Final = 60.0
"""Seconds between two looks for what is over."""
_AT_ONCE: Final = 1_000
"""How many of these are removed by one look, so that none takes long."""
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS {table} (
    key bytea PRIMARY KEY,
    owner text,
    until timestamptz NOT NULL,
    result bytea
);
CREATE INDEX IF NOT EXISTS {index}_until ON {table} (until);
"""
_CLAIM: Final = """
INSERT INTO {table} AS kept (key, owner, until)
VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, until = excluded.until, result = NULL
WHERE kept.until <= clock_timestamp() RETURNING 1
"""
_LOOK: Final = "SELECT owner, result FROM {table} WHERE key = $1 AND until > clock_timestamp()"
_EXTEND: Final = """
UPDATE {table} SET until = clock_timestamp() + make_interval(secs => $3)
WHERE key = $1 AND owner = $2 RETURNING 1
"""
_DONE: Final = """
UPDATE {table}
SET owner = NULL, until = clock_timestamp() + make_interval(secs => $3), result = $4
WHERE key = $1 AND owner = $2 RETURNING 1
"""
_FAILED: Final = "DELETE FROM {table} WHERE key = $1 AND owner = $2"
_FORGET: Final = """
DELETE FROM {table} WHERE key IN (
    SELECT key FROM {table} WHERE until <= clock_timestamp() LIMIT $1 FOR UPDATE SKIP LOCKED
)
"""


class PostgresStore:
    """Remembers in a *table* of a *database*, which is made if it is missing.

    The clock is the server's. What is over is removed once in a while, by whoever claims something.

    Args:
        database: A `Postgres`, which may be used for more than this, or where it is.
        table: The name of the table, as it is or with its schema.
        create: Whether the table is made if it is missing; else it has to be there: its SQL is
            `create_table`.

    Raises:
        DeclarationError: There can be no such table.
    """

    def __init__(
        self,
        database: Postgres | str,
        table: str = "callboard_idempotency",
        *,
        create: bool = True,
    ) -> None:
        self.database = database_of(database)
        self._table = table_of(table)
        self._missing = create
        self._turn = anyio.Lock()
        self._swept = -_SWEEP

    @property
    def create_table(self) -> str:
        """The SQL that makes the table, unless it is there."""
        return self._said(_TABLE)

    async def claim(self, key: str, owner: str, lease: float, /) -> Claim:
        """Claim *key*."""
        await self._forget()
        name = _name(key)
        if await self._value(_CLAIM, name, owner, lease) is not None:
            return Claim("ours")
        kept = await self._row(_LOOK, name)
        if kept is None or kept["owner"] is not None:  # None: it has just been given up
            return Claim("held")
        return Claim("done", kept["result"])

    async def extend(self, key: str, owner: str, lease: float, /) -> bool:
        """Extend a claim."""
        return await self._value(_EXTEND, _name(key), owner, lease) is not None

    async def done(self, key: str, owner: str, result: bytes | None, ttl: float, /) -> bool:
        """Keep *result*."""
        return await self._value(_DONE, _name(key), owner, ttl, result) is not None

    async def failed(self, key: str, owner: str, /) -> None:
        """Let the next one claim *key*."""
        await self._value(_FAILED, _name(key), owner)

    async def _forget(self) -> None:
        """Remove what is over, if nobody here has done so for some time, or there was too much."""
        now = anyio.current_time()
        if now < self._swept + _SWEEP:
            return
        self._swept = now
        removed = await self._command(_FORGET, _AT_ONCE)
        if removed == f"DELETE {_AT_ONCE}":
            self._swept = -_SWEEP

    async def _value(self, sql: str, *values: object) -> object:
        row = await self._row(sql, *values)
        return None if row is None else row[0]

    async def _row(self, sql: str, *values: object) -> Any:
        async with self.database.connection() as connection:
            await self._prepare(connection)
            return await connection.fetchrow(self._said(sql), *values)

    async def _command(self, sql: str, *values: object) -> str:
        async with self.database.connection() as connection:
            await self._prepare(connection)
            return await connection.execute(self._said(sql), *values)

    async def _prepare(self, connection: Any) -> None:
        if not self._missing:
            return
        async with self._turn:
            if self._missing:
                await make(connection, self._table, self.create_table)
                self._missing = False

    def _said(self, sql: str) -> str:
        return sql.format(table=self._table, index=index_of(self._table))


async def make(connection: Any, table: str, sql: str) -> None:
    """Make *table* by *sql*, unless it is there; one after another, for two at once would collide."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext($1))", table)
        await connection.execute(sql)


def _name(key: str) -> bytes:
    return sha256(key.encode(errors="surrogatepass")).digest()  # a key may hold any character
