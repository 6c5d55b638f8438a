"""Kafka behind the port."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from callboard_brokers._port import Features
from callboard_brokers.events import Notify
from callboard_brokers.kafka._records import KafkaOptions, KafkaSource
from callboard_brokers.kit import Journal, load, on_asyncio

if TYPE_CHECKING:
    from callboard_brokers.kafka._connection import KafkaConnection

CLIENT: Final = "the client of Kafka"


class Kafka:
    """Apache Kafka at *servers*, each `host:port`; on asyncio, as its client is.

    *notify* is told what happens, by the types of `callboard_brokers.events`. It may not raise.
    """

    def __init__(
        self,
        servers: str | Sequence[str] = "localhost:9092",
        options: KafkaOptions | None = None,
        *,
        notify: Notify | None = None,
    ) -> None:
        self._addresses = servers.split(",") if isinstance(servers, str) else list(servers)
        self._options = options or KafkaOptions()
        self._journal = Journal(notify)

    @property
    def counts(self) -> Counter[str]:
        """How often each event was told."""
        return self._journal.counts.copy()

    def features(self, source: KafkaSource, /) -> Features:
        """Return what *source* can do: without a group nothing is kept for it, nor shared."""
        return Features(
            redelivers=True,
            delays=True,
            groups=source.group_id is not None and not source.partitions,
            fans_out=True,
            persistent=source.group_id is not None,
            ordered_by_key=True,
            keys=True,
            headers=True,
            binary_headers=True,
        )

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[KafkaConnection]:
        """Open a connection; while no server can be reached, try again.

        Raises:
            AccessRefused: A server was reached and turned us away.
            ImportError: The client is not installed.
            RuntimeError: The event loop is not asyncio's.
        """
        on_asyncio(CLIENT)
        await load("callboard_brokers.kafka._connection", CLIENT, "callboard-brokers[kafka]")
        from callboard_brokers.kafka._connection import connected  # noqa: PLC0415 - it is loaded now

        async with connected(self._addresses, self._options, self._journal) as opened:
            yield opened
