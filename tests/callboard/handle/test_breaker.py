"""A subscriber with a breaker takes nothing while what it needs is away, and loses nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from anyio import create_task_group, current_time, sleep

from callboard import (
    AckPolicy,
    Backoff,
    BatchError,
    Breaker,
    DeclarationError,
    DependencyDown,
    MemoryBroker,
    Message,
    RejectMessage,
    Retry,
    Subscriber,
)
from callboard.command._top import screen
from callboard.events import BreakerClosed, BreakerHalfOpened, BreakerOpened, Event, MessageHeld
from callboard.watch._view import View, unready

from ..screens import drawn

pytestmark = pytest.mark.anyio
BREAKER = Breaker(calls=4, pause=10, probes=2, on=ConnectionError)


class Dependency:
    """Something that handlers need, and what they have done with it."""

    def __init__(self) -> None:
        self.is_away = False
        self.calls: list[float] = []
        self.done: list[str] = []
        self.attempts: list[int] = []

    async def use(self, body: str, message: Message) -> None:
        self.calls.append(current_time())
        self.attempts.append(message.attempt)
        if body == "poison" or self.is_away:
            raise ConnectionError(body)
        self.done.append(body)


@pytest.fixture
def dependency() -> Dependency:
    return Dependency()


@pytest.fixture
def told(broker: MemoryBroker) -> list[Event]:
    told: list[Event] = []
    broker.events.subscribe(told.append)
    return told


def subscribe(broker: MemoryBroker, dependency: Dependency, **options: Any) -> Subscriber:
    given: dict[str, Any] = {"breaker": BREAKER, "group": "workers", "dead_letter": "dead"}
    subscriber = broker.subscriber("jobs", **{**given, **options})

    @subscriber
    async def handle(body: str, message: Message) -> None:
        await dependency.use(body, message)

    return subscriber


async def publish(broker: MemoryBroker, *bodies: str) -> None:
    for body in bodies:
        await broker.publish(body, "jobs")


def letters(broker: MemoryBroker) -> Sequence[bytes]:
    return [letter.message.body for letter in broker.dead_letters("dead")]


def of(kind: type[Event], told: list[Event]) -> int:
    return sum(isinstance(each, kind) for each in told)


@pytest.mark.parametrize("workers", [1, 4])
async def test_while_a_dependency_is_away_nothing_is_given_up(
    broker: MemoryBroker, dependency: Dependency, told: list[Event], workers: int
) -> None:
    subscribe(broker, dependency, max_workers=workers)
    names = [f"{n}" for n in range(20)]
    async with broker:
        await broker.start()
        dependency.is_away = True
        await publish(broker, *names)
        await sleep(60)
        dependency.is_away = False
        await sleep(30)

    assert sorted(dependency.done, key=int) == names
    assert not letters(broker)
    assert of(BreakerOpened, told) == of(BreakerHalfOpened, told)
    assert of(BreakerClosed, told) == 1


async def test_while_it_is_open_only_probes_are_tried(
    broker: MemoryBroker, dependency: Dependency
) -> None:
    subscribe(broker, dependency, max_workers=4)
    async with broker:
        await broker.start()
        start, dependency.is_away = current_time(), True
        await publish(broker, *"abcdefgh")
        await sleep(45)

    tries = Counter(round(at - start) for at in dependency.calls)
    assert tries == {0: 4, 10: 1, 20: 1, 30: 1, 40: 1}


async def test_while_it_is_open_the_intake_stands_still(
    broker: MemoryBroker, dependency: Dependency
) -> None:
    subscribe(broker, dependency)
    dependency.is_away = True
    async with broker:
        await broker.start()
        await publish(broker, *"abcd")
        await sleep(5)
        await publish(broker, "e")  # this was asked for before
        await sleep(1)
        await publish(broker, *"fghij")
        await sleep(1)

        assert broker.unread("jobs") == 5


async def test_what_has_failed_by_it_has_used_none_of_its_tries(
    broker: MemoryBroker, dependency: Dependency
) -> None:
    retry = Retry(attempts=2, backoff=Backoff(1, 1, jitter="none", first=1))
    subscribe(broker, dependency, breaker=Breaker(calls=1, pause=10), retry=retry)
    async with broker:
        await broker.start()
        dependency.is_away = True
        await publish(broker, "a")
        await sleep(60)
        dependency.is_away = False
        await sleep(20)

    assert set(dependency.attempts) == {1}
    assert dependency.done == ["a"]


async def test_a_handler_that_knows_opens_it_at_once(
    broker: MemoryBroker, told: list[Event]
) -> None:
    @broker.subscriber("jobs", breaker=Breaker(pause=10), group="workers")
    async def handle(body: str, message: Message) -> None:
        if current_time() - start < 5:
            raise DependencyDown("the ledger is closed")

    async with broker:
        start = current_time()
        await broker.start()
        await publish(broker, "a")
        await sleep(20)

    opened = next(each for each in told if isinstance(each, BreakerOpened))
    assert "the ledger is closed" in opened.error
    assert broker.unread("jobs") == 0


async def test_a_message_that_fails_alone_is_given_up_when_another_has_succeeded(
    broker: MemoryBroker, dependency: Dependency, told: list[Event]
) -> None:
    subscribe(broker, dependency, breaker=Breaker(on=ConnectionError))
    async with broker:
        await broker.start()
        await publish(broker, "poison")
        await sleep(0.5)
        assert not letters(broker)
        await publish(broker, "good")
        await sleep(5)

    assert letters(broker) == [b"poison"]
    assert of(MessageHeld, told) == 1
    assert of(BreakerOpened, told) == 0


@pytest.mark.parametrize("error", [ValueError("unknown"), RejectMessage()])
async def test_what_it_is_not_about_is_given_up_as_ever(
    broker: MemoryBroker, error: Exception
) -> None:
    @broker.subscriber("jobs", breaker=BREAKER, dead_letter="dead")
    async def handle(body: str) -> None:
        raise error

    async with broker:
        await broker.start()
        await publish(broker, *"abcdefgh")
        await sleep(1)

    assert len(letters(broker)) == 8


async def test_a_probe_that_is_decided_otherwise_makes_room_for_another(
    broker: MemoryBroker, dependency: Dependency
) -> None:
    rejected: list[str] = []

    @broker.subscriber("jobs", breaker=BREAKER, group="workers", dead_letter="dead")
    async def handle(body: str, message: Message) -> None:
        if not dependency.is_away and body < "e":
            rejected.append(body)
            raise RejectMessage
        await dependency.use(body, message)

    async with broker:
        await broker.start()
        dependency.is_away = True
        await publish(broker, *"abcdefgh")
        await sleep(5)
        dependency.is_away = False
        await sleep(20)

    assert sorted(rejected) == ["a", "b", "c", "d"]
    assert dependency.done == ["e", "f", "g", "h"]


async def test_a_stop_gives_back_what_waits(broker: MemoryBroker, dependency: Dependency) -> None:
    subscriber = subscribe(broker, dependency, max_workers=2, breaker=Breaker(calls=4, pause=600))
    dependency.is_away = True
    async with broker:
        await broker.start()
        await publish(broker, *"abcdefgh")
        await sleep(5)
        before = current_time()
        await subscriber.stop()

        assert current_time() - before < 1
        assert broker.unread("jobs") == 8
        assert not letters(broker)


async def test_batches_wait_whole_and_their_parts_too(
    broker: MemoryBroker, dependency: Dependency
) -> None:
    @broker.subscriber("jobs", breaker=BREAKER, batch=True, max_records=2, dead_letter="dead")
    async def handle(bodies: list[str]) -> None:
        if dependency.is_away:
            if "e" in bodies:
                raise BatchError({0: ConnectionError(), 1: ConnectionError()})
            raise ConnectionError
        dependency.done.extend(bodies)

    async with broker:
        await broker.start()
        dependency.is_away = True
        await publish(broker, *"efghijkl")
        await sleep(35)
        dependency.is_away = False
        await sleep(35)

    assert sorted(dependency.done) == [*"efghijkl"]
    assert not letters(broker)


async def test_top_and_readiness_say_that_it_is_open(
    broker: MemoryBroker, dependency: Dependency
) -> None:
    subscribe(broker, dependency)
    dependency.is_away = True
    async with broker:
        await broker.start()
        await publish(broker, *"abcd")
        await sleep(5)
        view = View(tree=broker.tree(), now=current_time())

    assert "open" in drawn(screen(view)).partition("breaker")[2]
    assert any("its breaker is open" in reason for reason in unready(view))


async def test_a_breaker_that_trips_in_full_flight_loses_nothing(
    broker: MemoryBroker, told: list[Event]
) -> None:
    seen: defaultdict[bytes | None, list[int]] = defaultdict(list)
    failed: set[int] = set()
    breaker = Breaker(pause=0.2, probes=3, on=ConnectionError)

    @broker.subscriber(
        "jobs", breaker=breaker, max_workers=8, mailbox=64, group="workers", dead_letter="dead"
    )
    async def handle(number: int, message: Message) -> None:
        await sleep(0.001 * (number % 7))
        if number % 12 == 0 and number not in failed:
            failed.add(number)
            raise DependencyDown("it comes and goes")
        seen[message.key].append(number)

    async with broker:
        await broker.start()
        async with create_task_group() as tasks:
            for number in range(1200):
                key = b"%d" % (number % 30)
                tasks.start_soon(partial(broker.publish, number, "jobs", key=key))
                await sleep(0.001)
        await sleep(600)

    assert sorted(n for numbers in seen.values() for n in numbers) == [*range(1200)]
    assert all(numbers == sorted(numbers) for numbers in seen.values())
    assert len(failed) == 100
    assert of(BreakerOpened, told) >= 50
    assert not letters(broker)


@pytest.mark.parametrize(
    "options", [{"ratio": 0}, {"calls": 0}, {"probes": 1.5}, {"pause": 0}, {"on": "KeyError"}]
)
def test_what_makes_no_sense_is_refused_where_it_is_written(options: Any) -> None:
    with pytest.raises(DeclarationError, match="of a Breaker"):
        Breaker(**options)


def test_a_number_is_no_breaker(broker: MemoryBroker) -> None:
    with pytest.raises(DeclarationError, match=r"breaker=3 of a subscriber must be a Breaker"):
        broker.subscriber("jobs", breaker=3)  # type: ignore[arg-type] # on purpose


@pytest.mark.parametrize("policy", [AckPolicy.MANUAL, AckPolicy.ACK_FIRST])
async def test_a_policy_that_leaves_nothing_to_keep_is_refused(
    broker: MemoryBroker, dependency: Dependency, policy: AckPolicy
) -> None:
    subscribe(broker, dependency, ack_policy=policy)

    with pytest.raises(DeclarationError, match=r"breaker= with ack_policy"):
        async with broker:
            await broker.start()
