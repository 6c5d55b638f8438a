"""Fetched records, taken a chunk at a time: for a fraction of what the client spends on each.

The client's own way is a generator, two calls and an object of eleven attributes for each record.
But what goes through the batches of a fetch knows what to pass over: control records, and those of
aborted transactions. So it is kept, and finds chunks where it looks for records. It asks each only
for its offset, to pass over what lies before the position, and to tell where it has got to.

The records of a chunk are those that the client's reader makes of the bytes. They don't say of what
partition they are: whoever keeps them knows, and a `KafkaMessage` tells when it is asked.

Found with aiokafka 0.14; its parts are private, and untyped. Only our consumers read so; others in
this process get what they have always got.
"""
# ruff: noqa: SLF001 - see above

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from operator import length_hint
from typing import Any, Final, Protocol

from callboard_brokers.kafka._message import Bare
from callboard_brokers.kafka._records import TopicPartition

CHUNK = 500
"""So many records are taken in one go, in a fraction of a millisecond: batches may have any number."""


class Chunk:
    """Some records in a row."""

    __slots__ = ("offset", "records")

    def __init__(self, records: Sequence[Bare]) -> None:
        self.records = records
        self.offset = records[-1].offset


def chunks_of(batch: Iterable[Bare]) -> Iterator[Chunk]:
    """Take the records of *batch*, which is one of the client's."""
    # In a chain, since the client lets its batch be begun only once.
    untaken = chain(batch)
    while taken := [*islice(untaken, CHUNK)]:
        yield Chunk(taken)


class _Reader(Protocol):
    """The client's way through what was fetched of a partition, whose records are chunks."""

    next_fetch_offset: int

    def __iter__(self) -> Iterator[Chunk]: ...


class Unchunked:
    """The records of one partition and fetch, and how far they were taken."""

    def __init__(self, chunks: _Reader) -> None:
        self._chunks = chunks
        self._current: Sequence[Bare] = ()
        self._left: Iterator[Bare] = iter(())
        self._records = chain.from_iterable(self._read())

    def __iter__(self) -> Iterator[Bare]:
        return self._records

    @property
    def next_fetch_offset(self) -> int:
        """Where to go on."""
        left = length_hint(self._left)
        return self._current[-left].offset if left else self._chunks.next_fetch_offset

    def _read(self) -> Iterator[Iterator[Bare]]:
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
        records.in_chunks = True
    made = theirs(name, records, aborted, offset, keys, values, crcs, isolation)
    if values is not IN_CHUNKS:
        return made
    made._consumer_record = _as_it_is
    return Unchunked(made)


def _as_it_is(_name: object, chunk: Chunk) -> Chunk:
    return chunk
