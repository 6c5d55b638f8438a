from __future__ import annotations

from dataclasses import dataclass

import anyio
import pytest
from anyio import wait_all_tasks_blocked as idle

from callboard_actors import Event, Mailbox, MailboxClosed, MailboxFull, Reader, SpecError

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


@pytest.mark.parametrize(("overflow", "kept"), [("drop_new", [1, 2]), ("drop_old", [2, 3])])
async def test_overflow_drops_counts_and_reports(overflow: str, kept: list[int]) -> None:
    events: list[Event] = []
    notify = events.append
    mailbox = (
        Mailbox[int](2, overflow="drop_new", notify=notify)
        if overflow == "drop_new"
        else Mailbox[int](2, overflow="drop_old", notify=notify)
    )
    for n in (1, 2, 3):
        await mailbox.put(n)

    assert mailbox.drain() == kept
    assert mailbox.stats().dropped == 1
    assert [event.name for event in events] == ["mailbox.overflow"]


async def test_overflow_can_go_to_a_dead_letter_box() -> None:
    dead: list[int] = []
    mailbox = Mailbox[int](1, overflow=dead.append)
    await mailbox.put(1)
    await mailbox.put(2)

    assert dead == [2]


async def test_overflow_can_raise() -> None:
    mailbox = Mailbox[int](1, overflow="raise", name="orders")
    await mailbox.put(1)

    with pytest.raises(MailboxFull, match="'orders' is full: 1 items"):
        await mailbox.put(2)


async def test_one_who_cannot_wait_is_told_that_a_blocking_mailbox_is_full() -> None:
    mailbox = Mailbox[int](1)
    mailbox.post(1)

    with pytest.raises(MailboxFull):
        mailbox.post(2)


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
        ("use drop_new", lambda: Mailbox[int](lane=lambda n: n, overflow="drop_old")),
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
