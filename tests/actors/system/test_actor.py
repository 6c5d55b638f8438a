from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
import anyio.lowlevel
import pytest
from anyio import wait_all_tasks_blocked as idle

from callboard_actors import (
    ActorCrash,
    Child,
    Decision,
    Event,
    ExitReason,
    Mailbox,
    MailboxClosed,
    lifecycle,
    serve,
)

pytestmark = pytest.mark.anyio


def closed(items: list[int]) -> Mailbox[int]:
    mailbox = Mailbox[int]()
    mailbox.put_many(items)
    mailbox.close()
    return mailbox


def crashing_on(bad: int, received: list[int]) -> Callable[[int], Awaitable[None]]:
    async def receive(item: int) -> None:
        received.append(item)
        if item == bad:
            raise ActorCrash("corrupt")

    return receive


async def test_the_loop_ends_when_the_mailbox_is_closed_and_empty() -> None:
    received: list[int] = []

    await serve(crashing_on(0, received), closed([1, 2]).reader())

    assert received == [1, 2]


async def test_only_one_item_is_in_hand_when_an_actor_crashes_and_it_is_put_back() -> None:
    mailbox, received = closed([1, 2, 3]), list[int]()

    with pytest.raises(ActorCrash):
        await serve(crashing_on(2, received), mailbox.reader())
    assert mailbox.drain() == [2, 3]


async def test_an_item_that_crashed_its_actor_once_is_received_again() -> None:
    mailbox, received = closed([1, 2, 3]), list[int]()
    reader = mailbox.reader()

    with pytest.raises(ActorCrash):
        await serve(crashing_on(2, received), reader)
    await serve(crashing_on(0, received), reader)
    assert received == [1, 2, 2, 3]


async def test_an_item_that_crashed_its_actor_twice_is_quarantined_by_the_next_reader() -> None:
    mailbox, received = closed([1, 2, 3]), list[int]()
    quarantined: list[tuple[int, str]] = []

    async def quarantine(item: int, reason: str) -> None:
        quarantined.append((item, reason.splitlines()[-1]))

    for _ in range(2):
        with pytest.raises(ActorCrash):
            await serve(crashing_on(2, received), mailbox.reader(), quarantine=quarantine)
    await serve(crashing_on(2, received), mailbox.reader(), quarantine=quarantine)
    assert received == [1, 2, 2, 3]
    assert quarantined == [(2, "callboard_actors.ActorCrash: corrupt")]


async def test_a_condemned_item_is_quarantined_without_being_received() -> None:
    mailbox, received, quarantined = closed([1, 2, 3]), list[int](), list[tuple[int, str]]()
    mailbox.condemn(2, "it blocked the event loop")

    async def quarantine(item: int, reason: str) -> None:
        quarantined.append((item, reason))

    await serve(crashing_on(2, received), mailbox.reader(), quarantine=quarantine)
    assert (received, quarantined) == ([1, 3], [(2, "it blocked the event loop")])


async def test_without_a_quarantine_a_poisonous_item_is_dropped_with_an_event() -> None:
    events: list[Event] = []
    mailbox = Mailbox[int](notify=events.append)
    mailbox.put_nowait(2)
    mailbox.close()
    for _ in range(2):
        with pytest.raises(ActorCrash):
            await serve(crashing_on(2, []), mailbox.reader())
    await serve(crashing_on(2, []), mailbox.reader())

    assert [event.name for event in events] == ["message.dropped"]
    assert "corrupt" in str(events[0].attributes["reason"])
    assert mailbox.stats().dropped == 1


async def test_an_item_keeps_its_crashes_when_its_quarantine_fails() -> None:
    mailbox = closed([2])

    async def quarantine(item: int, reason: str) -> None:
        raise OSError("no dead letters today")

    for expected in (ActorCrash, ActorCrash, OSError, OSError):
        with pytest.raises(expected):
            await serve(crashing_on(2, []), mailbox.reader(), quarantine=quarantine)
    assert mailbox.drain() == [2]


async def test_a_cancelled_loop_puts_its_item_back_uncounted() -> None:
    mailbox = closed([1, 2])
    reader = mailbox.reader()

    async def hang(item: int) -> None:
        await anyio.sleep_forever()

    for _ in range(3):
        with anyio.move_on_after(1):
            await serve(hang, reader)
    received: list[int] = []
    await serve(crashing_on(0, received), reader)

    assert received == [1, 2]


async def test_a_closed_mailbox_that_the_actor_writes_to_is_a_crash_and_not_the_end() -> None:
    mailbox = closed([1])

    async def receive(item: int) -> None:
        mailbox.put_nowait(2)

    with pytest.raises(MailboxClosed):
        await serve(receive, mailbox.reader())
    assert mailbox.drain() == [1]


async def test_a_busy_actor_lets_others_run_after_64_items() -> None:
    received: list[int] = []
    seen: list[int] = []

    async def receive(item: int) -> None:
        received.append(item)

    async def other() -> None:
        seen.append(len(received))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve, receive, closed([*range(1000)]).reader())
        tasks.start_soon(other)

    assert len(received) == 1000
    assert seen[0] <= 64


async def test_two_loops_keep_the_order_of_each_key() -> None:
    mailbox = Mailbox[int](1000, lane=lambda n: n % 7)
    mailbox.put_many(range(200))
    mailbox.close()
    received: list[int] = []

    async def receive(item: int) -> None:
        await anyio.sleep(0.01 * (item % 3))
        received.append(item)

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(serve, receive, mailbox.reader())

    assert sorted(received) == [*range(200)]
    for key in range(7):
        of_key = [item for item in received if item % 7 == key]
        assert of_key == sorted(of_key)


async def test_an_item_that_its_receiver_parks_is_received_again_when_it_is_due() -> None:
    mailbox = Mailbox[int](lane=lambda n: n % 2)
    mailbox.put_many([0, 1, 2, 3])
    mailbox.close()
    reader, began = mailbox.reader(), anyio.current_time()
    received: list[tuple[float, int]] = []

    async def receive(item: int) -> None:
        received.append((anyio.current_time() - began, item))
        if len(received) == 1:
            reader.park(5)

    await serve(receive, reader)
    assert received == [(0, 0), (0, 1), (0, 3), (5, 0), (5, 2)]


async def test_what_is_parked_comes_back_to_a_loop_that_never_waits() -> None:
    mailbox = Mailbox[int](lane=lambda _: None)
    mailbox.put_nowait(0)
    reader = mailbox.reader()
    received: list[int] = []

    async def receive(item: int) -> None:
        received.append(item)
        if len(received) == 1:
            reader.park(0)
        if received.count(0) < 2:
            mailbox.put_nowait(len(received))
        elif not mailbox.closed:
            mailbox.close()

    await serve(receive, reader)
    assert received.count(0) == 2
    assert len(received) <= 70  # a turn and a little


async def test_a_parked_item_keeps_the_count_of_its_crashes() -> None:
    mailbox, tries = closed([1]), list[int]()
    reader = mailbox.reader()

    async def receive(item: int) -> None:
        tries.append(item)
        if len(tries) == 2:
            reader.park(5)
            return
        raise ActorCrash

    for _ in range(2):
        with pytest.raises(ActorCrash):
            await serve(receive, reader)
    await serve(receive, reader)
    assert tries == [1, 1, 1]
    assert mailbox.stats().dropped == 1


async def test_what_a_crashed_reader_leaves_is_taken_by_another() -> None:
    mailbox, received = Mailbox[int](lane=lambda _: "one"), list[int]()
    poison = iter([True])

    async def receive(item: int) -> None:
        if next(poison, False):
            raise ActorCrash
        received.append(item)

    async def work() -> None:
        with suppress(ActorCrash):
            await serve(receive, mailbox.reader())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        tasks.start_soon(work)
        await idle()
        mailbox.put_many([1, 2])
        await idle()
        mailbox.close()

    assert received == [1, 2]


class Recorder:
    def __init__(self) -> None:
        self.log: list[str] = []

    async def on_start(self) -> None:
        self.log.append("start")

    async def on_stop(self, reason: ExitReason) -> None:
        await anyio.lowlevel.checkpoint()
        self.log.append(reason.kind)


async def test_the_hooks_run_around_the_work() -> None:
    actor, child = Recorder(), Child()
    async with lifecycle(actor, child):
        assert child.started

    assert actor.log == ["start", "normal"]


async def test_on_stop_hears_of_a_crash() -> None:
    actor = Recorder()
    with pytest.raises(ActorCrash):
        async with lifecycle(actor, Child()):
            raise ActorCrash

    assert actor.log == ["start", "failed"]


async def test_on_stop_runs_although_the_actor_is_cancelled() -> None:
    actor = Recorder()
    with anyio.move_on_after(1):
        async with lifecycle(actor, Child()):
            await anyio.sleep_forever()

    assert actor.log == ["start", "killed"]


async def test_on_stop_hears_that_the_actor_was_asked_to_stop() -> None:
    actor, child = Recorder(), Child()
    async with lifecycle(actor, child):
        child.stop()

    assert actor.log == ["start", "shutdown"]


async def test_an_on_stop_that_hangs_is_cut_within_the_grace() -> None:
    class Hanging:
        async def on_stop(self, reason: ExitReason) -> None:
            await anyio.sleep_forever()

    began = anyio.current_time()
    async with lifecycle(Hanging(), Child(cancel_grace=2)):
        pass

    assert anyio.current_time() - began < 2


async def test_an_actor_without_hooks_needs_none() -> None:
    child = Child()
    async with lifecycle(object(), child):
        assert child.started


async def test_the_item_is_put_back_when_a_rule_about_its_failure_fails() -> None:
    mailbox, received = closed([1, 2]), list[int]()

    def broken(_: Exception) -> bool:
        raise KeyError("no such rule")

    with pytest.raises(KeyError, match="no such rule"):
        await serve(crashing_on(1, received), mailbox.reader(), decide=[(broken, Decision.RESUME)])

    assert mailbox.drain() == [1, 2]
