"""Redis behind the port."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from callboard_brokers._port import Features
from callboard_brokers.events import Notify
from callboard_brokers.kit import Journal, load, on_asyncio
from callboard_brokers.redis._config import RedisOptions
from callboard_brokers.redis._records import RedisSource

if TYPE_CHECKING:
    from callboard_brokers.redis._connection import RedisConnection

CLIENT: Final = "the client of Redis"


class Redis:
    """Redis, or Valkey, at *url*: `redis://user:password@host:port/db`, or `rediss://` by TLS.

    On asyncio, as its client is. *notify* is told what happens, by the types of
    `callboard_brokers.events`. It may not raise.
    """

    def __init__(
        self,
        url: str = "redis://localhost:6379",
        options: RedisOptions | None = None,
        *,
        notify: Notify | None = None,
    ) -> None:
        self._url = url
        self._options = options or RedisOptions()
        self._journal = Journal(notify)

    @property
    def counts(self) -> Counter[str]:
        """How often each event was told; how many messages were `dropped`, and `trimmed`."""
        return self._journal.counts.copy()

    def features(self, source: RedisSource, /) -> Features:
        """Return what *source* can do: what a group accounts for, or a list, comes again."""
        counted = source.accounted and source.kind == "stream"
        shared = source.kind == "list" or source.group is not None
        return Features(
            redelivers=source.accounted,
            delays=source.accounted,
            counts_deliveries=counted,
            groups=shared,
            fans_out=source.kind != "list",
            persistent=shared,
            headers=True,
            binary_headers=True,
        )

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[RedisConnection]:
        """Open a connection; while the server cannot be reached, try again.

        Raises:
            AccessRefused: The server was reached and turned us away.
            DestinationError: There is no such URL.
            ImportError: The client is not installed.
            RuntimeError: The event loop is not asyncio's.
        """
        on_asyncio(CLIENT)
        await load("callboard_brokers.redis._connection", CLIENT, "callboard-brokers[redis]")
        from callboard_brokers.redis._connection import connected  # noqa: PLC0415 - it is loaded now

        async with connected(self._url, self._options, self._journal) as opened:
            yield opened
