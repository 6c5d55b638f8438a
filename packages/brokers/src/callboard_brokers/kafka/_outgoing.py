"""What becomes of a message on its way to Kafka."""

from __future__ import annotations

from asyncio import Future, gather
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from itertools import chain
from time import time
from typing import Any, Final, TypeAlias

from callboard_brokers._errors import BrokerError, ConnectionLost, PublishFailed
from callboard_brokers.kafka._client import Pack, Producer, errors, partitioning
from callboard_brokers.kafka._message import RecordMetadata
from callboard_brokers.kafka._parcel import AROUND, Contents, Outgoing, beyond, too_large
from callboard_brokers.kafka._servers import Servers
from callboard_brokers.kafka._translate import CLIENT_ERRORS, CONTENTS, translated
from callboard_brokers.kit import brief, heard, over

Shared: TypeAlias = tuple[Future[object], Sequence[int]]
"""The future of a batch, and the numbers of the records that are in it."""

ALONE: Final = 1000
"""So many records go alone after a refusal: what has failed by it comes again before they have."""


async def send(
    servers: Servers, producer: Producer, record: Outgoing, *, alone: bool, create: bool = True
) -> Future[object]:
    """Hand *record* over to *producer*, *alone* or not; the future is done when Kafka has it.

    A missing topic is created if that is allowed; without *create*, never.

    Raises:
        ConnectionLost: No server can be asked.
        DestinationError: The topic is missing and may not be created, or has no such partition.
        PublishFailed: The client does not take it.
    """
    if alone:
        one, get = [(record.value, record.key, record.headers)], [record].__getitem__
        [(future, _)] = await send_all(servers, producer, one, get, create=create)
        return future
    if record.partition is not None:
        await servers.find(producer, record.topic, (record.partition,), create=create)
    elif record.topic not in servers.known:  # else there is nothing to find, and no call to make
        await servers.find(producer, record.topic, create=create)
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
    servers: Servers,
    producer: Producer,
    records: Iterable[Contents],
    get: Callable[[int], Outgoing],
    *,
    create: bool = True,
) -> list[Shared]:
    """Hand over *records* for one target as whole batches, at a fifth of what `send` costs.

    They are taken one by one, and not kept; *get* returns a whole one by its number. Those of a partition keep their order. Those without a key go where the batch goes in which
    there is room.

    Raises:
        ConnectionLost: No server can be asked.
        DestinationError: The topic is missing and may not be created, or has no such partition.
        PublishFailed: The client does not take them.
    """
    first = get(0)
    topic, partition = first.topic, first.partition
    partitions = () if partition is None else (partition,)
    await servers.find(producer, topic, partitions, create=create)
    try:
        await producer.partitions_for(topic)
        packer = _Packer(producer, first)
        _count_down(servers.picky, topic, packer.add(records, alone=topic in servers.picky))
        limit = servers.options.max_request_size
        for record in map(get, packer.suspects(limit)):
            if record.size > limit:
                raise beyond(record, limit)
        return await packer.hand_over()
    except errors.UnknownTopicOrPartitionError as error:
        raise await servers.verdict(producer, topic) from error
    except CLIENT_ERRORS as error:
        raise _refused(error, first, servers.options.max_request_size) from error


_Filling: TypeAlias = tuple[Callable[..., object | None], list[int]]
"""What adds to the last batch of a partition, and the numbers of the records that are in it."""


def _full(**_record: object) -> None:
    """Take nothing, as a batch that is full."""


class _Packer:
    """Fills batches of the client's: for each partition a list of them, which it gets in order."""

    def __init__(self, producer: Producer, first: Outgoing) -> None:
        self._producer = producer
        self._topic, self._partition = first.topic, first.partition
        # What is sent at once is of one time; else the client would look at the clock for each.
        self._time = int(time() * 1000) if first.timestamp_ms is None else first.timestamp_ms
        self._choose = partitioning(producer, first.topic)
        self._anywhere = self._choose(None)
        self._packs: dict[int, list[tuple[Pack, list[int]]]] = {}

    def add(self, records: Iterable[Contents], *, alone: bool) -> int:
        """Put each into the last batch of its partition; into a new one *alone*, or if full.

        Return how many they are.
        """
        number, now, fixed, last = -1, self._time, self._partition, dict[int, _Filling]()
        nowhere: _Filling = _full, []
        for number, (value, key, headers) in enumerate(records):
            partition = fixed
            if partition is None:
                partition = self._anywhere if key is None else self._choose(key)
            add, numbers = last.get(partition, nowhere)
            if not alone and add(timestamp=now, key=key, value=value, headers=headers) is not None:
                numbers.append(number)
                continue
            if partition in last and key is None and fixed is None:
                partition = self._anywhere = self._choose(None)
            pack, numbers = self._producer.create_batch(), [number]
            pack.append(timestamp=now, key=key, value=value, headers=headers)
            last[partition] = pack.append, numbers
            self._packs.setdefault(partition, []).append((pack, numbers))
        return number + 1

    def suspects(self, limit: int) -> Sequence[int]:
        """Return the numbers of records that may be longer than *limit*; as a rule, of none.

        To count each record exactly would cost a fifth of what it costs to publish it.
        """
        packs = chain(*self._packs.values())
        return [*chain(*(numbers for pack, numbers in packs if pack.size() + AROUND > limit))]

    async def hand_over(self) -> list[Shared]:
        """Send all; return the future of each batch."""
        return [*chain(*await gather(*map(self._send, self._packs)))]

    async def _send(self, partition: int) -> list[Shared]:
        return [
            (await self._producer.send_batch(pack, self._topic, partition=partition), numbers)
            for pack, numbers in self._packs[partition]
        ]


class Sent:
    """What becomes of a *record* that the client was given: its *future*, with our errors.

    See `_judged` for those of a batch that is refused; whoever waits has it sent *again*, alone.
    """

    __slots__ = ("_again", "_alone", "_future", "_picky", "_record")

    def __init__(
        self,
        record: Outgoing,
        future: Future[Any],
        picky: dict[str, int],
        again: Callable[[Outgoing], Awaitable[Future[Any]]],
        *,
        alone: bool,
    ) -> None:
        self._record = record
        self._future = future
        self._picky = picky
        self._again = again
        self._alone = alone
        future.add_done_callback(heard)  # who does not ask does not want it logged

    async def wait(self) -> RecordMetadata:
        """Return where the record is, once it is there; else raise."""
        await over(self._future)
        if (failure := self._failure_of(self._future)) is not None:
            if self._alone or not isinstance(failure.__cause__, CONTENTS):
                raise failure
            self._future, self._alone = await self._again(self._record), True
            return await self.wait()
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
        if self._alone and isinstance(error, CONTENTS):
            self._picky.pop(self._record.topic, None)  # found: the next ones go together again
        return _judged(error, self._record, None if self._alone else self._picky)


def _judged(error: Exception, record: Outgoing, picky: dict[str, int] | None) -> BrokerError:
    """Return our error for a *record* whose batch Kafka has not taken; without *picky*: its own.

    If that is for what is in it, nobody says which record is to blame. So those of it have failed
    for now, and the next ones to that topic go alone, until it is found, or does not come again.
    """
    if picky is None or not isinstance(error, CONTENTS):
        failure = _refused(error, record)
    else:
        picky[record.topic] = ALONE
        failure = PublishFailed(
            f"cannot publish to {record.topic!r} with what else was sent: {brief(error)}"
        )
    failure.__cause__ = error
    return failure


def _count_down(picky: dict[str, int], topic: str, count: int) -> None:
    """Let records to *topic* share their batches again, once so many have gone alone."""
    left = picky.pop(topic, 0) - count
    if left > 0:
        picky[topic] = left


async def confirmed(
    sent: Sequence[Shared],
    get: Callable[[int], Outgoing],
    picky: dict[str, int] | None = None,
) -> dict[int, BrokerError]:
    """Wait until Kafka has them, or has not; return what failed, by its number, in order.

    Without *picky* a record is blamed for its batch: for whoever takes that apart himself.
    """
    failures: dict[int, BrokerError] = {}
    try:
        for future, numbers in sent:
            try:
                await future
            except CLIENT_ERRORS as error:
                shared = picky if len(numbers) > 1 else None
                for number in numbers:
                    failures[number] = _judged(error, get(number), shared)
    except BaseException:
        ignore(sent)
        raise
    return dict(sorted(failures.items()))


def ignore(sent: Sequence[Shared]) -> None:
    """Ask for the errors of what nobody waits for any more, so that they are not logged."""
    for future, _ in sent:
        future.add_done_callback(heard)


def _refused(error: Exception, record: Outgoing, limit: int | None = None) -> BrokerError:
    """Return our error for a *record* that was not taken; by the client beyond its *limit*."""
    if not isinstance(error, errors.MessageSizeTooLargeError):
        return translated(error, f"cannot publish to {record.topic!r}", PublishFailed)
    if limit is None:
        return too_large(
            record, "Kafka takes no batch so large: raise max.message.bytes of the topic"
        )
    return beyond(record, limit)
