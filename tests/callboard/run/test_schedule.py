"""What is due is done at its times, by one of those who could."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from anyio import current_time, sleep

from callboard import Context, DeclarationError, Depends, MemoryBroker
from callboard.declare._schedule import Cron, Every
from callboard.events import Event, ScheduleFailed
from callboard.idempotency import Claim, MemoryStore
from callboard.memory import TestMemoryBroker

pytestmark = pytest.mark.anyio


async def run(seconds: float, *brokers: MemoryBroker) -> None:
    """Have *brokers* run for so long."""
    for broker in brokers:
        await broker.start()
    await sleep(seconds)
    for broker in brokers:
        await broker.stop()


async def test_it_is_done_at_every_multiple_of_so_many_seconds(broker: MemoryBroker) -> None:
    due: list[datetime] = []

    @broker.schedule(every=60)
    async def tick(due_: datetime = Context("due")) -> None:
        due.append(due_)

    await run(600, broker)

    assert len(due) == 10
    assert {each.timestamp() % 60 for each in due} == {0}
    assert {b - a for a, b in pairwise(due)} == {timedelta(seconds=60)}


async def test_an_expression_of_cron_is_of_the_clocks_of_its_zone(broker: MemoryBroker) -> None:
    zone, due = ZoneInfo("Asia/Kolkata"), list[datetime]()

    @broker.schedule("30 3 * * *", timezone="Asia/Kolkata")
    def nightly(due_: datetime = Context("due")) -> None:
        due.append(due_.astimezone(zone))

    await run(3 * 86_400, broker)

    assert [(each.hour, each.minute) for each in due] == [(3, 30)] * 3


def test_clocks_that_are_put_back_or_forward_change_what_is_due() -> None:
    nightly = Cron("30 2 * * *", ZoneInfo("Europe/Paris"))
    spring, autumn = datetime(2030, 3, 30, 12, tzinfo=UTC), datetime(2030, 10, 26, 12, tzinfo=UTC)

    assert nightly.after(spring) == datetime(2030, 3, 31, 1, tzinfo=UTC)  # half past two is not
    assert nightly.after(autumn) == datetime(2030, 10, 27, 0, 30, tzinfo=UTC)
    assert nightly.after(datetime(2030, 10, 27, 1, tzinfo=UTC)).day == 28  # it is not done twice


def test_the_moments_of_an_interval_follow_each_other_whatever_it_is() -> None:
    for seconds in (0.001, 0.1, 1 / 3, 7.3, 86_400):
        every, moment = Every(seconds), datetime(2030, 1, 1, tzinfo=UTC)
        for _ in range(100):
            following = every.after(moment)
            assert following > moment
            assert every.latest(following, following) == following
            moment = following


async def test_it_has_dependencies_and_its_result_is_published(broker: MemoryBroker) -> None:
    heard: list[int] = []

    async def seven() -> int:
        return 7

    @broker.publisher("out")
    @broker.schedule(every=timedelta(minutes=1))
    async def tick(number: int = Depends(seven)) -> int:
        return number

    @broker.subscriber("out")
    async def hear(number: int) -> None:
        heard.append(number)

    async with TestMemoryBroker(broker):
        await sleep(120)

    assert heard == [7, 7]


async def test_of_several_processes_one_does_what_is_due() -> None:
    store, done = MemoryStore(), list[datetime]()
    brokers = [MemoryBroker(), MemoryBroker(), MemoryBroker()]
    for broker in brokers:

        @broker.schedule(every=60, store=store)
        async def tick(due: datetime = Context("due")) -> None:
            done.append(due)
            await sleep(10)

    await run(300, *brokers)

    assert len({*done}) == len(done) == 5


async def test_another_one_takes_over_from_one_that_has_died(broker: MemoryBroker) -> None:
    store, done = MemoryStore(), list[float]()

    @broker.schedule(every=3600, store=store, lease=30, name="hourly")
    async def tick() -> None:
        done.append(current_time())

    due = Every(3600).after(datetime.now(UTC))
    until = (due - datetime.now(UTC)).total_seconds()
    begun = current_time()
    # As somebody who claims it when it is due, and is never heard of again.
    await store.claim(f"hourly:{due}", "dead", until + 30)
    await run(until + 60, broker)

    assert [30 < each - begun - until < 40 for each in done] == [True]


async def test_what_fails_is_told_of_and_done_again_the_next_time(broker: MemoryBroker) -> None:
    told, tries = list[Event](), list[int]()
    broker.events.subscribe(told.append)

    @broker.schedule(every=60)
    async def tick() -> None:
        tries.append(1)
        raise ValueError("no")

    await run(180, broker)

    failures = [each for each in told if isinstance(each, ScheduleFailed)]
    assert len(tries) == len(failures) == 3
    assert str(failures[0].error) == "no"
    assert failures[0].path.startswith("memory/services/schedule(")


async def test_while_the_store_is_away_nothing_is_done_and_when_it_is_back_what_is_due_is(
    broker: MemoryBroker,
) -> None:
    done: list[datetime] = []

    class Away(MemoryStore):
        async def claim(self, key: str, owner: str, lease: float, /) -> Claim:
            if current_time() < back:
                raise ConnectionError
            return await super().claim(key, owner, lease)

    @broker.schedule(every=3600, store=Away())
    async def tick(due: datetime = Context("due")) -> None:
        done.append(due)

    now = datetime.now(UTC)
    first = Every(3600).after(now)
    until = (first - now).total_seconds()
    back = current_time() + until + 60
    await run(until + 90, broker)

    assert done == [first]


@pytest.mark.parametrize(("missed", "count"), [(0, 0), (86_400, 1)])
async def test_what_was_missed_is_made_up_for_once_if_that_is_asked_for(
    missed: float, count: int
) -> None:
    store, done = MemoryStore(), list[datetime]()
    for _ in range(2):  # the second finds it done
        broker = MemoryBroker()

        @broker.schedule(every=3600, missed=missed, store=store, name="hourly")
        async def tick(due: datetime = Context("due")) -> None:
            done.append(due)

        await run(0.01, broker)

    assert len(done) == count


async def test_a_long_one_is_not_done_twice_at_a_time_and_a_stop_waits_for_it(
    broker: MemoryBroker,
) -> None:
    running, most, ended = list[int](), list[int](), list[int]()

    @broker.schedule(every=60)
    async def tick() -> None:
        running.append(1)
        most.append(len(running))
        await sleep(150)
        running.pop()
        ended.append(1)

    await broker.start()
    await sleep(10 * 60)
    while not running:  # noqa: ASYNC110 - virtual time
        await sleep(1)
    count = len(ended)
    await sleep(140)
    await broker.stop()

    assert {*most} == {1}
    assert len(ended) == count + 1


def test_what_is_never_due_or_wants_a_message_is_refused(broker: MemoryBroker) -> None:
    any_: Any = broker

    async def tick() -> None: ...

    async def takes(body: str) -> None: ...

    for options, says in (
        ({}, "give one of them"),
        ({"cron": "* * * * *", "every": 1}, "give one of them"),
        ({"every": 0}, "every=0"),
        ({"every": 60, "timezone": "Europe/Paris"}, "in all time zones"),
        ({"cron": "never"}, "cron='never'"),
        ({"cron": "0 0 30 2 *"}, "0 0 30 2"),
        ({"cron": "* * * * *", "timezone": "Mars/Olympus"}, "Mars/Olympus"),
    ):
        with pytest.raises(DeclarationError, match=says):
            any_.schedule(**options)(tick)
    with pytest.raises(DeclarationError, match=r"'takes' \(test_schedule.py.*body"):
        broker.schedule(every=60)(takes)
    broker.schedule(every=60)(tick)
    with pytest.raises(DeclarationError, match="another name="):
        broker.schedule(every=30)(tick)
