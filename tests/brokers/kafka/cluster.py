"""What the tests do to a real Kafka beside the adapter, and how they read."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiokafka  # pyright: ignore[reportMissingTypeStubs] - it says nothing of its types
import aiokafka.admin  # pyright: ignore[reportMissingTypeStubs, reportUnusedImport] - likewise, and reached through `client`
from anyio import fail_after, sleep

from callboard_brokers import Delivery, Subscription
from callboard_brokers.kafka import KafkaSource

client: Any = aiokafka


class Cluster:
    """The administration of the server under test."""

    def __init__(self, admin: Any) -> None:
        self._admin = admin

    async def create(
        self, topic: str, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> None:
        """Make *topic*, and wait until servers tell of it: they have it a moment after it is made."""
        new = client.admin.NewTopic(topic, partitions, 1, topic_configs=dict(config or {}))
        await self._admin.create_topics([new])
        with fail_after(45):
            while topic not in await self.topics():  # noqa: ASYNC110 - of a server
                await sleep(0.05)

    async def grow(self, topic: str, partitions: int) -> None:
        """Let *topic* have so many partitions."""
        await self._admin.create_partitions({topic: client.admin.NewPartitions(partitions)})

    async def delete_before(self, topic: str, offset: int) -> None:
        """Delete the records of partition 0 that lie before *offset*."""
        below = client.admin.RecordsToDelete(before_offset=offset)
        await self._admin.delete_records({client.TopicPartition(topic, 0): below})

    async def topics(self) -> set[str]:
        """Name all topics."""
        return set(await self._admin.list_topics())

    async def committed(self, group: str) -> dict[int, int]:
        """Return the committed offset of each partition, for a group of one topic."""
        offsets = await self._admin.list_consumer_group_offsets(group)
        return {name.partition: at.offset for name, at in offsets.items() if at.offset >= 0}

    async def until_committed(self, group: str, offset: int) -> None:
        """Wait until partition 0 is committed up to *offset*."""
        with fail_after(45):
            while (await self.committed(group)).get(0) != offset:  # noqa: ASYNC110 - of a server
                await sleep(0.05)


@asynccontextmanager
async def cluster_at(address: str) -> AsyncGenerator[Cluster]:
    admin = client.admin.AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        yield Cluster(admin)
    finally:
        await admin.close()


def source(topic: str, group: str | None = "readers", **options: Any) -> KafkaSource:
    """Read *topic* from its beginning, in a group that notices changes soon."""
    settings: dict[str, Any] = {
        "auto_offset_reset": "earliest",
        "heartbeat_interval_ms": 200,
        **options,
    }
    return KafkaSource(topics=(topic,), group_id=group and f"{topic}.{group}", **settings)


async def take(subscription: Subscription, count: int, patience: float = 45.0) -> list[Delivery]:
    """Receive *count* deliveries."""
    taken: list[Delivery] = []
    with fail_after(patience):
        while len(taken) < count:
            taken += await subscription.receive(count - len(taken))
    return taken


def bodies(deliveries: list[Delivery]) -> list[bytes]:
    return [delivery.message.body for delivery in deliveries]
