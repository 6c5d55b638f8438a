"""What a topic keeps, looked through by its offsets; and which of it somebody is done with.

Kafka removes no single record. That one is done with is kept as the position of a group of its own,
with what is done beyond it as the text beside the position: see `_ahead.py`. Nobody is a member of
that group, so whoever reads the topic is not disturbed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from anyio import CancelScope, current_time

from callboard_brokers._errors import BrokerError
from callboard_brokers._message import Message
from callboard_brokers.kafka._ahead import decode, encode
from callboard_brokers.kafka._client import Consumer, Producer, bounds, committed, make_consumer
from callboard_brokers.kafka._mending import stop
from callboard_brokers.kafka._message import Bare, KafkaMessage, Record, metadata_of
from callboard_brokers.kafka._records import KafkaSource, TopicPartition
from callboard_brokers.kafka._servers import Servers
from callboard_brokers.kafka._translate import translating
from callboard_brokers.kit import time_left

GROUP: Final = "callboard.dead"
POLL_MS, PATIENCE, CLOSE = 500, 10.0, 5.0
"""A fetch; seconds without a record, before what is left is taken for unfinished; to close."""


class Marks:
    """What is done with in one partition, from *start* on, and *ahead* of that."""

    def __init__(self, start: int, ahead: Collection[int], end: int) -> None:
        self.reached, self.end = start, end
        self._done = {*ahead}
        self._open: deque[int] = deque()

    def passes(self, offset: int) -> bool:
        """Whether the record at *offset*, the next one, is not done with."""
        self.reached = offset + 1
        if offset not in self._done:
            self._open.append(offset)
            return True
        return False

    def done(self, offset: int) -> None:
        """Be done with what was read."""
        self._done.add(offset)

    def place(self) -> tuple[int, str]:
        """Return the position, and what is done beyond it.

        Raises:
            BrokerError: Too much lies between the two.
        """
        while self._open and self._open[0] in self._done:
            self._done.discard(self._open.popleft())
        position = self._open[0] if self._open else self.reached
        ahead = sorted(each for each in self._done if each > position)
        text = encode(position, ahead)
        if len(decode(position, text)) < len(ahead):
            raise BrokerError(
                f"from offset {position} on too many records are not done with for Kafka to know of"
                " those behind that are; replay or drop the older ones first"
            )
        return position, text


class KafkaKept:
    """Reads what was there when it was opened."""

    def __init__(self, consumer: Consumer, marks: Mapping[TopicPartition, Marks]) -> None:
        self._consumer = consumer
        self._marks = marks

    async def read(self, limit: int, /) -> Sequence[Message]:
        """Return the next *limit* at most, by partition in their order; none: that was all."""
        began = current_time()
        with translating("cannot read what is kept"):
            while asked := [name for name, each in self._marks.items() if each.reached < each.end]:
                fetched = await self._consumer.getmany(
                    *asked, timeout_ms=POLL_MS, max_records=limit
                )
                found = [*self._taken(fetched)]
                for name in asked:  # what is no record, as the end of a transaction, is passed by
                    mark = self._marks[name]
                    mark.reached = max(mark.reached, await self._consumer.position(name))
                if found or current_time() > began + PATIENCE:
                    return found
        return ()

    async def remove(self, messages: Sequence[Message], /) -> None:
        """Have *messages* passed over from now on."""
        touched = set[tuple[str, int]]()
        for each in messages:
            record: Record = each.raw_message
            name = TopicPartition(record.topic, record.partition)
            self._marks[name].done(record.offset)
            touched.add(name)
        places = {name: mark.place() for name, mark in self._marks.items() if name in touched}
        if places:
            with translating("cannot keep what is done with"):
                await self._consumer.commit(places)

    def _taken(self, fetched: Mapping[TopicPartition, Sequence[Bare]]) -> Sequence[Message]:
        read = partial(metadata_of, path={})
        return [
            KafkaMessage.fetched(record, name, read, None)
            for name, records in fetched.items()
            for record in records
            if record.offset < self._marks[name].end and self._marks[name].passes(record.offset)
        ]


@asynccontextmanager
async def revisited(servers: Servers, producer: Producer, topic: str) -> AsyncGenerator[KafkaKept]:
    """Open what *topic* keeps.

    Raises:
        DestinationError: There can be no such topic; or, if it is `Unroutable`, there is none.
    """
    await servers.find(producer, topic, create=False)
    numbers = await producer.partitions_for(topic)
    names = [TopicPartition(topic, number) for number in sorted(numbers)]
    source = KafkaSource(
        partitions=names,
        group_id=GROUP,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    consumer = make_consumer(servers.addresses, servers.options, source, None)
    try:
        await servers.start(consumer)
        with translating(f"cannot read {topic!r}"):
            # The client takes its own names alone.
            marks = await _marks(consumer, sorted(consumer.assignment()))
        yield KafkaKept(consumer, marks)
    finally:
        with CancelScope(shield=True):
            await stop(consumer, time_left(CLOSE))


async def _marks(
    consumer: Consumer, names: Sequence[TopicPartition]
) -> Mapping[TopicPartition, Marks]:
    """Return where to begin in each of *names*, and where to end."""
    known, marks = await committed(consumer, names), dict[TopicPartition, Marks]()
    for name, (first, end) in (await bounds(consumer, names)).items():
        position, text = known.get(name, (first, ""))
        if not first <= position <= end:  # of records that are gone, or of another topic's
            position, text = first, ""
        consumer.seek(name, position)
        marks[name] = Marks(position, decode(position, text), end)
    return marks
