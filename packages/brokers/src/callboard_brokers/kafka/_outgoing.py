"""What becomes of a message on its way to Kafka."""

from __future__ import annotations

from asyncio import Future, gather, wait
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Any

from callboard_brokers._errors import BrokerError, ConnectionLost, PublishFailed
from callboard_brokers.kafka._client import Pack, Producer, errors, partitioning
from callboard_brokers.kafka._message import RecordMetadata
from callboard_brokers.kafka._parcel import AROUND, Outgoing, beyond, too_large
from callboard_brokers.kafka._servers import Servers
from callboard_brokers.kafka._translate import CLIENT_ERRORS, CONTENTS, translated
from callboard_brokers.kit import brief, heard


async def send(
    servers: Servers, producer: Producer, record: Outgoing, *, create: bool = True
) -> Future[object]:
    """Hand *record* over to *producer*; the future is done when Kafka has it.

    A missing topic is created if that is allowed; without *create*, never.

    Raises:
        ConnectionLost: No server can be asked.
        DestinationError: The topic is missing and may not be created, or has no such partition.
        PublishFailed: The client does not take it.
    """
    if is_alone(servers, record):
        [future] = await send_all(servers, producer, [record], create=create)
        return future
    partitions = () if record.partition is None else (record.partition,)
    await servers.find(producer, record.topic, partitions, create=create)
    try:
        return await producer.send(*record)
    except errors.UnknownTopicOrPartitionError as error:
        raise await servers.verdict(producer, record.topic) from error
    except CLIENT_ERRORS as error:
        raise _refused(error, record, servers.options.max_request_size) from error


def is_alone(servers: Servers, record: Outgoing) -> bool:
    """Whether *record* goes in a batch of its own, so that a refusal of the batch is its own."""
    # Kafka takes a record with neither key nor value; the client does as well, in such a batch.
    return record.topic in servers.picky or (record.key is None and record.value is None)


async def send_all(
    servers: Servers, producer: Producer, records: Sequence[Outgoing], *, create: bool = True
) -> list[Future[object]]:
    """Hand over *records* of one topic as whole batches, at a quarter of what `send` costs.

    Those of a partition keep their order. Those without a key go where the batch goes in which
    there is room.

    Raises:
        ConnectionLost: No server can be asked.
        DestinationError: The topic is missing and may not be created, or has no such partition.
        PublishFailed: The client does not take them.
    """
    topic = records[0].topic
    partitions = {record.partition for record in records if record.partition is not None}
    await servers.find(producer, topic, partitions, create=create)
    try:
        await producer.partitions_for(topic)
        packer = _Packer(producer, topic)
        for number, record in enumerate(records):
            packer.add(number, record)
        limit = servers.options.max_request_size
        for record in map(records.__getitem__, packer.suspects(limit)):
            if record.size > limit:
                raise beyond(record, limit)
        return await packer.hand_over()
    except errors.UnknownTopicOrPartitionError as error:
        raise await servers.verdict(producer, topic) from error
    except CLIENT_ERRORS as error:
        raise _refused(error, records[0], servers.options.max_request_size) from error


class _Packer:
    """Fills batches of the client's: for each partition a list of them, which it gets in order."""

    def __init__(self, producer: Producer, topic: str) -> None:
        self._producer = producer
        self._topic = topic
        self._choose = partitioning(producer, topic)
        self._anywhere = self._choose(None)
        self._packs: dict[int, list[tuple[Pack, list[int]]]] = {}
        self._sent: dict[int, Future[object]] = {}

    def add(self, number: int, record: Outgoing) -> None:
        """Put *record* into the last batch of its partition, or a new one if that is full."""
        partition, is_free = record.partition, record.partition is None and record.key is None
        if is_free:
            partition = self._anywhere
        elif partition is None:
            partition = self._choose(record.key)
        packs = self._packs.get(partition)
        if packs is None or _append(packs[-1][0], record) is None:
            if packs and is_free:
                partition = self._anywhere = self._choose(None)
            pack = self._producer.create_batch()
            _append(pack, record)
            packs = self._packs.setdefault(partition, [])
            packs.append((pack, []))
        packs[-1][1].append(number)

    def suspects(self, limit: int) -> Sequence[int]:
        """Return the numbers of records that may be longer than *limit*; as a rule, of none.

        To count each record exactly would cost a fifth of what it costs to publish it.
        """
        packs = chain(*self._packs.values())
        return [*chain(*(numbers for pack, numbers in packs if pack.size() + AROUND > limit))]

    async def hand_over(self) -> list[Future[object]]:
        """Send all; return the future of each record, in the order of their numbers."""
        await gather(*map(self._send, self._packs))
        return [self._sent[number] for number in range(len(self._sent))]

    async def _send(self, partition: int) -> None:
        for pack, numbers in self._packs[partition]:
            future = await self._producer.send_batch(pack, self._topic, partition=partition)
            self._sent.update(dict.fromkeys(numbers, future))


def _append(pack: Pack, record: Outgoing) -> object | None:
    return pack.append(
        timestamp=record.timestamp_ms,
        key=record.key,
        value=record.value,
        headers=record.headers,
    )


class Sent:
    """What becomes of a *record* that the client was given: its *future*, with our errors.

    Of a batch that Kafka refuses for its contents, nobody says which record is to blame. So those
    of it have failed for now, and the next ones to that topic go *alone* until it is found.
    """

    __slots__ = ("_alone", "_future", "_picky", "_record")

    def __init__(
        self, record: Outgoing, future: Future[Any], picky: set[str], *, alone: bool
    ) -> None:
        self._record = record
        self._future = future
        self._picky = picky
        self._alone = alone
        future.add_done_callback(heard)  # who does not ask does not want it logged

    async def wait(self) -> RecordMetadata:
        """Return where the record is, once it is there; else raise."""
        await wait({self._future})  # as itself it would be cancelled with whoever waits
        if (failure := self._failure_of(self._future)) is not None:
            raise failure
        receipt: RecordMetadata = self._future.result()
        return receipt

    def then(self, call: Callable[[BrokerError | None], None], /) -> None:
        """Call once with the failure, or None; at once if it is known."""
        if self._future.done():
            call(self._failure_of(self._future))
        else:
            self._future.add_done_callback(partial(self._tell, call))

    def _tell(self, call: Callable[[BrokerError | None], None], done: Future[object]) -> None:
        call(self._failure_of(done))

    def _failure_of(self, done: Future[object]) -> BrokerError | None:
        if done.cancelled():
            return ConnectionLost(f"the client has given up a record for {self._record.topic!r}")
        error = done.exception()
        if error is None or isinstance(error, BrokerError):
            return error
        if not isinstance(error, Exception):  # whatever ended the client's task
            error = ConnectionLost(brief(error))
        failure = self._judged(error)
        failure.__cause__ = error
        return failure

    def _judged(self, error: Exception) -> BrokerError:
        if not isinstance(error, CONTENTS):
            return _refused(error, self._record)
        topic = self._record.topic
        if self._alone:
            self._picky.discard(topic)
            return _refused(error, self._record)
        self._picky.add(topic)
        return PublishFailed(f"cannot publish to {topic!r} with what else was sent: {brief(error)}")


async def confirmed(
    sent: Sequence[Future[object]], records: Sequence[Outgoing]
) -> dict[int, BrokerError]:
    """Wait until Kafka has *records*, or has not; return what failed, by its number."""
    failures: dict[int, BrokerError] = {}
    try:
        for number, future in enumerate(sent):
            try:
                await future
            except CLIENT_ERRORS as error:
                failures[number] = _refused(error, records[number])
                failures[number].__cause__ = error
    except BaseException:
        ignore(sent)
        raise
    return failures


def ignore(sent: Sequence[Future[object]]) -> None:
    """Ask for the errors of what nobody waits for any more, so that they are not logged."""
    for each in sent:
        each.add_done_callback(heard)


def _refused(error: Exception, record: Outgoing, limit: int | None = None) -> BrokerError:
    """Return our error for a *record* that was not taken; by the client beyond its *limit*."""
    if not isinstance(error, errors.MessageSizeTooLargeError):
        return translated(error, f"cannot publish to {record.topic!r}", PublishFailed)
    if limit is None:
        return too_large(
            record, "Kafka takes no batch so large: raise max.message.bytes of the topic"
        )
    return beyond(record, limit)
