"""Kafka under trial; as an onlooker sees it: topics, positions, every commit, dead letters."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from io import BytesIO
from pathlib import Path
from struct import unpack
from typing import Any, Final

import aiokafka  # pyright: ignore[reportMissingTypeStubs] - it says nothing of its types
import aiokafka.admin  # pyright: ignore[reportMissingTypeStubs, reportUnusedImport] - likewise, and reached through `client`
from anyio import move_on_after

from callboard import Message
from callboard.kafka import KafkaBroker

from .history import Commit
from .kind import Kind, Letter, Settings
from .node import KafkaNode, missing, node_in

__all__ = ["KIND"]

client: Any = aiokafka
OFFSETS: Final = "__consumer_offsets"
SILENCE: Final = 3.0
MEMBER: Final[Mapping[str, Any]] = {
    "commit_every": 100,
    "commit_interval": 0.2,
    "session_timeout_ms": 2000,
    "heartbeat_interval_ms": 200,
}


class KafkaKind:
    """A consumer group of a topic."""

    name = "kafka"
    partitions = 6
    ordered = commits = True

    def broker(self, servers: str, settings: Settings) -> KafkaBroker:
        """Make a broker."""
        patience = settings.options.get("request_timeout_ms", 40_000)
        return KafkaBroker(servers, dead_letter=settings.dead_letters, request_timeout_ms=patience)

    def subscriber(self, broker: KafkaBroker, settings: Settings) -> Callable[[Any], Any]:
        """Return what declares a handler of the trial's letters."""
        asked = {name: settings.options.get(name, it) for name, it in MEMBER.items()}
        return broker.subscriber(
            settings.topic,
            group_id=settings.group,
            auto_offset_reset="earliest",
            max_workers=settings.max_workers,
            mailbox=settings.mailbox,
            breaker=settings.breaker,
            **asked,
        )

    async def publish(self, broker: KafkaBroker, letter: Letter, settings: Settings) -> None:
        """Return when the server has *letter*."""
        await broker.publish(letter, settings.topic, key=letter.key)

    def place(self, message: Message) -> tuple[int, int]:
        """Return the partition of *message*, and its offset there."""
        return message.raw_message.partition, message.raw_message.offset

    def in_flight(self, settings: Settings) -> int:
        """Return what a process may have taken: one commit is on its way, and the next becomes due."""
        every: int = settings.options.get("commit_every", MEMBER["commit_every"])
        return settings.mailbox + settings.max_workers + 2 * every

    def onlooker(self, servers: str) -> AbstractAsyncContextManager[Cluster]:
        """Look at the server."""
        return cluster_at(servers)

    def missing(self) -> str | None:
        """Say why there can be no node of our own; None if there can."""
        return missing()

    def node_in(self, folder: Path) -> AbstractContextManager[KafkaNode]:
        """Run a node, and leave nothing of it."""
        return node_in(folder)


KIND: Final[Kind] = KafkaKind()


class Cluster:
    """Reads what the server knows, by a client that has no part in the trial."""

    def __init__(self, admin: Any, reader: Any) -> None:
        self._admin = admin
        self._reader = reader

    async def create(self, settings: Settings) -> Mapping[Any, int]:
        """Make topics; return where the commits that are still to come will stand."""
        topics = settings.topic, settings.dead_letters
        new = [client.admin.NewTopic(topic, KIND.partitions, 1) for topic in topics]
        await self._admin.create_topics(new)
        return await self.ends(OFFSETS)

    async def close(self, settings: Settings) -> None:
        """Leave the topics: to delete them takes longer than they last."""

    async def ends(self, topic: str) -> Mapping[Any, int]:
        """Return the end of each partition; nothing if there is no such topic."""
        described = (await self._admin.describe_topics([topic]))[0]
        names = [
            client.TopicPartition(topic, each["partition"]) for each in described["partitions"]
        ]
        ends: Mapping[Any, int] = await self._reader.end_offsets(names) if names else {}
        return ends

    async def lag(self, settings: Settings) -> int:
        """Return how much of the topic the group has not committed."""
        done = await self._admin.list_consumer_group_offsets(settings.group)
        ends = await self.ends(settings.topic)
        return sum(end - (done[name].offset if name in done else 0) for name, end in ends.items())

    async def commits(self, settings: Settings, mark: Mapping[Any, int]) -> list[Commit]:
        """Return every commit of the trial's group since *mark*, as the server wrote them."""
        return [
            Commit(partition, offset, record.timestamp / 1000)
            async for record in self.read(OFFSETS, mark)
            for partition, offset in _position(record, settings.group, settings.topic)
        ]

    async def dead_letters(self, settings: Settings) -> list[str]:
        """Return the ids of what is dead."""
        dead = self.read(settings.dead_letters, {})
        return [Letter.model_validate_json(each.value).id async for each in dead]

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
