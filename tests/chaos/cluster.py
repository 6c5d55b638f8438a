"""The server, as an onlooker sees it: topics, positions, every commit, dead letters."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from io import BytesIO
from struct import unpack
from typing import Any, Final

import aiokafka  # pyright: ignore[reportMissingTypeStubs] - it says nothing of its types
import aiokafka.admin  # pyright: ignore[reportMissingTypeStubs, reportUnusedImport] - likewise, and reached through `client`
from anyio import move_on_after

from .history import Commit

__all__ = ["Cluster", "cluster_at"]

client: Any = aiokafka
OFFSETS: Final = "__consumer_offsets"
SILENCE: Final = 3.0


class Cluster:
    """Reads what the server knows, by a client that has no part in the trial."""

    def __init__(self, admin: Any, reader: Any) -> None:
        self._admin = admin
        self._reader = reader

    async def create(self, *topics: str, partitions: int) -> None:
        """Make topics."""
        new = [client.admin.NewTopic(topic, partitions, 1) for topic in topics]
        await self._admin.create_topics(new)

    async def ends(self, topic: str) -> Mapping[Any, int]:
        """Return the end of each partition; nothing if there is no such topic."""
        described = (await self._admin.describe_topics([topic]))[0]
        names = [
            client.TopicPartition(topic, each["partition"]) for each in described["partitions"]
        ]
        ends: Mapping[Any, int] = await self._reader.end_offsets(names) if names else {}
        return ends

    async def lag(self, topic: str, group: str) -> int:
        """Return how much of *topic* the group has not committed."""
        done = await self._admin.list_consumer_group_offsets(group)
        ends = await self.ends(topic)
        return sum(end - (done[name].offset if name in done else 0) for name, end in ends.items())

    async def mark(self) -> Mapping[Any, int]:
        """Return where the commits that are still to come will stand."""
        return await self.ends(OFFSETS)

    async def commits(self, group: str, topic: str, mark: Mapping[Any, int]) -> list[Commit]:
        """Return every commit of *group* for *topic* since *mark*, as the server wrote them."""
        return [
            Commit(partition, offset, record.timestamp / 1000)
            async for record in self.read(OFFSETS, mark)
            for partition, offset in _position(record, group, topic)
        ]

    async def read(self, topic: str, begin: Mapping[Any, int]) -> AsyncGenerator[Any]:
        """Yield the records of *topic*, from *begin* (else from the start) to its present end."""
        ends = await self.ends(topic)
        left = {name: end for name, end in ends.items() if begin.get(name, 0) < end}
        self._reader.assign([*left])
        for name in left:
            self._reader.seek(name, begin.get(name, 0))
        heard = time.monotonic()
        # What is last may be the marker of a transaction, which no reader gets to see.
        while left and time.monotonic() < heard + SILENCE:
            for name, records in (await self._reader.getmany(timeout_ms=200)).items():
                heard = time.monotonic()
                for record in records:
                    yield record
                if name in left and records[-1].offset >= left[name] - 1:
                    del left[name]


def _position(record: Any, group: str, topic: str) -> Iterator[tuple[int, int]]:
    """Take partition and offset out of *record*, if it is a commit of *group* for *topic*."""
    key = BytesIO(record.key)
    version = unpack(">h", key.read(2))[0]
    if version > 1 or record.value is None:
        return  # about the group itself; or a position that has been forgotten
    if (_text(key), _text(key)) == (group, topic):
        yield unpack(">i", key.read(4))[0], unpack(">hq", record.value[:10])[1]


def _text(buffer: BytesIO) -> str:
    return buffer.read(unpack(">h", buffer.read(2))[0]).decode()


@asynccontextmanager
async def cluster_at(address: str) -> AsyncGenerator[Cluster]:
    """Look at the server of *address*."""
    admin = client.admin.AIOKafkaAdminClient(bootstrap_servers=address)
    reader = client.AIOKafkaConsumer(
        bootstrap_servers=address, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await admin.start()
    try:
        await reader.start()
        try:
            yield Cluster(admin, reader)
        finally:
            # It may wait for ever for a task of its own that has swallowed a cancellation.
            with move_on_after(2):
                await reader.stop()
            await reader._client.close()
    finally:
        await admin.close()
