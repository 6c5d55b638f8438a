"""RabbitMQ behind the port."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from callboard_brokers._port import Features
from callboard_brokers.events import Notify
from callboard_brokers.kit import Journal, load, on_asyncio
from callboard_brokers.rabbit._queues import QueueType
from callboard_brokers.rabbit._records import RabbitOptions, RabbitSource

if TYPE_CHECKING:
    from callboard_brokers.rabbit._connection import RabbitConnection

CLIENT: Final = "the client of RabbitMQ"


class Rabbit:
    """RabbitMQ at *url*, such as `amqp://user:password@host:5672/vhost`; on asyncio.

    Of several, the members of a cluster, whichever answers first is spoken to until it is lost.
    *notify* is told what happens, by the types of `callboard_brokers.events`. It may not raise.
    """

    def __init__(
        self,
        url: str | Sequence[str] = "amqp://guest:guest@localhost:5672/",
        options: RabbitOptions | None = None,
        *,
        notify: Notify | None = None,
    ) -> None:
        self._urls = [url] if isinstance(url, str) else [*url]
        self._options = options or RabbitOptions()
        self._journal = Journal(notify)

    @property
    def counts(self) -> Counter[str]:
        """How often each event was told."""
        return self._journal.counts.copy()

    def features(self, source: RabbitSource, /) -> Features:
        """Return what the queue of *source* can do: a stream keeps nothing for its readers."""
        queue = source.reads
        return Features(
            redelivers=True,
            delays=True,
            counts_deliveries=queue.queue_type is QueueType.QUORUM,
            keeps_rejected=queue.dead_letter_exchange is not None,
            groups=not source.is_stream,
            fans_out=source.is_stream,
            persistent=not source.is_stream and not (queue.exclusive or queue.auto_delete),
            headers=True,
            binary_headers=not source.is_stream,  # from 4.0 on it gives bytes that are UTF-8 back as text
        )

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[RabbitConnection]:
        """Open a connection; while no server can be reached, try again.

        Raises:
            AccessRefused: The server does not let us in, or has no such virtual host.
            ImportError: The client is not installed.
            RuntimeError: The event loop is not asyncio's.
        """
        on_asyncio(CLIENT)
        await load("callboard_brokers.rabbit._connection", CLIENT, "callboard-brokers[rabbit]")
        from callboard_brokers.rabbit._connection import connected  # noqa: PLC0415 - it is loaded now

        async with connected(self._urls, self._options, self._journal) as opened:
            yield opened
