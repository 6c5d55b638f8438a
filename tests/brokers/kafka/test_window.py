"""The pure core: what may be committed, delivered and fetched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from anyio import create_task_group, wait_all_tasks_blocked
from hypothesis import given, settings
from hypothesis import strategies as st

from callboard_brokers import Capacity, Delivery
from callboard_brokers.events import Event, SettledLate
from callboard_brokers.kafka import KafkaSource, Record, TopicPartition
from callboard_brokers.kafka._ahead import LIMIT, decode, encode
from callboard_brokers.kafka._window import Window
from callboard_brokers.kit import Journal

pytestmark = pytest.mark.anyio


class Fetched(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = b""
    headers: tuple[tuple[str, bytes | None], ...] = ()


ZERO, ONE = TopicPartition("t", 0), TopicPartition("t", 1)


def records(name: TopicPartition, *offsets: int) -> list[Record]:
    return [Fetched(*name, offset) for offset in offsets]


ROOM = Capacity(1).bytes


def window(capacity: int = 100, journal: Journal | None = None, **options: int) -> Window:
    source = KafkaSource(topics=("t",), **options)  # type: ignore[arg-type] # numbers only
    return Window(source, Capacity(capacity), journal or Journal(None))


def offsets(deliveries: list[Delivery[Record]]) -> list[int]:
    return [delivery.message.raw_message.offset for delivery in deliveries]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("fetch"), st.integers(1, 5)),
        st.tuples(st.just("take"), st.integers(1, 5)),
        st.tuples(st.sampled_from(["ack", "reject", "release", "nack"]), st.integers(0, 20)),
    ),
    max_size=60,
)


@settings(max_examples=60)
@given(STEPS)
async def test_the_position_is_the_oldest_record_that_is_not_done_with(
    steps: list[tuple[str, int]],
) -> None:
    view = window()
    fetched, done, held = 0, set[int](), list[Delivery[Record]]()
    for step, number in steps:
        if step == "fetch":
            view.store({ZERO: records(ZERO, *range(fetched, fetched + number))})
            fetched += number
        elif step == "take":
            held += view.take(number)
        elif number < len(held):
            delivery = held.pop(number)
            if step in {"ack", "reject"}:
                done.add(delivery.message.raw_message.offset)
            delivery.nack(delay=0) if step == "nack" else getattr(delivery, step)()

    if fetched:
        missing = [offset for offset in range(fetched) if offset not in done]
        assert view.partition(ZERO).position == (missing or [fetched])[0]
    # Nothing is lost: all that is not done with is held, or comes.
    rest = held + view.take(1000)
    assert sorted(offsets(rest)) == [offset for offset in range(fetched) if offset not in done]


CYCLES = st.lists(
    st.tuples(
        st.integers(1, 30),  # fetched
        st.sets(st.integers(0, 29)),  # settled
        st.booleans(),  # whether all that is settled is committed before the end, or it crashes
    ),
    max_size=8,
)


@settings(max_examples=60)
@given(CYCLES)
async def test_whatever_is_given_up_nothing_unsettled_is_skipped_and_nothing_committed_is_repeated(
    cycles: list[tuple[int, set[int], bool]],
) -> None:
    told = set[int]()
    committed, text = 0, ""
    for fetched, settled, graceful in cycles:
        view = window()
        view.restore(ZERO, (committed, text), (committed, text))
        view.store({ZERO: records(ZERO, *range(committed, committed + fetched))})
        came, done = view.take(1000), set(told)
        expected = [n for n in range(committed, committed + fetched) if n not in told]
        assert offsets(came) == expected
        for number, delivery in enumerate(came):
            if number in settled:
                delivery.ack()
                done.add(delivery.message.raw_message.offset)
        progress = view.partition(ZERO).progress(LIMIT)
        if graceful and progress is not None:
            assert progress[0] >= committed
            committed, text = progress
            told = done
            assert {*range(committed)} <= done
            assert {*decode(committed, text)} == {n for n in done if n >= committed}


async def test_a_span_that_was_done_before_moves_the_position_by_itself() -> None:
    view = window()
    view.restore(ZERO, None, (0, encode(0, [0, 1, 3])))
    view.store({ZERO: records(ZERO, 0, 1, 2, 3)})
    [delivery] = view.take(10)

    assert view.partition(ZERO).position == 2
    delivery.ack()
    assert view.partition(ZERO).position == 4


async def test_what_is_delivered_exceeds_a_bound_in_bytes_by_one_record_at_most() -> None:
    view = window()
    view.delivering = True
    for name in (ZERO, ONE):
        view.store({name: [Fetched(*name, offset, value=b"123") for offset in range(3)]})

    sizes = [len(view.take(10, max_bytes)) for max_bytes in (1, 6, 7)]
    assert sizes == [1, 2, 3]
    assert view.in_flight == 6


async def test_partitions_take_turns() -> None:
    view = window()
    view.store({ZERO: records(ZERO, 0, 1, 2, 3), ONE: records(ONE, 0, 1)})

    taken = [view.take(2) for _ in range(3)]
    names = [{each.message.raw_message.partition for each in batch} for batch in taken]
    assert names == [{0}, {1}, {0}]


async def test_fetching_stops_when_it_is_full_and_goes_on_at_half() -> None:
    view = window(10)
    assert view.wanted == 10
    view.store({ZERO: records(ZERO, *range(10))})
    wanted: list[int] = []
    for _ in range(10):
        view.take(1)
        wanted.append(view.wanted)

    assert wanted == [0, 0, 0, 0, 5, 6, 7, 8, 9, 10]


def of_size(name: TopicPartition, first: int, sizes: Sequence[int]) -> list[Record]:
    return [Fetched(*name, n, value=bytes(size)) for n, size in enumerate(sizes, first)]


async def test_fetching_stops_when_too_many_bytes_wait_and_goes_on_at_half() -> None:
    view = window(10_000)
    view.store({ZERO: of_size(ZERO, 0, [ROOM // 4] * 4)})
    assert view.wanted == 0
    wanted: list[int] = []
    for _ in range(4):
        view.take(1)
        wanted.append(view.wanted)

    assert wanted == [0, 2, 3, 4]


async def test_a_record_larger_than_the_room_is_fetched_when_nothing_waits() -> None:
    view = window(100)
    view.store({ZERO: of_size(ZERO, 0, [2 * ROOM])})
    assert view.wanted == 0
    view.take(1)

    assert view.wanted == 1


@settings(max_examples=40)
@given(
    st.integers(1, ROOM),
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3)), max_size=15),
)
async def test_records_of_a_size_never_take_more_room_than_there_is_and_one(
    size: int, steps: list[tuple[int, int]]
) -> None:
    view, fetched, waiting = window(50), 1, 1
    view.store({ZERO: [Fetched(*ZERO, 0, value=b"x" * size)]})  # it tells what they are like
    body = b"x" * size
    for taken, nacked in steps:
        count = view.wanted
        if count:
            new = range(fetched, fetched + count)
            view.store({ZERO: [Fetched(*ZERO, n, value=body) for n in new]})
            fetched, waiting = fetched + count, waiting + count
        assert waiting * size <= ROOM + size
        came = view.take(taken) if taken else []
        waiting -= len(came)
        for delivery in came[nacked:]:
            delivery.ack()

    view.take(1000)
    assert view.wanted == min(50, max(1, ROOM // size))


async def test_a_partition_is_shut_at_its_span_and_open_again_at_half() -> None:
    view = window(max_span=10)
    view.store({ZERO: records(ZERO, *range(12)), ONE: records(ONE, 0)})
    taken = view.take(12)
    assert view.open_to([ZERO, ONE]) == [ONE]
    for delivery in taken[:6]:
        delivery.ack()
    assert view.open_to([ZERO, ONE]) == [ONE]
    taken[6].ack()
    assert view.open_to([ZERO, ONE]) == [ZERO, ONE]


async def test_released_records_come_first_and_in_their_order() -> None:
    view = window()
    view.store({ZERO: records(ZERO, *range(6))})
    for delivery in view.take(3):
        delivery.release()

    assert offsets(view.take(10)) == [0, 1, 2, 3, 4, 5]


async def test_settlements_of_an_ended_epoch_are_stale_but_for_what_is_given_back() -> None:
    told: list[Event] = []
    view = window(journal=Journal(told.append))
    view.store({ONE: records(ONE, 5, 6)})
    done, untouched = view.take(2)
    assert view.end_epoch() == 2
    done.ack()
    untouched.release()
    view.store({ONE: records(ONE, 5)})

    assert told == [SettledLate(ONE.topic, 1)]
    assert view.partition(ONE).position == 5


async def test_a_log_that_begins_anew_is_read_from_its_new_beginning() -> None:
    view = window()
    view.store({ZERO: records(ZERO, 7, 8)})
    [old, _] = view.take(2)
    view.store({ZERO: records(ZERO, 0, 1)})
    old.ack()

    assert offsets(view.take(10)) == [0, 1]
    assert view.partition(ZERO).position == 0


async def test_a_window_is_at_rest_when_all_is_committed_and_nothing_is_to_come_again() -> None:
    kept = window()
    seen = [kept.at_rest]
    kept.store({ZERO: records(ZERO, 0, 1)})
    seen.append(kept.at_rest)
    first, second = kept.take(10)
    seen.append(kept.at_rest)
    first.ack()
    second.nack(delay=60)
    kept.completed = 0  # as a commit does
    seen.append(kept.at_rest)
    kept.end_epoch()
    seen.append(kept.at_rest)

    assert seen == [True, False, False, False, True]


@pytest.mark.parametrize("by", ["what is fetched", "what is assigned"])
async def test_who_rests_is_stirred(by: str) -> None:
    kept = window()
    async with create_task_group() as tasks:
        tasks.start_soon(kept.stirred.wait)
        await wait_all_tasks_blocked()
        if by == "what is fetched":
            kept.store({ZERO: records(ZERO, 0)})
        else:
            kept.resume()
