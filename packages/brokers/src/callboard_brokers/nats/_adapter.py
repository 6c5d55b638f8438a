"""NATS behind the port."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from callboard_brokers._port import Features
from callboard_brokers.events import Notify
from callboard_brokers.kit import Journal, load, on_asyncio
from callboard_brokers.nats._config import NatsOptions, addresses_of
from callboard_brokers.nats._records import NatsSource

if TYPE_CHECKING:
    from callboard_brokers.nats._connection import NatsConnection

CLIENT: Final = "the client of NATS"


class Nats:
    """NATS at *servers*, each `nats://host:port` or `tls://`; on asyncio, as its client is.

    *notify* is told what happens, by the types of `callboard_brokers.events`. It may not raise.
    """

    def __init__(
        self,
        servers: str | Sequence[str] = "nats://localhost:4222",
        options: NatsOptions | None = None,
        *,
        notify: Notify | None = None,
    ) -> None:
        self._servers = addresses_of(servers)
        self._options = options or NatsOptions()
        self._journal = Journal(notify)

    @property
    def counts(self) -> Counter[str]:
        """How often each event was told; and how many messages were `dropped`."""
        return self._journal.counts.copy()

    def features(self, source: NatsSource, /) -> Features:
        """Return what *source* can do: only what a consumer accounts for comes again.

        Of objects there is nothing but their names.
        """
        accounted = source.accounted
        shared = source.consumer is not None or (source.kind == "core" and source.queue != "")
        return Features(
            redelivers=accounted,
            delays=accounted,
            counts_deliveries=accounted,
            groups=shared,
            fans_out=True,
            persistent=accounted and source.consumer is not None,
            headers=source.kind != "object",
            binary_headers=source.kind != "object",
        )

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[NatsConnection]:
        """Open a connection; while no server can be reached, try again.

        Raises:
            AccessRefused: A server was reached and turned us away, or there is nothing to log in by.
            ImportError: The client is not installed.
            RuntimeError: The event loop is not asyncio's.
        """
        on_asyncio(CLIENT)
        await load("callboard_brokers.nats._connection", CLIENT, "callboard-brokers[nats]")
        from callboard_brokers.nats._connection import connected  # noqa: PLC0415 - it is loaded now

        async with connected(self._servers, self._options, self._journal) as opened:
            yield opened
