"""Handlers of several messages at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import repeat
from typing import Annotated, Any

import anyio
import pytest
from anyio import wait_all_tasks_blocked as idle
from hypothesis import given
from hypothesis import strategies as st

from callboard import (
    AckPolicy,
    ActorCrash,
    BatchError,
    DeclarationError,
    Depends,
    MemoryBroker,
    Message,
    NackMessage,
    TestBroker,
)
from callboard.handle._batch import Batcher
from callboard.kafka import KafkaBroker, TestKafkaBroker
from callboard.specification import AsyncAPI
from callboard_brokers import BatchMessage, Capacity, Delivery, Settlement

from ..faulty import FaultyBroker

pytestmark = pytest.mark.anyio


class Ledger:
    def settle(
        self, delivery: Delivery, settlement: Settlement, delay: float | None, /
    ) -> None: ...
    def settled_twice(self, delivery: Delivery, /) -> None: ...


def deliveries(keys: list[int]) -> list[Delivery]:
    ledger = Ledger()
    return [
        Delivery(Message(b"12", address=str(key)), ledger, token=n) for n, key in enumerate(keys)
    ]


@given(st.lists(st.lists(st.integers(0, 2), max_size=8), max_size=6), st.integers(1, 5))
def test_batches_hold_everything_once_in_order_and_no_more_than_their_size(
    bulks: list[list[int]], size: int
) -> None:
    batcher = Batcher(size, 0, lambda delivery: delivery.message.address)
    given_: list[Delivery] = []
    for bulk in map(deliveries, bulks):
        given_ += bulk
        batcher.add(bulk)
        assert 0 < batcher.missing <= size
        assert batcher.bytes == 2 * len(given_)
    assert all(len(batch.parts) == size for batch in batcher.ready)
    made = batcher.drain()

    for key in "012":
        mine = [d for batch in made for d in batch.parts if d.message.address == key]
        assert mine == [each for each in given_ if each.message.address == key]
    assert all(len({d.message.address for d in batch.parts}) == 1 for batch in made)
    assert sum(len(batch.parts) for batch in made) == len(given_)
    assert batcher.drain() == []
    assert batcher.bytes == 0


async def publish_all(broker: MemoryBroker, *bodies: Any, keys: bool = False) -> None:
    """Publish before anybody reads, so that it is known which messages make a batch."""
    async with broker:
        async with broker.slot.connection.subscribe(broker.subscribers[-1].source, Capacity(1)):
            pass  # now the group exists, and keeps what comes
        for body, key in bodies if keys else zip(bodies, repeat(None), strict=False):
            await broker.publish(body, "orders", key=key)
        await broker.start()
        await anyio.sleep(60)


async def test_a_handler_gets_what_is_there_as_a_list(broker: MemoryBroker) -> None:
    batches: list[list[int]] = []

    @broker.subscriber("orders", group="g", batch=True, max_records=2)
    async def handle(numbers: list[int]) -> None:
        batches.append(numbers)

    await publish_all(broker, 1, 2, 3)

    assert batches == [[1, 2], [3]]
    assert broker.unread("orders") == 0


async def test_a_batch_that_has_begun_waits_to_be_filled(broker: MemoryBroker) -> None:
    batches: list[tuple[float, list[int]]] = []

    @broker.subscriber("orders", batch=True, max_records=3, batch_timeout=0.5)
    async def handle(numbers: list[int]) -> None:
        batches.append((anyio.current_time() - begin, numbers))

    async with broker:
        await broker.start()
        begin = anyio.current_time()
        for number in range(4):
            await broker.publish(number, "orders")
            await anyio.sleep(0.1)
        await anyio.sleep(1)

    times, numbers = zip(*batches, strict=True)
    assert numbers == ([0, 1, 2], [3])
    assert times == pytest.approx((0.2, 0.8))


async def test_a_message_that_is_not_valid_is_rejected_and_the_others_are_handled(
    broker: MemoryBroker,
) -> None:
    handled: list[int] = []

    @broker.subscriber("orders", group="g", batch=True)
    async def handle(numbers: list[int]) -> None:
        handled.extend(numbers)

    await publish_all(broker, 1, 2, "three", 4, 5)

    assert handled == [1, 2, 4, 5]
    assert [letter.message.body for letter in broker.dead_letters()] == [b"three"]


@pytest.mark.parametrize("policy", AckPolicy)
async def test_a_call_that_fails_is_not_repeated_and_all_its_messages_fail(
    broker: MemoryBroker, policy: AckPolicy, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []

    @broker.subscriber("orders", group="g", batch=True, ack_policy=policy)
    async def handle(numbers: list[int]) -> None:
        calls.append(len(numbers))
        if len(calls) == 1:
            raise ConnectionError("the database is away")

    await publish_all(broker, *range(64))

    assert calls == ([64, 64] if policy is AckPolicy.NACK_ON_ERROR else [64])
    assert len(broker.dead_letters()) == (64 if policy is AckPolicy.REJECT_ON_ERROR else 0)
    (line,) = [line for line in caplog.messages if "the database is away" in line]
    assert line.startswith("handle(orders) failed on 64 messages of 'orders', the first ")


async def test_messages_that_are_not_valid_are_found_before_the_call_which_fails_without_them(
    broker: MemoryBroker,
) -> None:
    calls: list[list[int]] = []

    @broker.subscriber("orders", group="g", batch=True, ack_policy=AckPolicy.NACK_ON_ERROR)
    async def handle(numbers: list[int]) -> None:
        calls.append(numbers)
        if len(calls) == 1:
            raise ConnectionError("the database is away")

    await publish_all(broker, "a", 1, "b", 2)

    assert calls == [[1, 2], [1, 2]]
    letters = broker.dead_letters()
    assert [letter.message.body for letter in letters] == [b"a", b"b"]


async def test_a_batch_of_which_nothing_is_valid_calls_nobody(broker: MemoryBroker) -> None:
    calls: list[list[int]] = []
    began: list[int] = []

    @broker.subscriber("orders", group="g", batch=True)
    async def handle(
        numbers: list[int], now: Annotated[None, Depends(lambda: began.append(1))]
    ) -> None:
        calls.append(numbers)

    await publish_all(broker, "a", "b")

    assert (calls, began) == ([], [])
    assert len(broker.dead_letters()) == 2


async def test_a_failure_is_tried_in_halves_until_it_is_known_which_message_fails(
    broker: MemoryBroker,
) -> None:
    tried: list[list[int]] = []

    @broker.subscriber("orders", group="g", batch=True, on_batch_error="split")
    async def handle(numbers: list[int]) -> None:
        tried.append(numbers)
        if 3 in numbers:
            raise ValueError("no threes")

    await publish_all(broker, 1, 2, 3, 4)

    assert tried == [[1, 2, 3, 4], [1, 2], [3, 4], [3], [4]]
    assert [letter.message.body for letter in broker.dead_letters()] == [b"3"]


async def test_a_handler_may_say_which_have_failed(broker: MemoryBroker) -> None:
    calls: list[list[int]] = []

    @broker.subscriber("orders", group="g", batch=True)
    async def handle(numbers: list[int]) -> None:
        calls.append(numbers)
        raise BatchError({1: ValueError("no")})

    await publish_all(broker, 1, 2, 3)

    assert calls == [[1, 2, 3]]
    assert [letter.message.body for letter in broker.dead_letters()] == [b"2"]


@pytest.mark.parametrize(
    "failures",
    [
        {3: ValueError()},
        {-1: ValueError()},
        {"1": ValueError()},
        {},
        {0: ValueError(), 9: ValueError()},
    ],
)
@pytest.mark.parametrize("actor", [False, True])
async def test_a_batch_error_about_no_message_of_the_batch_fails_all_of_it(
    broker: MemoryBroker,
    failures: dict[int, Exception],
    actor: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    subscriber = broker.subscriber("orders", group="g", batch=True)

    async def handle(numbers: list[int]) -> None:
        raise BatchError(failures)

    class Handler:
        async def receive(self, numbers: list[int]) -> None:
            raise BatchError(failures)

    if actor:
        subscriber(Handler)
    else:
        subscriber(handle)
    await publish_all(broker, 1, 2, 3)

    assert len(broker.dead_letters()) == 3
    assert (
        "of a batch of 3, whose places are numbered from 0; so all of it has failed" in caplog.text
    )


BOOM, CANCELLED = ValueError("boom"), asyncio.CancelledError()


@pytest.mark.parametrize(
    ("result", "dead"),
    [
        ([BOOM, 2], [b"1"]),
        ((1, BOOM), [b"2"]),
        (deque([1, BOOM]), [b"2"]),
        ([1, CANCELLED], [b"2"]),
        (BOOM, [b"1", b"2"]),
        (CANCELLED, [b"1", b"2"]),
        ([BOOM], [b"1", b"2"]),
        ([1, 2, BOOM], [b"1", b"2"]),
        ({1: BOOM, 2: 2}, [b"1", b"2"]),
        ({BOOM, 2}, [b"1", b"2"]),
        ("ab", []),
        ([1], []),
        (None, []),
    ],
    ids=repr,
)
async def test_exceptions_among_results_are_failures_however_they_are_given(
    broker: MemoryBroker, result: object, dead: list[bytes]
) -> None:
    calls: list[list[int]] = []

    @broker.subscriber("orders", group="g", batch=True)
    async def handle(numbers: list[int]) -> object:
        calls.append(numbers)
        return result

    await publish_all(broker, 1, 2)

    assert calls == [[1, 2]]
    assert [letter.message.body for letter in broker.dead_letters()] == dead
    assert broker.unread("orders") == 0


async def test_an_exception_in_the_place_of_a_result_is_a_failure_of_that_message(
    broker: MemoryBroker,
) -> None:
    results: list[list[int]] = []

    @broker.subscriber("out")
    async def hear(numbers: list[int]) -> None:
        results.append(numbers)

    @broker.publisher("out")
    @broker.subscriber("orders", group="g", batch=True)
    async def handle(numbers: list[int]) -> list[int | Exception]:
        return [ValueError("no") if number == 2 else 10 * number for number in numbers]

    await publish_all(broker, 1, 2, 3)

    assert results == [[10, 30]]
    assert [letter.message.body for letter in broker.dead_letters()] == [b"2"]


async def test_what_is_asked_for_holds_for_the_whole_batch(broker: MemoryBroker) -> None:
    calls: list[list[int]] = []

    @broker.subscriber("orders", group="g", batch=True)
    async def handle(numbers: list[int]) -> None:
        calls.append(numbers)
        if len(calls) == 1:
            raise NackMessage(delay=5)

    await publish_all(broker, 1, 2)

    assert calls == [[1, 2], [1, 2]]
    assert broker.dead_letters() == []


async def test_messages_of_a_batch_that_are_nacked_keep_the_place_of_their_keys(
    broker: MemoryBroker,
) -> None:
    batches: list[list[int]] = []

    @broker.subscriber("orders", group="g", batch=True, max_records=3)
    async def handle(numbers: list[int], batch: BatchMessage) -> None:
        batches.append(numbers)
        if len(batches) == 1:
            await batch.parts[0].nack(delay=1)
            await batch.parts[1].nack(delay=2)  # has no key, hence no place
            await batch.parts[2].nack(delay=3)

    await publish_all(broker, (0, "a"), (1, None), (2, "b"), (3, "a"), (4, "b"), keys=True)

    assert batches == [[0, 1, 2], [0, 2], [3, 4], [1]]


@pytest.mark.parametrize("max_workers", [1, 2])
async def test_only_the_partition_of_a_nacked_batch_waits_where_batches_are_made_by_partition(
    max_workers: int,
) -> None:
    broker, handled = KafkaBroker(), list[int]()

    @broker.subscriber(
        "a", "b", batch=True, max_records=2, max_workers=max_workers, ordered_by="partition"
    )
    async def handle(numbers: list[int]) -> None:
        handled.extend(numbers)
        if handled == [0]:
            raise NackMessage(delay=1)

    async with TestKafkaBroker(broker), anyio.create_task_group() as tasks:
        for number, topic in enumerate("aaba"):
            tasks.start_soon(broker.publish, number, topic)
            await idle()

    assert handled == [0, 2, 0, 1, 3]


async def test_a_policy_that_acknowledges_failures_does_not_try_again(
    broker: MemoryBroker,
) -> None:
    calls: list[list[int]] = []

    @broker.subscriber("orders", group="g", batch=True, ack_policy=AckPolicy.ACK)
    async def handle(numbers: list[int]) -> None:
        calls.append(numbers)
        raise ValueError

    await publish_all(broker, 1, 2)

    assert calls == [[1, 2]]
    assert broker.unread("orders") == 0


async def test_a_crash_of_the_actor_is_no_failure_of_the_batch(broker: MemoryBroker) -> None:
    calls: list[list[int]] = []

    @broker.subscriber("orders", group="g", batch=True)
    async def handle(numbers: list[int]) -> None:
        calls.append(numbers)
        if len(calls) == 1:
            raise ActorCrash("lost my mind")

    await publish_all(broker, 1, 2)

    assert calls == [[1, 2], [1, 2]]
    assert broker.dead_letters() == []


async def test_a_batch_that_crashes_its_actor_twice_is_dead_lettered_part_by_part(
    broker: MemoryBroker,
) -> None:
    @broker.subscriber("orders", group="g", batch=True)
    async def handle(numbers: list[int]) -> None:
        raise ActorCrash("lost my mind")

    await publish_all(broker, 1, 2)

    assert [letter.message.body for letter in broker.dead_letters()] == [b"1", b"2"]


async def test_parts_can_be_settled_by_hand(broker: MemoryBroker) -> None:
    @broker.subscriber("orders", group="g", batch=True)
    async def handle(numbers: list[int], batch: BatchMessage) -> None:
        assert await batch.decode() == numbers
        await batch.parts[0].reject()

    await publish_all(broker, 1, 2)

    assert [letter.message.body for letter in broker.dead_letters()] == [b"1"]
    assert broker.unread("orders") == 0


async def test_a_stop_gives_back_what_has_begun(broker: MemoryBroker) -> None:
    @broker.subscriber("orders", group="g", batch=True, max_records=9, batch_timeout=60)
    async def handle(numbers: list[int]) -> None: ...

    async with broker:
        await broker.start()
        await broker.publish(1, "orders")
        await idle()
    assert broker.unread("orders") == 1


async def test_the_mock_sees_lists(broker: MemoryBroker) -> None:
    @broker.subscriber("orders", batch=True)
    async def handle(numbers: list[int]) -> None: ...

    async with TestBroker(broker):
        await broker.publish(1, "orders")

        await handle.assert_called_once_with([1])


async def test_batches_of_a_partition_are_handled_one_after_another() -> None:
    broker = KafkaBroker()
    running = most = 0

    @broker.subscriber("orders", batch=True, max_records=1, max_workers=4)
    async def handle(numbers: list[int]) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.sleep(0.1)
        running -= 1

    async with TestKafkaBroker(broker), anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(broker.publish, number, "orders")

    assert most == 1


async def test_ordered_by_partition_needs_partitions(broker: MemoryBroker) -> None:
    @broker.subscriber("orders", max_workers=2, ordered_by="partition")
    async def handle(number: int) -> None: ...

    async with broker:
        with pytest.raises(DeclarationError, match="its broker has no partitions"):
            await broker.start()


def test_the_document_describes_one_message(broker: MemoryBroker) -> None:
    @broker.subscriber("orders", batch=True)
    async def handle(numbers: list[int]) -> None: ...

    document = AsyncAPI(broker).to_specification().to_json()

    assert '"integer"' in document
    assert '"array"' not in document


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_records": 5}, "give batch=True too"),
        ({"on_batch_error": "split"}, "give batch=True too"),
        ({"batch": True, "on_batch_error": "halve"}, "on_batch_error='halve' of a subscriber"),
        ({"batch": True, "max_records": 2.5}, "max_records=2.5 of a subscriber"),
        ({"batch": True, "batch_timeout": -1}, "batch_timeout=-1 of a subscriber"),
        ({"batch": True, "max_records": 0}, "max_records=0 of a subscriber"),
        ({"batch": True, "ordered_by": hash}, "'partition' or 'none'"),
    ],
)
def test_options_of_batches_that_cannot_be_meant_are_refused(
    broker: MemoryBroker, options: dict[str, object], message: str
) -> None:
    with pytest.raises(DeclarationError, match=message):
        broker.subscriber("orders", **options)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - wrong on purpose


def test_a_handler_of_batches_takes_a_list(broker: MemoryBroker) -> None:
    with pytest.raises(DeclarationError, match=r"it takes one list of messages"):

        @broker.subscriber("orders", batch=True)
        async def handle(number: int) -> None: ...


async def test_a_batch_whose_output_never_can_be_published_is_dead_lettered_part_by_part() -> None:
    broker = FaultyBroker()
    broker.faulty.limit = 100

    @broker.publisher("out")
    @broker.subscriber("orders", group="g", batch=True)
    async def handle(numbers: list[int]) -> str:
        return 200 * "x"

    await publish_all(broker, 1, 2, 3)

    assert [letter.message.body for letter in broker.dead_letters()] == [b"1", b"2", b"3"]


async def test_what_was_settled_before_a_crash_is_not_handled_again(broker: MemoryBroker) -> None:
    calls: list[list[int]] = []

    @broker.subscriber("orders", group="g", batch=True, on_batch_error="split")
    async def handle(numbers: list[int]) -> None:
        calls.append(numbers)
        if len(numbers) > 2:
            raise ValueError
        if 3 in numbers and len(calls) == 3:
            raise ActorCrash("lost my mind")

    await publish_all(broker, 1, 2, 3, 4)

    assert calls == [[1, 2, 3, 4], [1, 2], [3, 4], [3, 4]]


@pytest.mark.parametrize(
    "returns", [list[int] | None, tuple[int, int], tuple[int, ...], dict[str, int], list, None]
)
async def test_a_publisher_of_batches_takes_any_annotation(
    broker: MemoryBroker, returns: object
) -> None:
    results: list[int] = []

    async def handle(number: int) -> object:
        return [1, 2]

    handle.__annotations__["return"] = returns
    broker.publisher("out", batch=True)(broker.subscriber("in")(handle))

    @broker.subscriber("out")
    async def hear(number: int) -> None:
        results.append(number)

    async with TestBroker(broker):
        await broker.publish(1, "in")

    assert results == [1, 2]
