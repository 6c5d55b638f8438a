from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from math import inf

import anyio
import pytest
from anyio import wait_all_tasks_blocked as idle

from callboard_actors import Event, Mailbox, MailboxClosed, Reader, SpecError
from callboard_actors.testing import virtual_backend

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Item:
    key: str | None
    number: int


def take_all(reader: Reader[int]) -> list[int]:
    """Take and finish everything that is ready."""
    taken: list[int] = []
    while True:
        try:
            taken.append(reader.take_nowait())
        except anyio.WouldBlock:
            return taken
        reader.done()


async def test_items_are_taken_in_the_order_in_which_they_were_left() -> None:
    mailbox = Mailbox[int]()
    mailbox.put_many([1, 2])
    await mailbox.put(3)

    assert take_all(mailbox.reader()) == [1, 2, 3]


async def test_a_reader_waits_for_an_item() -> None:
    mailbox = Mailbox[int]()
    taken: list[int] = []

    async def read(reader: Reader[int]) -> None:
        taken.append(await reader.take())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read, mailbox.reader())
        await idle()
        mailbox.put_nowait(7)

    assert taken == [7]


async def test_a_full_mailbox_takes_no_more() -> None:
    mailbox = Mailbox[int](2)
    left = [mailbox.put_nowait(n) for n in range(3)]

    assert left == [True, True, False]
    assert mailbox.free == 0


async def test_what_a_reader_holds_takes_no_room() -> None:
    mailbox = Mailbox[int](1)
    mailbox.put_nowait(1)
    reader = mailbox.reader()
    reader.take_nowait()

    assert mailbox.free == 1
    assert mailbox.stats().held == 1


async def test_bytes_bound_a_mailbox_too() -> None:
    mailbox = Mailbox[bytes](100, max_bytes=10, size=len)
    mailbox.put_many([b"12345", b"12345"])

    assert mailbox.free == 0
    assert mailbox.stats().bytes == 10


async def test_sizes_that_the_sender_knows_are_not_asked_for_again() -> None:
    asked: list[bytes] = []

    def size(item: bytes) -> int:
        asked.append(item)
        return len(item)

    mailbox = Mailbox[bytes](100, max_bytes=10, size=size)
    mailbox.put_many([b"123", b"12345"], [3, 5])

    assert mailbox.stats().bytes == 8
    assert asked == []


async def test_taking_and_putting_back_keeps_the_account_of_bytes() -> None:
    mailbox = Mailbox[bytes](size=len, lane=lambda _: "one")
    mailbox.put_many([b"123", b"12345"])
    reader = mailbox.reader()
    reader.take_nowait()
    reader.put_back()

    assert mailbox.stats().bytes == 8
    assert mailbox.drain() == [b"123", b"12345"]
    assert mailbox.stats().bytes == 0


async def test_once_full_a_mailbox_has_room_when_it_is_half_empty() -> None:
    mailbox = Mailbox[int](4)
    mailbox.put_many(range(4))
    reader = mailbox.reader()
    room: list[int] = []

    async def wait() -> None:
        room.append(await mailbox.room())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await idle()
        reader.take_nowait()
        await idle()
        assert room == []
        reader.done()
        reader.take_nowait()

    assert room == [2]


async def test_high_and_low_water_are_reported() -> None:
    events: list[Event] = []
    mailbox = Mailbox[int](1, notify=events.append, name="orders")
    mailbox.put_nowait(1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(mailbox.put, 2)
        await idle()
        take_all(mailbox.reader())

    assert [event.name for event in events] == ["mailbox.high_water", "mailbox.low_water"]
    assert events[0].path == "orders"


async def test_a_cancelled_put_leaves_nothing() -> None:
    mailbox = Mailbox[int](1)
    mailbox.put_nowait(1)
    with anyio.move_on_after(1):
        await mailbox.put(2)

    assert mailbox.drain() == [1]


async def test_who_puts_does_not_overtake_those_who_wait_for_room() -> None:
    mailbox = Mailbox[int](4)
    mailbox.put_many(range(4))
    reader = mailbox.reader()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(mailbox.put, 4)
        await idle()
        reader.take_nowait()
        tasks.start_soon(mailbox.put, 5)
        await idle()

        assert mailbox.free == 1
        mailbox.drain()


async def test_the_system_lane_is_read_first_and_has_no_bound() -> None:
    mailbox = Mailbox[int](1)
    mailbox.put_nowait(1)
    mailbox.put_system(-1)
    mailbox.put_system(-2)

    assert take_all(mailbox.reader()) == [-1, -2, 1]


async def test_a_system_item_is_put_back_to_the_system_lane() -> None:
    mailbox = Mailbox[int](lane=lambda n: n)
    mailbox.put_system(-1)
    mailbox.put_nowait(1)
    reader = mailbox.reader()
    reader.take_nowait()
    reader.put_back()

    assert take_all(reader) == [-1, 1]


async def test_a_closed_mailbox_lets_nothing_in_and_is_read_to_the_end() -> None:
    mailbox = Mailbox[int](name="orders")
    mailbox.put_nowait(1)
    mailbox.close()
    reader = mailbox.reader()

    with pytest.raises(MailboxClosed, match="'orders' is closed"):
        mailbox.put_nowait(2)
    assert take_all(reader) == [1]
    with pytest.raises(MailboxClosed):
        await reader.take()


@pytest.mark.parametrize("lanes", [False, True])
async def test_closing_wakes_readers_and_senders(lanes: bool) -> None:
    mailbox = Mailbox[int](1, lane=(lambda _: "one") if lanes else None)
    told: list[str] = []

    async def read() -> None:
        with pytest.raises(MailboxClosed):
            await mailbox.reader().take()
        told.append("reader")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await idle()
        mailbox.close()
    with pytest.raises(MailboxClosed):
        await mailbox.room()

    assert told == ["reader"]


async def test_a_reader_that_waits_behind_a_busy_lane_ends_with_the_last_item() -> None:
    mailbox = Mailbox[int](lane=lambda _: "one")
    mailbox.put_many([1, 2])
    busy, ended = mailbox.reader(), anyio.Event()
    busy.take_nowait()
    mailbox.close()

    async def read() -> None:
        with pytest.raises(MailboxClosed):
            await mailbox.reader().take()
        ended.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await idle()
        assert not ended.is_set()
        busy.done()
        assert take_all(busy) == [2]


async def test_a_busy_key_holds_back_its_own_items_only() -> None:
    mailbox = Mailbox[Item](lane=lambda item: item.key)
    first, second, other, free = Item("a", 1), Item("a", 2), Item("b", 3), Item(None, 4)
    mailbox.put_many([first, second, other, free])
    one, two = mailbox.reader(), mailbox.reader()
    assert one.take_nowait() == first

    assert two.take_nowait() == other
    two.done()
    assert two.take_nowait() == free
    two.done()
    with pytest.raises(anyio.WouldBlock):
        two.take_nowait()
    one.done()
    assert two.take_nowait() == second


async def test_a_reader_that_waits_is_woken_when_a_lane_goes_on() -> None:
    mailbox = Mailbox[Item](lane=lambda item: item.key)
    mailbox.put_many([Item("a", 1), Item("b", 2), Item("a", 3), Item("b", 4)])
    one, two, three = mailbox.reader(), mailbox.reader(), mailbox.reader()
    one.take_nowait()
    two.take_nowait()
    taken: list[Item] = []

    async def read() -> None:
        taken.append(await three.take())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await idle()
        one.done()
        two.done()
        one.take_nowait()

    assert taken == [Item("b", 4)]


async def test_each_reader_reads_its_own_shard() -> None:
    mailbox = Mailbox[int](shards=2, lane=lambda n: n % 2)
    even, odd = mailbox.reader(0), mailbox.reader(1)
    mailbox.put_many(range(6))

    assert take_all(even) == [0, 2, 4]
    assert take_all(odd) == [1, 3, 5]


async def test_an_unknown_shard_is_refused_and_nothing_is_left() -> None:
    mailbox = Mailbox[int](shards=2, lane=lambda n: n, name="orders")

    with pytest.raises(SpecError, match="chose shard 2; give a number below 2"):
        mailbox.put_many([0, 2])
    assert len(mailbox) == 0


async def test_an_item_that_is_put_back_comes_first_again() -> None:
    mailbox = Mailbox[Item](lane=lambda item: item.key)
    mailbox.put_many([Item("a", 1), Item("a", 2), Item("b", 3)])
    reader = mailbox.reader()
    reader.take_nowait()
    reader.put_back()

    assert reader.take_nowait() == Item("a", 1)


async def test_purge_takes_out_what_is_stale_and_keeps_the_order_of_the_rest() -> None:
    mailbox = Mailbox[int](lane=lambda n: n % 2)
    mailbox.put_many(range(8))
    reader = mailbox.reader()
    reader.take_nowait()

    assert sorted(mailbox.purge(lambda n: n in {0, 2, 5})) == [2, 5]
    reader.done()
    rest = take_all(reader)
    assert [n for n in rest if n % 2] == [1, 3, 7]
    assert [n for n in rest if not n % 2] == [4, 6]
    assert len(mailbox) == 0


async def test_a_purge_that_fails_takes_out_nothing() -> None:
    mailbox = Mailbox[int](lane=lambda n: n % 2)
    mailbox.put_many([0, 1])

    with pytest.raises(ZeroDivisionError):
        mailbox.purge(lambda n: 1 // n > 0)
    assert sorted(mailbox.drain()) == [0, 1]


@pytest.mark.parametrize("lanes", [False, True])
async def test_the_oldest_age_is_that_of_the_bulk_with_which_an_item_came(lanes: bool) -> None:
    mailbox = Mailbox[int](lane=(lambda n: n % 2) if lanes else None)
    reader = mailbox.reader()
    mailbox.put_many([1, 2])
    await anyio.sleep(5)
    mailbox.put_many([3, 4])
    await anyio.sleep(2)

    assert mailbox.stats().oldest_age == 7
    for _ in range(2):
        reader.take_nowait()
        reader.done()
    assert mailbox.stats().oldest_age == 2


@pytest.mark.parametrize(
    ("problem", "make"),
    [
        ("at least 1", lambda: Mailbox[int](0)),
        ("no lane=", lambda: Mailbox[int](shards=2)),
        ("leave out kin=", lambda: Mailbox[int](lane=lambda n: n, kin=lambda n: n)),
    ],
)
async def test_options_that_contradict_each_other_are_refused(problem: str, make: object) -> None:
    assert callable(make)
    with pytest.raises(SpecError, match=problem):
        make()


async def test_a_wake_that_a_cancelled_reader_got_is_passed_on() -> None:
    mailbox = Mailbox[int]()
    taken: list[int] = []

    async def read(scope: anyio.CancelScope) -> None:
        with scope:
            taken.append(await mailbox.reader().take())

    async with anyio.create_task_group() as tasks:
        first, second = anyio.CancelScope(), anyio.CancelScope()
        tasks.start_soon(read, first)
        await idle()
        tasks.start_soon(read, second)
        await idle()
        mailbox.put_nowait(1)
        first.cancel()
        await idle()
        second.cancel()

    assert taken == [1]


class Diary:
    """What was taken, and how many seconds after the start."""

    def __init__(self) -> None:
        self.began = anyio.current_time()
        self.entries: list[tuple[float, Item]] = []

    async def keep(self, reader: Reader[Item]) -> None:
        """Take whatever comes until the mailbox is closed and empty."""
        with suppress(MailboxClosed):
            while True:
                item = await reader.take()
                self.entries.append((round(anyio.current_time() - self.began, 3), item))
                reader.done()


A1, A2, B1, B2, FREE1, FREE2 = (Item(key, n) for key in ("a", "b", None) for n in (1, 2))
A3 = Item("a", 3)


def keyed(*items: Item) -> Mailbox[Item]:
    """Make a mailbox with lanes."""
    mailbox = Mailbox[Item](lane=lambda item: item.key)
    mailbox.put_many(items)
    return mailbox


def park(reader: Reader[Item], delay: float) -> Item:
    """Park the next item."""
    item = reader.take_nowait()
    reader.park(delay)
    return item


async def test_a_parked_key_waits_for_its_time_and_holds_back_nobody_else() -> None:
    mailbox, diary = keyed(A1, A2, B1, FREE1), Diary()
    mailbox.close()
    reader = mailbox.reader()
    assert park(reader, 5) == A1
    await diary.keep(reader)

    assert diary.entries == [(0, B1), (0, FREE1), (5, A1), (5, A2)]


async def test_an_item_without_a_key_is_parked_alone() -> None:
    mailbox, diary = keyed(FREE1, FREE2), Diary()
    mailbox.close()
    reader = mailbox.reader()
    assert park(reader, 5) == FREE1
    await diary.keep(reader)

    assert diary.entries == [(0, FREE2), (5, FREE1)]


@pytest.mark.parametrize("shards", [1, 2])
async def test_a_parked_item_holds_a_plain_queue_or_a_shard_for_order(shards: int) -> None:
    mailbox = Mailbox[Item](shards=shards, lane=None if shards == 1 else lambda _: 0)
    mailbox.put_many([A1, B1])
    reader, diary = mailbox.reader(), Diary()
    park(reader, 5)
    mailbox.put_nowait(FREE1)
    mailbox.close()
    await diary.keep(reader)

    assert diary.entries == [(5, A1), (5, B1), (5, FREE1)]


@pytest.mark.parametrize("shards", [1, 2])
async def test_of_a_plain_queue_or_a_shard_only_the_kin_of_a_parked_item_waits(shards: int) -> None:
    mailbox = Mailbox[Item](
        shards=shards, lane=None if shards == 1 else lambda _: 0, kin=lambda item: item.key
    )
    mailbox.put_many([A1, B1, A2, FREE1])
    reader, diary = mailbox.reader(), Diary()
    park(reader, 5)
    mailbox.put_many([late := Item("a", 3), B2])
    mailbox.close()
    await diary.keep(reader)

    assert [item for at, item in diary.entries if not at] == [B1, FREE1, B2]
    assert [item for at, item in diary.entries if at == 5] == [A1, A2, late]


async def test_two_readers_of_a_plain_queue_park_items_that_are_kin() -> None:
    mailbox, diary = Mailbox[Item](kin=lambda item: item.key), Diary()
    mailbox.put_many([A1, A2, B1])
    mailbox.close()
    one, two = mailbox.reader(), mailbox.reader()
    one.take_nowait()
    two.take_nowait()
    two.park(1)
    one.park(5)
    await diary.keep(one)

    assert diary.entries == [(0, B1), (5, A1), (5, A2)]


def take_all_of(reader: Reader[Item]) -> list[Item]:
    """Take and finish everything that is ready, by lanes."""
    taken: list[Item] = []
    while (item := next(reader.items())) is not None:
        taken.append(item)
        reader.done()
    return taken


KINDS = pytest.mark.parametrize("kind", ["lanes", "plain", "shards"])


def deferring(kind: str, *items: Item, capacity: int = 256) -> Mailbox[Item]:
    """Make a mailbox that keeps the order of a key."""

    def key(item: Item) -> str | None:
        return item.key

    def shard(_: Item) -> int:
        return 0

    lane = {"lanes": key, "plain": None, "shards": shard}[kind]
    kin, shards = None if kind == "lanes" else key, 1 + (kind == "shards")
    mailbox = Mailbox[Item](capacity, lane=lane, kin=kin, shards=shards, size=lambda _: 1)
    mailbox.put_many(items)
    return mailbox


@KINDS
async def test_a_lane_goes_on_while_an_item_is_deferred_which_keeps_its_room(kind: str) -> None:
    mailbox = deferring(kind, A1, A2, capacity=2)
    reader = mailbox.reader()
    for item in (A1, A2):
        assert reader.take_nowait() == item
        reader.defer()
    stats = mailbox.stats()
    assert (stats.queued, stats.held, stats.bytes, mailbox.free) == (0, 2, 2, 0)
    mailbox.done(A2)
    mailbox.done(A1)
    stats = mailbox.stats()

    assert (stats.queued, stats.held, stats.bytes, mailbox.free) == (0, 0, 0, 2)


@KINDS
async def test_deferred_items_that_are_put_back_come_before_the_others_of_their_lane(
    kind: str,
) -> None:
    mailbox = deferring(kind, A1, A2, A3, B1)
    reader, diary = mailbox.reader(), Diary()
    for item in (A1, A2):
        if reader.take_nowait() == B1:
            reader.done()
            reader.take_nowait()
        assert reader.current == item
        reader.defer()
    mailbox.close()
    mailbox.put_back([A1, A2])
    await diary.keep(reader)

    assert [item for _, item in diary.entries if item.key == "a"] == [A1, A2, A3]
    assert mailbox.stats().bytes == 0


@KINDS
async def test_deferred_items_wait_for_the_time_of_a_parked_one_that_they_go_before(
    kind: str,
) -> None:
    mailbox = deferring(kind, A1, A2)
    reader, diary = mailbox.reader(), Diary()
    reader.take_nowait()
    reader.defer()
    park(reader, 5)
    mailbox.put_back([A1])
    mailbox.close()
    await diary.keep(reader)

    assert diary.entries == [(5, A1), (5, A2)]


async def test_a_deferred_item_does_not_pass_what_a_reader_of_its_lane_holds() -> None:
    mailbox = deferring("lanes", A1, A2, A3)
    reader, other = mailbox.reader(), mailbox.reader()
    reader.take_nowait()
    reader.defer()
    assert reader.take_nowait() == A2
    mailbox.put_back([A1])
    with pytest.raises(anyio.WouldBlock):
        other.take_nowait()
    reader.done()

    assert take_all_of(reader) == [A1, A3]


@KINDS
async def test_a_closed_mailbox_is_not_empty_while_something_is_deferred(kind: str) -> None:
    mailbox, diary = deferring(kind, A1), Diary()
    reader = mailbox.reader()
    reader.take_nowait()
    reader.defer()
    mailbox.close()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(diary.keep, reader)
        await anyio.sleep(1)
        mailbox.put_back([A1])

    assert diary.entries == [(1, A1)]


@KINDS
@pytest.mark.parametrize("is_handled", [True, False])
async def test_readers_of_a_closed_mailbox_end_with_the_last_deferred_item(
    kind: str, is_handled: bool
) -> None:
    mailbox, diary = deferring(kind, A1), Diary()
    reader = mailbox.reader()
    reader.take_nowait()
    reader.defer()
    mailbox.close()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(diary.keep, reader)
        tasks.start_soon(diary.keep, mailbox.reader(int(kind == "shards")))
        await anyio.sleep(1)
        if is_handled:
            mailbox.done(A1)
        else:
            mailbox.put_back([A1])

    assert anyio.current_time() - diary.began == 1


async def test_who_waits_for_room_gets_it_when_deferred_items_are_done() -> None:
    mailbox = deferring("plain", A1, A2, capacity=2)
    reader = mailbox.reader()
    for _ in range(2):
        reader.take_nowait()
        reader.defer()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(mailbox.room)
        await anyio.wait_all_tasks_blocked()
        mailbox.done(A1)

    assert mailbox.free == 1


@KINDS
async def test_a_deferred_item_that_is_done_makes_room_though_the_rest_is_parked(kind: str) -> None:
    mailbox, diary = deferring(kind, A1, A2, A3, B1, capacity=4), Diary()
    reader = mailbox.reader()
    park(reader, 5)
    assert reader.take_nowait() == B1
    reader.defer()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(diary.keep, reader)
        tasks.start_soon(mailbox.put, B2)
        await anyio.sleep(1)
        mailbox.done(B1)
        await anyio.sleep(1)
        mailbox.close()

    assert diary.entries == [(1, B2), (5, A1), (5, A2), (5, A3)]


async def test_a_closed_mailbox_is_opened_again_with_what_is_in_it() -> None:
    mailbox = deferring("plain", A1)
    mailbox.close()
    mailbox.reopen()
    mailbox.put_many([A2])

    assert [*mailbox.drain()] == [A1, A2]


async def test_an_item_that_comes_back_to_a_mailbox_that_was_emptied_has_an_age() -> None:
    mailbox = deferring("plain", A1)
    reader = mailbox.reader()
    reader.take_nowait()
    mailbox.drain()
    await anyio.sleep(2)
    reader.put_back()

    assert mailbox.stats().oldest_age == 2


async def test_an_item_without_kin_is_parked_alone_in_a_plain_queue() -> None:
    mailbox, diary = Mailbox[Item](kin=lambda item: item.key), Diary()
    mailbox.put_many([FREE1, FREE2])
    mailbox.close()
    reader = mailbox.reader()
    park(reader, 5)
    await diary.keep(reader)

    assert diary.entries == [(0, FREE2), (5, FREE1)]


@pytest.mark.parametrize("lanes", [False, True])
async def test_what_is_parked_can_be_taken_out_with_what_waits_behind_it(lanes: bool) -> None:
    def key(item: Item) -> str | None:
        return item.key

    mailbox = Mailbox[Item](lane=key) if lanes else Mailbox[Item](kin=key)
    mailbox.put_many([A1, B1, A2, FREE1, B2])
    reader = mailbox.reader()
    park(reader, 5)

    assert mailbox.take_parked() == [A1, A2]
    assert mailbox.take_parked() == []
    assert (mailbox.stats().parked, len(mailbox)) == (0, 3)
    mailbox.put_nowait(A1)
    mailbox.close()
    diary = Diary()
    await diary.keep(reader)
    assert {item for _, item in diary.entries} == {B1, B2, FREE1, A1}


async def test_what_waits_for_its_time_keeps_out_nobody_for_whom_there_is_room() -> None:
    mailbox = Mailbox[Item](4, lane=lambda item: item.key)
    mailbox.put_many([A1, A2, Item("a", 3), B1])
    reader, diary = mailbox.reader(), Diary()
    park(reader, 100)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(mailbox.put, B2)
        tasks.start_soon(diary.keep, reader)
        await anyio.sleep(1)
        assert [item for _, item in diary.entries] == [B1, B2]
        mailbox.close()


async def test_the_system_lane_passes_a_held_queue() -> None:
    mailbox = Mailbox[int]()
    mailbox.put_many([1, 2])
    reader = mailbox.reader()
    reader.take_nowait()
    reader.park(5)
    mailbox.put_system(-1)

    assert take_all(reader) == [-1]


async def test_what_is_due_first_comes_first() -> None:
    mailbox, diary = keyed(A1, B1, FREE1), Diary()
    mailbox.close()
    reader = mailbox.reader()
    for delay in (9, 3, 6):
        park(reader, delay)
    await diary.keep(reader)

    assert diary.entries == [(3, B1), (6, FREE1), (9, A1)]


async def test_a_reader_that_waits_hears_of_what_is_parked_and_then_of_what_is_due_earlier() -> (
    None
):
    mailbox, diary = keyed(A1, B1), Diary()
    one, two = mailbox.reader(), mailbox.reader()
    one.take_nowait()
    two.take_nowait()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(diary.keep, mailbox.reader())
        await idle()
        one.park(9)
        await idle()
        two.park(5)
        await anyio.sleep(9)
        mailbox.close()

    assert [(round(at), item) for at, item in diary.entries] == [(5, B1), (9, A1)]


async def test_somebody_else_minds_the_time_when_the_one_who_did_gets_something_to_do() -> None:
    mailbox, diary = keyed(A1), Diary()
    park(mailbox.reader(), 5)

    async def work_long(reader: Reader[Item]) -> None:
        assert await reader.take() == B1
        await anyio.sleep(9)
        reader.done()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work_long, mailbox.reader())
        await idle()
        tasks.start_soon(diary.keep, mailbox.reader())
        await idle()
        mailbox.put_nowait(B1)
        await anyio.sleep(6)
        mailbox.close()

    assert [(round(at), item) for at, item in diary.entries] == [(5, A1)]


async def test_somebody_else_minds_the_time_when_the_one_who_did_is_cancelled() -> None:
    mailbox, diary, doomed = keyed(A1), Diary(), anyio.CancelScope()
    park(mailbox.reader(), 5)

    async def wait_in_vain() -> None:
        with doomed:
            await mailbox.reader().take()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_in_vain)
        await idle()
        tasks.start_soon(diary.keep, mailbox.reader())
        await idle()
        doomed.cancel()
        await anyio.sleep(6)
        mailbox.close()

    assert [(round(at), item) for at, item in diary.entries] == [(5, A1)]


async def test_several_readers_of_a_closed_mailbox_end_with_the_last_parked_item() -> None:
    mailbox, diary = keyed(FREE1, FREE2), Diary()
    mailbox.close()
    reader = mailbox.reader()
    park(reader, 5)
    park(reader, 7)
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(diary.keep, mailbox.reader())

    assert diary.entries == [(5, FREE1), (7, FREE2)]


@pytest.mark.parametrize("lanes", [False, True])
async def test_the_others_go_on_when_the_parked_one_is_purged(lanes: bool) -> None:
    mailbox = Mailbox[Item](lane=(lambda item: item.key) if lanes else None)
    mailbox.put_many([A1, A2])
    park(mailbox.reader(), 100)
    diary = Diary()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(diary.keep, mailbox.reader())
        await idle()
        assert mailbox.purge(lambda item: item == A1) == [A1]
        mailbox.close()

    assert [(round(at), item) for at, item in diary.entries] == [(0, A2)]


async def test_a_purge_leaves_parked_what_is_not_stale() -> None:
    mailbox, diary = keyed(A1, A2, B1), Diary()
    mailbox.close()
    reader = mailbox.reader()
    park(reader, 5)
    assert mailbox.purge(lambda item: item == B1) == [B1]
    await diary.keep(reader)

    assert diary.entries == [(5, A1), (5, A2)]


async def test_what_is_parked_takes_room_and_is_counted() -> None:
    mailbox = Mailbox[bytes](2, size=len, lane=lambda item: item)
    mailbox.put_many([b"123", b"45"])
    reader = mailbox.reader()
    reader.take_nowait()
    reader.park(5)
    stats = mailbox.stats()

    assert mailbox.free == 0
    assert (stats.parked, stats.queued, stats.bytes, stats.held) == (1, 2, 5, 0)


async def test_a_system_item_that_is_parked_comes_back_as_an_ordinary_one() -> None:
    mailbox, diary = keyed(), Diary()
    mailbox.put_system(A1)
    mailbox.close()
    reader = mailbox.reader()
    park(reader, 5)
    await diary.keep(reader)

    assert diary.entries == [(5, A1)]


async def test_an_item_that_is_given_back_already_is_neither_done_nor_given_back_again() -> None:
    mailbox = keyed(A1)
    reader = mailbox.reader()
    park(reader, 5)
    reader.park(1)
    reader.put_back()
    reader.done()

    assert (len(mailbox), mailbox.stats().parked) == (1, 1)


async def test_a_byte_bound_below_one_is_refused() -> None:
    with pytest.raises(SpecError, match="max_bytes=0"):
        Mailbox[int](max_bytes=0)


@pytest.mark.parametrize("cancelled_first", [False, True])
@pytest.mark.parametrize(
    "anyio_backend", [virtual_backend("asyncio")], ids=["asyncio"], indirect=False
)
async def test_a_reader_that_is_cancelled_natively_in_the_same_step_takes_no_wake_along(
    cancelled_first: bool,
) -> None:
    mailbox, diary = keyed(), Diary()
    doomed = asyncio.ensure_future(mailbox.reader().take())
    await idle()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(diary.keep, mailbox.reader())
        await idle()
        if cancelled_first:
            doomed.cancel()
        mailbox.put_nowait(A1)
        doomed.cancel()
        await idle()
        assert [item for _, item in diary.entries] == [A1]
        mailbox.close()

    assert doomed.cancelled()


async def test_a_purge_does_not_make_what_comes_after_it_old() -> None:
    mailbox = Mailbox[int]()
    mailbox.put_nowait(1)
    await anyio.sleep(100)
    mailbox.put_nowait(2)
    mailbox.drain()
    mailbox.put_nowait(3)

    assert mailbox.stats().oldest_age == 0


@pytest.mark.parametrize("lanes", [False, True])
async def test_readers_end_when_the_parked_rest_of_a_closed_mailbox_is_taken_out(
    lanes: bool,
) -> None:
    mailbox = Mailbox[Item](lane=(lambda item: item.key) if lanes else None)
    mailbox.put_many([A1, A2])
    mailbox.close()
    park(mailbox.reader(), 100)
    diary = Diary()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(diary.keep, mailbox.reader())
        tasks.start_soon(diary.keep, mailbox.reader())
        await idle()
        assert mailbox.drain() == [A1, A2]

    assert diary.entries == []
    assert Diary().began - diary.began < 5


async def test_what_is_parked_comes_back_in_its_turn_although_something_is_always_ready() -> None:
    mailbox, diary = keyed(A1, B1), Diary()
    reader = mailbox.reader()
    park(reader, 0.5)
    while reader.take_nowait() != A1:
        reader.done()
        mailbox.put_nowait(B2)
        await anyio.sleep(0.1)

    # Due after 0.5 seconds, it goes behind what was ready by then: keys take turns.
    assert round(anyio.current_time() - diary.began, 3) == 0.6


async def test_a_reader_knows_how_long_it_has_waited() -> None:
    mailbox = Mailbox[int]()
    reader = mailbox.reader()

    async with anyio.create_task_group() as group:
        group.start_soon(reader.take)
        await anyio.sleep(3)
        assert reader.idle == pytest.approx(3)
        mailbox.put_nowait(1)
        await anyio.sleep(2)

    assert reader.idle == pytest.approx(3)


@pytest.mark.parametrize("lanes", [False, True])
async def test_what_is_due_first_may_go_on_at_once_and_what_is_never_due_stays(
    lanes: bool,
) -> None:
    def key(item: Item) -> str | None:
        return item.key

    mailbox = Mailbox[Item](10, lane=key) if lanes else Mailbox[Item](10, kin=key)
    mailbox.put_many([A1, A2, B1, B2, FREE1])
    reader = mailbox.reader()
    for delay in (50, 20, inf):
        park(reader, delay)
    assert not mailbox.ready

    mailbox.hasten(0.4)
    assert not mailbox.ready  # four of them wait, and the fifth for ever
    mailbox.hasten(0.2)
    assert reader.take_nowait() is B1

    mailbox.hasten(0)
    reader.done()
    assert set(take_all_of(reader)) == {A1, A2, B2}
