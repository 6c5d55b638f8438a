"""Connections to a database, which are opened when they are first needed."""

from __future__ import annotations

import asyncio  # noqa: TID251 - the client runs on it
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Self

import anyio

from callboard_brokers.kit import needing, on_asyncio

with needing("the client of PostgreSQL", "callboard[postgres]"):
    import asyncpg

if TYPE_CHECKING:
    from asyncpg.pool import Pool

CLOSING: Final = 5.0
"""Seconds that connections have to be given back when all are closed; then they are cut."""


class Postgres:
    """A pool of connections to one database, for all that keeps something there.

    It may be made before there is an event loop, and closed and used again. Who leaves `async with`
    closes it, as `close` does.

    Args:
        dsn: Where the database is, as `postgresql://user:password@host/name`.
        max_size: How many connections are open at most.
        timeout: Seconds that connecting may take, and each command.
        options: What else `asyncpg.connect` can be told.
    """

    def __init__(
        self,
        dsn: str,
        *,
        max_size: int = 10,
        timeout: float = 10.0,
        **options: Any,
    ) -> None:
        self._dsn = dsn
        self._options: dict[str, Any] = {"timeout": timeout, "command_timeout": timeout, **options}
        self._max_size = max_size
        self._patience = timeout
        self._open: tuple[object, Pool[Any]] | None = None
        self._turn = anyio.Lock()

    def __repr__(self) -> str:
        return f"<Postgres at {self._dsn.rpartition('@')[2]}>"

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[asyncpg.Connection[Any]]:
        """Lend a connection of `asyncpg`.

        Raises:
            OSError: The database can't be reached; `asyncpg` may say so by errors of its own.
            TimeoutError: It does not answer, or all connections are lent.
        """
        pool = await self._pool()
        async with pool.acquire(timeout=self._patience) as connection:
            real: Any = connection  # a proxy, which has all of its methods
            yield real

    async def connect(self) -> asyncpg.Connection[Any]:
        """Open a connection beside the pool, for whoever listens to it; it is theirs to close."""
        on_asyncio("the client of PostgreSQL")
        connection: asyncpg.Connection[Any] = await asyncpg.connect(self._dsn, **self._options)
        return connection

    async def close(self) -> None:
        """Close all connections; those that are still lent are waited for, a few seconds at most."""
        opened, self._open = self._open, None
        if opened is None or opened[0] is not asyncio.get_running_loop():
            return
        with anyio.move_on_after(CLOSING):
            await opened[1].close()
            return
        opened[1].terminate()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _pool(self) -> Pool[Any]:
        on_asyncio("the client of PostgreSQL")
        loop = asyncio.get_running_loop()
        async with self._turn:
            if self._open is None or self._open[0] is not loop:
                pool = asyncpg.create_pool(
                    self._dsn, min_size=0, max_size=self._max_size, **self._options
                )
                self._open = loop, await pool
            return self._open[1]


def database_of(given: Postgres | str) -> Postgres:
    """Return the database that was *given*, or the one at that address."""
    return Postgres(given) if isinstance(given, str) else given
