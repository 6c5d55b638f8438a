"""A consumer that is no client of Kafka: it counts what it is asked for, and needs no server."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

from anyio import sleep, sleep_forever

from callboard_brokers import Capacity
from callboard_brokers.kafka import KafkaOptions, KafkaSource, Record, TopicPartition
from callboard_brokers.kafka._member import Member
from callboard_brokers.kafka._servers import Servers
from callboard_brokers.kafka._window import Window
from callboard_brokers.kafka.connection import KafkaSubscription
from callboard_brokers.kit import Journal

ZERO = TopicPartition("t", 0)


class Fetched(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = b""
    headers: tuple[tuple[str, bytes | None], ...] = ()


class Client:
    """Has *records* of one partition, which it hands out at once; commits hang if they are to."""

    def __init__(self, records: int = 0) -> None:
        self.assigned: Collection[TopicPartition] = ()
        self.polls = 0
        self.asked: list[Sequence[TopicPartition]] = []
        self.farewell = 0.2
        self.hangs = self.gave_up = self.left = False
        self._records: list[Record] = [Fetched(*ZERO, offset) for offset in range(records)]
        self._coordinator = SimpleNamespace(fetch_committed_offsets=self._committed)
        self._client = SimpleNamespace(close=self.start, _conns={})

    async def start(self) -> None: ...

    async def stop(self) -> None:
        await sleep(self.farewell)
        self.left = True

    def assignment(self) -> Collection[TopicPartition]:
        return self.assigned

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int, max_records: int | None = None
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        self.polls += 1
        if max_records is not None:
            self.asked.append(partitions)
            records, self._records = self._records, []
            if records:
                return {ZERO: records}
        await sleep(timeout_ms / 1000)
        return {}

    async def commit(self, offsets: Mapping[TopicPartition, tuple[int, str]]) -> None:
        try:
            while self.hangs:
                await sleep_forever()
        finally:
            self.gave_up = self.hangs

    async def position(self, partition: TopicPartition) -> int:
        return 0

    async def committed(self, partition: TopicPartition) -> int | None:
        return None

    def seek(self, partition: TopicPartition, offset: int) -> None: ...
    async def seek_to_beginning(self, *partitions: TopicPartition) -> object: ...
    async def seek_to_end(self, *partitions: TopicPartition) -> object: ...

    async def _committed(self, partitions: object) -> Mapping[TopicPartition, tuple[int, str]]:
        return {}


def reading(client: Client, **options: Any) -> tuple[KafkaSubscription, Member]:
    """Return what reads the topic `t` by *client*, and its member of a group."""
    journal = Journal()
    source = KafkaSource(topics=("t",), group_id="g", **options)
    window = Window(source, Capacity(100), journal)
    servers = Servers(["nowhere:1"], KafkaOptions(), journal)
    member = Member(source, window, servers, lambda _callbacks: client)
    return KafkaSubscription(source, window, member, 10**6), member


async def rebalance(client: Client, member: Member, *assigned: TopicPartition) -> None:
    """Give *member* other partitions, as the client does."""
    await member.on_partitions_revoked(client.assigned)
    client.assigned = list(assigned)
    await member.on_partitions_assigned(client.assigned)
