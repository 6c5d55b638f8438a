"""`callboard.dead`: looking through dead letters, and sending them back; on memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from anyio import CancelScope, current_time, wait_all_tasks_blocked

from callboard import DeclarationError, MemoryBroker, NotRunning
from callboard.dead import DeadLetters, Only, Replayed
from callboard.memory import MemoryMessage

pytestmark = pytest.mark.anyio


class Shop:
    """A service whose handler fails until it is mended, for each number by a fault of its own."""

    def __init__(self) -> None:
        self.broker = MemoryBroker(dead_letter="{address}.dead")
        self.letters = DeadLetters(self.broker, "orders.dead")
        self.heard: list[MemoryMessage] = []
        self.is_mended = False
        self.broker.subscriber("orders", group="shop")(self.handle)

    async def handle(self, number: int, message: MemoryMessage) -> None:
        if self.is_mended:
            self.heard.append(message)
        elif number % 3 == 0:
            raise KeyError(number)
        else:
            raise ValueError(number)

    async def bury(self, count: int) -> None:
        """Start, and have as many letters."""
        await self.broker.start()
        for number in range(count):
            await self.broker.publish(number, "orders", key=b"k", headers={"tenant": "acme"})
        await wait_all_tasks_blocked()

    async def left(self, only: Only | None = None) -> list[int]:
        async with self.letters.open(only or Only()) as opened:
            return [int(each.message.body) async for each in opened]


@pytest.fixture
def shop() -> Shop:
    return Shop()


async def test_letters_that_nobody_reads_are_kept_and_looking_takes_none_away(shop: Shop) -> None:
    async with shop.broker:
        await shop.bury(3)

        assert await shop.left() == [0, 1, 2]
        assert await shop.left() == [0, 1, 2]


async def test_a_letter_says_what_happened(shop: Shop) -> None:
    async with shop.broker:
        await shop.bury(1)
        async with shop.letters.open() as opened:
            letter = await anext(opened)

    where = f"{__name__}:Shop.handle"
    assert (letter.origin, letter.address) == ("orders", "orders.dead")
    assert (letter.exception, letter.reason) == ("KeyError", "0")
    assert letter.fingerprint == f"KeyError@{where}"
    assert letter.subscriber == "Shop.handle(orders)"
    assert "raise KeyError(number)" in letter.stacktrace
    assert letter.failed_at is not None
    assert datetime.now(UTC) - letter.failed_at < timedelta(minutes=5)
    assert letter.headers == {"tenant": "acme"}
    assert letter.why["x-group"] == "shop"
    assert (letter.replays, len(letter.id)) == (0, 32)


async def test_letters_are_counted_by_their_fault(shop: Shop) -> None:
    async with shop.broker:
        await shop.bury(7)
        groups = await shop.letters.groups()

    assert [(each.fingerprint.partition("@")[0], each.count) for each in groups] == [
        ("ValueError", 4),
        ("KeyError", 3),
    ]
    assert {(each.address, each.origin) for each in groups} == {("orders.dead", "orders")}


@pytest.mark.parametrize(
    ("only", "meant"),
    [
        (Only(exception="KeyError"), [0, 3]),
        (Only(exception="Key"), []),
        (Only(fingerprint=f"ValueError@{__name__}:Shop.handle"), [1, 2]),
        (Only(origin="orders"), [0, 1, 2, 3]),
        (Only(origin="parcels"), []),
        (Only(since=datetime(2020, 1, 1, tzinfo=UTC)), [0, 1, 2, 3]),
        (Only(since=datetime(2100, 1, 1, tzinfo=UTC)), []),
        (Only(id="no such"), []),
    ],
)
async def test_only_those_are_meant_that_all_is_true_of(
    shop: Shop, only: Only, meant: list[int]
) -> None:
    async with shop.broker:
        await shop.bury(4)

        assert await shop.left(only) == meant


async def test_what_is_replayed_is_handled_as_it_was_and_is_no_letter_any_more(shop: Shop) -> None:
    async with shop.broker:
        await shop.bury(4)
        shop.is_mended = True
        done = await shop.letters.replay(Only(exception="KeyError"))
        await wait_all_tasks_blocked()

        assert done == Replayed(count=2)
        assert await shop.left() == [1, 2]
    assert [(each.body, each.key) for each in shop.heard] == [(b"0", b"k"), (b"3", b"k")]
    assert shop.heard[0].headers == {
        "tenant": "acme",
        "x-replays": "1",
        "x-replayed-from": "orders.dead",
    }


async def test_one_that_fails_again_is_replayed_only_so_often(shop: Shop) -> None:
    async with shop.broker:
        await shop.bury(1)
        counts: list[Replayed] = []
        for _ in range(3):
            counts.append(await shop.letters.replay(max_replays=2))
            await wait_all_tasks_blocked()

        assert counts == [Replayed(count=1), Replayed(count=1), Replayed(exhausted=1)]
        assert await shop.left() == [0]


async def test_a_replay_does_not_send_back_what_comes_back_meanwhile(shop: Shop) -> None:
    async with shop.broker:
        await shop.bury(300)
        done = await shop.letters.replay()
        await wait_all_tasks_blocked()

        assert done.count == 300
        assert await shop.left() == [*range(300)]


async def test_a_replay_that_is_cancelled_goes_on_another_time(shop: Shop) -> None:
    async with shop.broker:
        await shop.bury(10)
        shop.is_mended = True
        with CancelScope() as scope:

            def stop(done: Replayed) -> None:
                if done.count == 4:
                    scope.cancel()

            await shop.letters.replay(progress=stop)
        assert await shop.left() == [4, 5, 6, 7, 8, 9]
        await shop.letters.replay()
        await wait_all_tasks_blocked()

    assert [int(each.body) for each in shop.heard] == [*range(10)]


async def test_a_rate_is_kept_and_a_limit(shop: Shop) -> None:
    async with shop.broker:
        await shop.bury(10)
        began = current_time()
        done = await shop.letters.replay(rate=2, limit=5)

        assert done.count == 5
        assert current_time() - began == pytest.approx(2)


async def test_what_is_dropped_is_gone(shop: Shop) -> None:
    async with shop.broker:
        await shop.bury(4)

        assert await shop.letters.drop(Only(exception="KeyError"), limit=1) == 1
        assert await shop.left() == [1, 2, 3]


async def test_a_letter_may_be_sent_elsewhere(shop: Shop) -> None:
    elsewhere: list[bytes] = []

    @shop.broker.subscriber("parked")
    async def park(body: bytes) -> None:
        elsewhere.append(body)

    async with shop.broker:
        await shop.bury(1)
        await shop.letters.replay(to="parked")
        await wait_all_tasks_blocked()

    assert elsewhere == [b"0"]


async def test_what_says_nothing_of_where_it_came_from_stays() -> None:
    broker = MemoryBroker()

    @broker.subscriber("orders", group="g")
    async def handle(number: int) -> None:
        raise ValueError(number)

    async with broker:
        await broker.start()
        await broker.publish(1, "orders")
        await wait_all_tasks_blocked()
        letters = DeadLetters(broker, "orders")

        assert await letters.replay() == Replayed(homeless=1)
        [group] = await letters.groups()
        assert group.fingerprint == "unknown@orders"


def test_without_an_address_they_are_where_the_subscribers_say() -> None:
    broker = MemoryBroker(dead_letter="{address}.dead")

    @broker.subscriber("orders")
    @broker.subscriber("parcels", dead_letter="graves")
    @broker.subscriber("letters", dead_letter="graves")
    async def handle(number: int) -> None: ...

    assert {*DeadLetters(broker).addresses} == {"orders.dead", "graves"}
    with pytest.raises(DeclarationError, match="no subscriber of memory has a dead_letter="):
        DeadLetters(MemoryBroker())


async def test_a_broker_has_to_be_connected(shop: Shop) -> None:
    with pytest.raises(NotRunning):
        await shop.letters.groups()


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(DeclarationError, match="must have a time zone"):
        Only(since=datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused


async def test_a_replay_gives_back_headers_of_any_name_and_whom_to_answer(shop: Shop) -> None:
    given = {"x-host": "mine", "x-group": "ours", "x-attempts": "7"}
    async with shop.broker:
        await shop.broker.start()
        await shop.broker.publish(1, "orders", headers=given, reply_to="answers")
        await wait_all_tasks_blocked()
        async with shop.letters.open() as opened:
            [letter] = [each async for each in opened]
        shop.is_mended = True
        await shop.letters.replay()
        await wait_all_tasks_blocked()

    assert letter.headers == given
    [heard] = shop.heard
    assert {name: heard.headers[name] for name in given} == given
    assert heard.headers.keys() == {*given, "x-replays", "x-replayed-from"}
    assert heard.reply_to == "answers"


async def test_a_letter_that_fails_as_a_letter_keeps_what_was_its_message_s(shop: Shop) -> None:
    shop.broker.subscriber("orders.dead", group="look", dead_letter="parked")(shop.handle)
    async with shop.broker:
        await shop.broker.start()
        await shop.broker.publish(1, "orders", headers={"x-host": "mine"})
        await wait_all_tasks_blocked()
        async with DeadLetters(shop.broker, "parked").open() as opened:
            [letter] = [each async for each in opened]

    assert letter.headers == {"x-host": "mine"}
    assert letter.origin == "orders.dead"


async def test_a_rate_of_nothing_is_refused(shop: Shop) -> None:
    async with shop.broker:
        with pytest.raises(DeclarationError, match="rate=0 of a replay"):
            await shop.letters.replay(rate=0)
