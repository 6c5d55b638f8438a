"""Fetched records, made a chunk at a time: for a quarter of what the client spends on each.

The client's own way is a generator, two calls and an object of eleven attributes for each record.
But what goes through the batches of a fetch knows what to pass over: control records, and those of
aborted transactions. So it is kept, and finds chunks where it looks for records. It asks each only
for its offset, to pass over what lies before the position, and to tell where it has got to.

Found with aiokafka 0.14; its parts are private, and untyped. Only our consumers read so; others in
this process get what they have always got.
"""
# ruff: noqa: SLF001 - see above

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from operator import length_hint
from typing import Any, Final, NamedTuple, Protocol

from callboard_brokers.kafka._records import TopicPartition
from callboard_brokers.kit import Pair

CHUNK = 500
"""So many records are made in one go, in half a millisecond: batches may have any number."""


class FetchedRecord(NamedTuple):
    """A record as it came; times are in milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    """0: the sender has said the time; 1: Kafka has."""
    key: bytes | None
    value: bytes | None
    headers: Sequence[Pair]


# As `FetchedRecord._make` would, without its function in between: a twentieth of all that is done.
_new: Any = tuple.__new__  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - of what, it does not say


class Chunk:
    """Some records in a row."""

    __slots__ = ("offset", "records")

    def __init__(self, records: Sequence[FetchedRecord]) -> None:
        self.records = records
        self.offset = records[-1].offset


def chunks_of(batch: Any, name: TopicPartition) -> Iterator[Chunk]:
    """Make the records of *batch*, which is one of the client's, of a partition by that *name*."""
    topic, partition = name
    # In a chain, since the client lets its batch be begun only once.
    unmade, make = chain(batch), partial(_new, FetchedRecord)
    while made := [
        make(
            (
                topic,
                partition,
                each.offset,
                each.timestamp,
                each.timestamp_type,
                each.key,
                each.value,
                tuple(each.headers),
            )
        )
        for each in islice(unmade, CHUNK)
    ]:
        yield Chunk(made)


class _Reader(Protocol):
    """The client's way through what was fetched of a partition, whose records are chunks."""

    next_fetch_offset: int

    def __iter__(self) -> Iterator[Chunk]: ...


class Unchunked:
    """The records of one partition and fetch, and how far they were taken."""

    def __init__(self, chunks: _Reader) -> None:
        self._chunks = chunks
        self._current: Sequence[FetchedRecord] = ()
        self._left: Iterator[FetchedRecord] = iter(())
        self._records = chain.from_iterable(self._read())

    def __iter__(self) -> Iterator[FetchedRecord]:
        return self._records

    @property
    def next_fetch_offset(self) -> int:
        """Where to go on."""
        left = length_hint(self._left)
        return self._current[-left].offset if left else self._chunks.next_fetch_offset

    def _read(self) -> Iterator[Iterator[FetchedRecord]]:
        start = self._chunks.next_fetch_offset
        for chunk in self._chunks:
            self._current = chunk.records
            if self._current[0].offset < start:  # a batch comes as a whole, whatever was asked for
                self._current = [each for each in self._current if each.offset >= start]
            self._left = iter(self._current)
            yield self._left


IN_CHUNKS: Final = object()
"""What our consumers say that they decode values by; nothing is decoded."""


def partition_records(  # noqa: PLR0913, PLR0917 - the client's own signature
    theirs: Callable[..., Any],
    name: TopicPartition,
    records: Any,
    aborted: object,
    offset: int,
    keys: object,
    values: object,
    crcs: object,
    isolation: object,
) -> Any:
    """Make what goes through *records*: *theirs*, in chunks if a consumer of ours is to have them."""
    if values is IN_CHUNKS:
        records.name = name
    made = theirs(name, records, aborted, offset, keys, values, crcs, isolation)
    if values is not IN_CHUNKS:
        return made
    made._consumer_record = _as_it_is
    return Unchunked(made)


def _as_it_is(_name: object, chunk: Chunk) -> Chunk:
    return chunk
