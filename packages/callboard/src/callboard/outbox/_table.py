"""The table in which messages wait, and what is said to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from callboard._errors import DeclarationError
from callboard.outbox._row import LANES, Row
from callboard.postgres import Postgres
from callboard.postgres._names import index_of, table_of
from callboard.postgres._store import make

_MAKE: Final = f"""
CREATE TABLE IF NOT EXISTS {{table}} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane smallint NOT NULL,
    ordered_by text,
    address text NOT NULL,
    body bytea,
    envelope json NOT NULL,
    written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    sent_at timestamptz,
    refused_at timestamptz,
    error text
);
CREATE INDEX IF NOT EXISTS {{index}}_waiting ON {{table}} (lane, id)
    WHERE sent_at IS NULL AND refused_at IS NULL;
CREATE INDEX IF NOT EXISTS {{index}}_sent ON {{table}} (sent_at) WHERE sent_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS {{table}}_lanes (
    lane smallint PRIMARY KEY,
    owner text,
    until timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO {{table}}_lanes (lane) SELECT generate_series(0, {LANES - 1}) ON CONFLICT DO NOTHING;
"""
_WRITE: Final = """
WITH written AS (
    INSERT INTO {table} (lane, ordered_by, address, body, envelope)
    VALUES ($1, $2, $3, $4, $5::text::json) RETURNING 1
) SELECT pg_notify('{index}', '') FROM written
"""
_LEASE: Final = """
WITH free AS MATERIALIZED (
    SELECT lane FROM {table}_lanes AS lanes
    WHERE until <= clock_timestamp() AND EXISTS (
        SELECT 1 FROM {table} AS waiting
        WHERE waiting.lane = lanes.lane AND sent_at IS NULL AND refused_at IS NULL
    )
    ORDER BY until LIMIT $3 FOR UPDATE SKIP LOCKED
)
UPDATE {table}_lanes AS lanes
SET owner = $1, until = clock_timestamp() + make_interval(secs => $2)
FROM free WHERE lanes.lane = free.lane RETURNING lanes.lane
"""
_EXTEND: Final = """
UPDATE {table}_lanes SET until = clock_timestamp() + make_interval(secs => $2)
WHERE owner = $1 AND lane = ANY($3::smallint[]) AND until > clock_timestamp() RETURNING lane
"""
_RELEASE: Final = """
UPDATE {table}_lanes SET owner = NULL, until = clock_timestamp()
WHERE owner = $1 AND lane = ANY($2::smallint[])
"""
_TAKE: Final = """
SELECT waiting.* FROM unnest($1::smallint[]) AS leased (number) CROSS JOIN LATERAL (
    SELECT id, ordered_by, address, body, envelope FROM {table}
    WHERE lane = leased.number AND sent_at IS NULL AND refused_at IS NULL ORDER BY id LIMIT $2
) AS waiting ORDER BY waiting.id
"""
_SENT: Final = "UPDATE {table} SET sent_at = clock_timestamp() WHERE id = ANY($1::bigint[])"
_GONE: Final = "DELETE FROM {table} WHERE id = ANY($1::bigint[])"
_REFUSED: Final = """
UPDATE {table} SET refused_at = clock_timestamp(), error = $2 WHERE id = $1
"""
_PRUNE: Final = """
DELETE FROM {table} WHERE id IN (
    SELECT id FROM {table} WHERE sent_at <= clock_timestamp() - make_interval(secs => $1)
    LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""
_AT_ONCE: Final = 1_000
"""How many are removed by one command, so that none takes long."""


class Table:
    """A table of a database, and that of the lanes beside it.

    Attributes:
        database: Where it is.
        name: What it is called, with its schema or without.
        channel: Where those who wait for messages hear that there are some.
    """

    def __init__(self, database: Postgres, name: str) -> None:
        self.database = database
        self.name = table_of(name)
        self.channel = index_of(name)

    @property
    def sql(self) -> str:
        """What makes both, unless they are there."""
        return self._said(_MAKE)

    async def make(self) -> None:
        """Make both, unless they are there."""
        async with self.database.connection() as connection:
            await make(connection, self.name, self.sql)

    async def write(self, connection: Any, row: Row) -> None:
        """Write *row* in the transaction of *connection*: of asyncpg, or an async one of SQLAlchemy.

        Raises:
            DeclarationError: It is none, or is in no transaction.
        """
        sql, values = self._said(_WRITE), (row.lane, row.ordered_by, row.address, row.body)
        if hasattr(connection, "get_bind") and hasattr(connection, "connection"):
            connection = await connection.connection()  # of a session
        if hasattr(connection, "exec_driver_sql"):
            await connection.exec_driver_sql(sql, (*values, row.envelope))
            return
        if not hasattr(connection, "is_in_transaction"):
            raise DeclarationError(
                f"{connection!r} is no connection of asyncpg, nor an AsyncConnection or AsyncSession"
                " of SQLAlchemy"
            )
        if not connection.is_in_transaction():
            raise DeclarationError(
                "a message for an outbox is to be written in a transaction, with what it tells of:"
                " async with connection.transaction()"
            )
        await connection.execute(sql, *values, row.envelope)

    async def lease(self, owner: str, seconds: float, most: int) -> Sequence[int]:
        """Let *owner* have up to *most* lanes in which something waits, and that nobody else has."""
        return [row["lane"] for row in await self._rows(_LEASE, owner, seconds, most)]

    async def extend(self, owner: str, seconds: float, lanes: Sequence[int]) -> bool:
        """Let him have them for longer; return whether they were all still his."""
        return len(await self._rows(_EXTEND, owner, seconds, lanes)) == len(lanes)

    async def release(self, owner: str, lanes: Sequence[int]) -> None:
        """Let others have them."""
        await self._do(_RELEASE, owner, lanes)

    async def take(self, lanes: Sequence[int], most: int) -> Sequence[Any]:
        """Return what waits in *lanes*, up to *most* of each, in the order in which it was written."""
        return await self._rows(_TAKE, lanes, most)

    async def sent(self, ids: Sequence[int], *, keep: bool) -> None:
        """Note that these are out; or *keep* nothing of them."""
        await self._do(_SENT if keep else _GONE, ids)

    async def refused(self, number: int, error: str) -> None:
        """Set one aside that never can be sent."""
        await self._do(_REFUSED, number, error)

    async def prune(self, age: float) -> None:
        """Remove what was sent before *age* seconds."""
        while await self._do(_PRUNE, age, _AT_ONCE) == f"DELETE {_AT_ONCE}":
            pass

    async def _rows(self, sql: str, *values: object) -> Sequence[Any]:
        async with self.database.connection() as connection:
            return await connection.fetch(self._said(sql), *values)

    async def _do(self, sql: str, *values: object) -> str:
        async with self.database.connection() as connection:
            return await connection.execute(self._said(sql), *values)

    def _said(self, sql: str) -> str:
        return sql.format(table=self.name, index=self.channel)
