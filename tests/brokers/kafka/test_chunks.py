"""Records are made a chunk at a time, and taken one by one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Protocol

from callboard_brokers import Metadata
from callboard_brokers.kafka import TopicPartition
from callboard_brokers.kafka._chunks import CHUNK, IN_CHUNKS
from callboard_brokers.kafka._message import Bare, FetchedRecord, KafkaMessage

from .cluster import client
from .test_names import GZIP, batch, renamed

reader: Any = client.consumer.fetcher
NAME = TopicPartition("orders", 3)


class Fetch(Protocol):
    next_fetch_offset: int

    def __iter__(self) -> Iterator[Bare]: ...


def fetch(fetched: bytes, position: int = 0, decoder: object = IN_CHUNKS) -> Fetch:
    """Return what a consumer has fetched from *position* on."""
    records = reader.MemoryRecords(fetched)
    made: Fetch = reader.PartitionRecords(NAME, records, [], position, None, decoder, True, 0)
    return made


def test_a_record_has_all_that_came_with_it() -> None:
    [record] = fetch(batch(b"body"))

    headers = (("x", b"1"), ("ZoXY", b"body"))
    message = KafkaMessage.fetched(record, NAME, lambda _: Metadata(), None)
    assert message.raw_message == FetchedRecord("orders", 3, 0, 0, 0, b"k", b"body", headers)


def test_what_was_taken_of_a_chunk_says_where_to_go_on() -> None:
    fetched = fetch(batch(b"0", b"1") + batch(b"2", b"3", first=4, compression=GZIP))

    reached = [(record.offset, fetched.next_fetch_offset) for record in fetched]
    assert reached == [(0, 1), (1, 2), (4, 5), (5, 6)]


def test_the_position_stays_where_it_is_until_something_is_taken() -> None:
    fetched = fetch(batch(b"0", b"1"))

    assert fetched.next_fetch_offset == 0


def test_what_lies_before_the_position_is_passed_over() -> None:
    fetched = fetch(batch(b"0", b"1", b"2") + batch(b"3", first=3), position=1)

    assert [record.offset for record in fetched] == [1, 2, 3]


def test_a_batch_of_many_records_comes_in_their_order() -> None:
    bodies = [b"%d" % number for number in range(2 * CHUNK + 1)]
    fetched = fetch(batch(*bodies))

    first = [record.value for record in islice(fetched, CHUNK + 7)]
    assert fetched.next_fetch_offset == CHUNK + 7
    assert [*first, *(record.value for record in fetched)] == bodies


def test_a_name_that_is_no_text_loses_and_repeats_nothing() -> None:
    bodies = [b"%d" % number for number in range(CHUNK + 2)]
    fetched = fetch(renamed(batch(*bodies)))

    assert [record.value for record in fetched] == bodies


def test_consumers_of_others_get_the_records_of_the_client() -> None:
    [record] = fetch(batch(b"body"), decoder=bytes.upper)

    assert type(record).__name__ == "ConsumerRecord"
    assert record.value == b"BODY"
