"""A message that has failed is handled again as a Retry says, in its turn, and then given up."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from anyio import current_time, sleep
from pydantic import TypeAdapter, ValidationError

from callboard import (
    AckPolicy,
    Backoff,
    DeclarationError,
    HandlerTimedOut,
    MemoryBroker,
    Message,
    RejectMessage,
    Retry,
    Subscriber,
    TestBroker,
)
from callboard.command._top import screen
from callboard.events import (
    Event,
    HandlerFailed,
    MessageHalted,
    MessageRetried,
    RetriesPlanned,
)
from callboard.watch._view import View

from ..screens import drawn

pytestmark = pytest.mark.anyio
EVENLY = Backoff(2.0, 2.0, jitter="none", first=2.0)


class Work:
    """A handler that fails as often as it is told, and what it has seen."""

    def __init__(self, failures: int, error: type[Exception] = ConnectionError) -> None:
        self.failures = failures
        self.error = error
        self.tries: list[tuple[float, int]] = []

    async def __call__(self, body: str, message: Message) -> str:
        self.tries.append((current_time(), message.attempt))
        if len(self.tries) <= self.failures:
            raise self.error(body)
        return body

    @property
    def waits(self) -> list[float]:
        times = [at for at, _ in self.tries]
        return [after - before for before, after in pairwise(times)]


def subscribe(broker: MemoryBroker, work: Any, retry: Retry, **options: Any) -> Subscriber:
    subscriber = broker.subscriber("jobs", retry=retry, **options)

    @subscriber
    async def handle(body: str, message: Message) -> str:
        result: str = await work(body, message)
        return result

    return subscriber


def bodies(broker: MemoryBroker, address: str | None = None) -> Sequence[bytes]:
    return [letter.message.body for letter in broker.dead_letters(address)]


async def test_it_is_handled_again_after_each_wait_until_it_succeeds() -> None:
    broker, work = MemoryBroker(), Work(2)
    subscribe(broker, work, Retry(attempts=5, backoff=Backoff(4.0, 9.0, jitter="none", first=1.0)))

    async with TestBroker(broker):
        await broker.publish("a", "jobs")

        assert work.waits == [1.0, 4.0]
        assert [attempt for _, attempt in work.tries] == [1, 2, 3]
        assert not bodies(broker)


async def test_when_its_tries_are_used_up_it_goes_to_the_dead_letters_and_is_told() -> None:
    broker, work = MemoryBroker(), Work(99)
    subscribe(broker, work, Retry(attempts=3, backoff=EVENLY))
    heard: list[Event] = []
    broker.events.subscribe(heard.append)

    async with TestBroker(broker):
        with pytest.raises(ConnectionError):
            await broker.publish("a", "jobs")

        assert (work.waits, bodies(broker)) == ([2.0, 2.0], [b"a"])

    told = [e for e in heard if isinstance(e, HandlerFailed | MessageRetried | RetriesPlanned)]
    assert [type(e) for e in told] == [
        RetriesPlanned,
        MessageRetried,
        MessageRetried,
        HandlerFailed,
    ]
    assert [e.attempt for e in told if isinstance(e, MessageRetried)] == [1, 2]


@pytest.mark.parametrize("workers", [1, 3])
async def test_its_key_waits_for_it_and_other_keys_go_on(workers: int) -> None:
    broker, seen = MemoryBroker(), list[str]()

    async def work(body: str, message: Message) -> str:
        seen.append(body)
        if body == "a1" and message.attempt < 3:
            raise ConnectionError
        return body

    subscribe(broker, work, Retry(backoff=EVENLY), max_workers=workers)
    async with broker:
        await broker.start()
        for body in ("a1", "a2", "b1", "a3", "b2"):
            await broker.publish(body, "jobs", key=body[0])
        await sleep(10)

    assert [body for body in seen if body[0] == "a"] == ["a1", "a1", "a1", "a2", "a3"]
    assert seen.index("b2") < seen.index("a2")


@pytest.mark.parametrize(
    ("retry", "error"),
    [
        (Retry(on=ConnectionError), KeyError),
        (Retry(never=[ConnectionError]), ConnectionError),
        (Retry(), RejectMessage),
    ],
)
async def test_an_error_that_it_is_not_for_is_final(retry: Retry, error: type[Exception]) -> None:
    broker, work = MemoryBroker(), Work(99, error)
    subscribe(broker, work, retry)

    async with TestBroker(broker):
        if error is RejectMessage:
            await broker.publish("a", "jobs")
        else:
            with pytest.raises(error):
                await broker.publish("a", "jobs")

        assert (len(work.tries), bodies(broker)) == (1, [b"a"])


async def test_what_is_not_valid_is_never_tried_again() -> None:
    broker = MemoryBroker()

    @broker.subscriber("numbers", retry=Retry())
    async def handle(number: int) -> None: ...

    async with TestBroker(broker):
        with pytest.raises(ValidationError):
            await broker.publish("no number", "numbers")

        assert bodies(broker) == [b"no number"]


async def test_a_validation_of_the_handlers_own_that_fails_is_tried_again() -> None:
    broker = MemoryBroker()
    tries: list[int] = []

    @broker.subscriber("numbers", retry=Retry(attempts=2))
    async def handle(number: int) -> None:
        tries.append(number)
        TypeAdapter(int).validate_python("what another service has sent")

    async with TestBroker(broker):
        with pytest.raises(ValidationError):
            await broker.publish(1, "numbers")

    assert tries == [1, 1]


@pytest.mark.parametrize(
    ("policy", "given", "tries", "letters"),
    [
        (AckPolicy.REJECT_ON_ERROR, None, 2, [b"a"]),
        (AckPolicy.ACK, None, 2, []),
        (AckPolicy.ACK, "dead_letter", 2, [b"a"]),
        (AckPolicy.REJECT_ON_ERROR, "drop", 2, []),
        (AckPolicy.REJECT_ON_ERROR, "requeue", 5, []),
    ],
)
async def test_what_follows_in_the_end_says_the_policy_or_the_retry(
    policy: AckPolicy, given: Any, tries: int, letters: list[bytes]
) -> None:
    broker, work = MemoryBroker(), Work(4 if given == "requeue" else 99)
    retry = Retry(attempts=2, backoff=EVENLY, on_exhausted=given)
    subscribe(broker, work, retry, ack_policy=policy)

    async with TestBroker(broker):
        if given == "requeue":
            await broker.publish("a", "jobs")
        else:
            with pytest.raises(ConnectionError):
                await broker.publish("a", "jobs")

        assert (len(work.tries), bodies(broker)) == (tries, letters)


@pytest.mark.parametrize("ordered_by", ["key", "none"])
@pytest.mark.parametrize("workers", [1, 3])
async def test_one_that_halts_stays_with_its_key_behind_it_until_a_new_start(
    workers: int, ordered_by: Any
) -> None:
    broker, seen, told = MemoryBroker(), list[str](), list[MessageHalted]()

    async def work(body: str, message: Message) -> str:
        seen.append(body)
        if body == "a1":
            raise ConnectionError
        return body

    retry = Retry(attempts=2, backoff=EVENLY, on_exhausted="halt")
    options = {"max_workers": workers, "ordered_by": ordered_by, "group": "workers"}
    subscriber = subscribe(broker, work, retry, **options)
    broker.events.subscribe(lambda e: told.append(e) if isinstance(e, MessageHalted) else None)
    async with broker:
        await broker.start()
        for body in ("a1", "a2", "b1"):
            await broker.publish(body, "jobs", key=body[0])
        await sleep(10_000)
        view = View(tree=broker.tree(), now=current_time())
        before, seen[:] = sorted(seen), []
        await subscriber.stop()
        await subscriber.start()
        await sleep(10)

    passes = ["a2"] if ordered_by == "none" else []
    assert before == ["a1", "a1", *passes, "b1"]
    assert {*seen} == {"a1"}
    assert (len(told), bodies(broker)) == (2, [])
    assert "1  " in drawn(screen(view)).partition("halted")[2]


async def test_a_delayed_one_is_passed_by_its_key_and_has_its_tries_again() -> None:
    broker, seen = MemoryBroker(), list[tuple[float, str, int]]()

    async def work(body: str, message: Message) -> str:
        seen.append((current_time() - began, body, message.attempt))
        if body == "a1":
            raise ConnectionError
        return body

    retry = Retry(attempts=2, backoff=EVENLY, delayed=[60, 600], relaxed=True)
    subscribe(broker, work, retry)
    async with TestBroker(broker):
        began = current_time()
        await broker.publish("a1", "jobs", key="a")
        await broker.publish("a2", "jobs", key="a")
        await sleep(700)

        assert [body for _, body, _ in seen] == ["a1", "a1", "a2", "a1", "a1", "a1", "a1"]
        assert [attempt for _, body, attempt in seen if body == "a1"] == [1, 2, 3, 4, 5, 6]
        assert [at for at, body, _ in seen if body == "a1"] == [0, 2, 62, 64, 664, 666]
        assert bodies(broker) == [b"a1"]


async def test_a_handler_that_takes_too_long_is_cancelled_and_fails() -> None:
    broker, work = MemoryBroker(), Work(0)

    async def slow(body: str, message: Message) -> str:
        await work(body, message)
        if message.attempt == 1:
            await sleep(100)
        return body

    subscribe(broker, slow, Retry(timeout=5, backoff=EVENLY))
    async with TestBroker(broker):
        await broker.publish("a", "jobs")

    assert work.waits == [7.0]


async def test_a_handler_that_is_always_too_slow_says_so() -> None:
    broker = MemoryBroker()

    async def slow(body: str, message: Message) -> str:
        await sleep(100)
        return body

    subscribe(broker, slow, Retry(attempts=1, timeout=5))
    async with TestBroker(broker):
        with pytest.raises(HandlerTimedOut, match="longer than 5 s"):
            await broker.publish("a", "jobs")


async def test_each_message_of_a_batch_has_its_own_tries() -> None:
    broker, seen = MemoryBroker(), list[list[str]]()

    @broker.subscriber("jobs", batch=True, retry=Retry(attempts=3, backoff=EVENLY))
    async def handle(texts: list[str]) -> None:
        seen.append(texts)
        if "bad" in texts:
            raise ConnectionError

    async with TestBroker(broker):
        with pytest.raises(ConnectionError):
            await broker.publish("bad", "jobs")
        await broker.publish("good", "jobs")

        assert (seen, bodies(broker)) == ([["bad"]] * 3 + [["good"]], [b"bad"])


async def test_it_is_inherited_from_the_broker() -> None:
    broker, work = MemoryBroker(retry=Retry(attempts=2, backoff=EVENLY)), Work(1)

    @broker.subscriber("jobs")
    async def handle(body: str, message: Message) -> str:
        return await work(body, message)

    @broker.subscriber("others", retry=None)
    async def fail(body: str) -> None:
        raise KeyError(body)

    async with TestBroker(broker):
        await broker.publish("a", "jobs")
        with pytest.raises(KeyError):
            await broker.publish("b", "others")

        assert (len(work.tries), bodies(broker)) == (2, [b"b"])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"attempts": 0}, "attempts"),
        ({"attempts": 1.5}, "attempts"),
        ({"delayed": [0]}, "delayed"),
        ({"timeout": 0}, "timeout"),
        ({"on_exhausted": "bury"}, "'dead_letter', 'requeue', 'halt', 'drop' or None"),
        ({"on": [BaseException]}, "on="),
        ({"never": "KeyError"}, "never="),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_is_written(
    options: dict[str, Any], match: str
) -> None:
    with pytest.raises(DeclarationError, match=match):
        Retry(**options)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"retry": Retry(), "ack_policy": AckPolicy.ACK_FIRST}, "ACK_FIRST"),
        ({"retry": Retry(), "ack_policy": AckPolicy.MANUAL}, "MANUAL"),
        ({"retry": Retry(delayed=[5])}, "relaxed=True"),
    ],
)
async def test_what_cannot_work_together_is_refused_at_the_start(
    options: dict[str, Any], match: str
) -> None:
    broker = MemoryBroker()

    @broker.subscriber("jobs", **options)
    async def handle(body: str) -> None: ...

    with pytest.raises(DeclarationError, match=match):
        async with TestBroker(broker):
            pass


def test_a_number_is_no_retry() -> None:
    with pytest.raises(DeclarationError, match=r"retry=3 of a subscriber must be a Retry"):
        MemoryBroker().subscriber("jobs", retry=3)  # type: ignore[arg-type] # on purpose
