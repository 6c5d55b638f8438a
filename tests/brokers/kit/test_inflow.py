"""What came is received in order, bounded, and never lost."""

from __future__ import annotations

from collections import Counter

import anyio
import anyio.lowlevel
import pytest
from anyio import create_task_group, current_time, fail_after, sleep
from hypothesis import given, settings
from hypothesis import strategies as st

from callboard_actors.testing import idle, virtual_backend
from callboard_brokers import ConnectionClosed, ConnectionLost, Delivery, Message
from callboard_brokers.kit import Each, Held, Inflow, Journal

pytestmark = pytest.mark.anyio

LEDGER = Held[object](Each(lambda: None).write, Journal())


def deliveries(*bodies: bytes) -> list[Delivery]:
    return [LEDGER.deliver(Message(body)) for body in bodies]


def numbered(count: int) -> list[Delivery]:
    return deliveries(*(b"%d" % n for n in range(count)))


def bodies(received: list[Delivery]) -> list[bytes]:
    return [delivery.message.body for delivery in received]


@pytest.fixture
def inflow() -> Inflow[object]:
    return Inflow("orders", 4)


async def test_what_was_put_is_received_in_order_up_to_the_limit(inflow: Inflow[object]) -> None:
    inflow.put(deliveries(b"a", b"b", b"c"))

    assert bodies(await inflow.receive(2)) == [b"a", b"b"]
    assert bodies(await inflow.receive(2)) == [b"c"]


async def test_the_last_that_is_received_is_the_one_that_fills_its_bytes(
    inflow: Inflow[object],
) -> None:
    inflow.put(deliveries(b"aaa", b"bbb", b"ccc"))

    assert bodies(await inflow.receive(10, 4)) == [b"aaa", b"bbb"]
    assert bodies(await inflow.receive(10, 0.5)) == [b"ccc"]


async def test_a_reader_waits_for_the_first_to_arrive(inflow: Inflow[object]) -> None:
    received: list[Delivery] = []

    async def read() -> None:
        received.extend(await inflow.receive(10))

    async with create_task_group() as tasks:
        tasks.start_soon(read)
        await idle()
        inflow.put(deliveries(b"a"))

    assert bodies(received) == [b"a"]


async def test_a_cancelled_reader_loses_nothing(inflow: Inflow[object]) -> None:
    received: list[Delivery] = []

    async def read() -> None:
        received.extend(await inflow.receive(10))

    for number in range(6):
        async with create_task_group() as tasks:
            tasks.start_soon(read)
            await idle()
            if number % 2:
                inflow.put(numbered(1))
            tasks.cancel_scope.cancel()

    assert len(received) + len(inflow) == 3


async def test_what_comes_later_comes_when_it_is_due_before_what_waits(
    inflow: Inflow[object],
) -> None:
    before = current_time()
    [again] = deliveries(b"again")
    inflow.later(again, 5.0)

    assert bodies(await inflow.receive(10)) == [b"again"]
    assert current_time() - before >= 5.0

    for delivery in deliveries(b"1", b"2"):
        inflow.later(delivery, 0.0)
    inflow.put(deliveries(b"3"))

    assert bodies(await inflow.receive(10)) == [b"1", b"2", b"3"]


async def test_a_reader_that_waits_long_is_woken_for_what_is_due_soon(
    inflow: Inflow[object],
) -> None:
    received: list[Delivery] = []
    far, near = deliveries(b"far", b"near")
    inflow.later(far, 100.0)

    async def read() -> None:
        received.extend(await inflow.receive(10))

    with fail_after(10):
        async with create_task_group() as tasks:
            tasks.start_soon(read)
            await idle()
            inflow.later(near, 1.0)

    assert bodies(received) == [b"near"]


async def test_as_many_are_wanted_as_there_is_room_for(inflow: Inflow[object]) -> None:
    assert inflow.wanted == 4
    inflow.put(numbered(3))
    assert inflow.wanted == 0  # a fetch of one would cost as much as one of four
    await inflow.receive(1)
    assert inflow.wanted == 2


async def test_no_more_are_wanted_than_fit_if_they_are_as_long_as_the_last() -> None:
    inflow = Inflow[object]("orders", 100, max_bytes=10)
    assert inflow.wanted == 10  # of one byte
    inflow.put(deliveries(b"x" * 50))
    assert inflow.wanted == 0
    await inflow.receive(1)
    assert inflow.wanted == 1
    inflow.put(deliveries(b"xx", b"xx"))
    await inflow.receive(2)
    assert inflow.wanted == 5


async def test_nothing_is_wanted_while_too_many_wait_to_be_due(inflow: Inflow[object]) -> None:
    for delivery in numbered(4):
        inflow.later(delivery, 1.0)
    assert inflow.wanted == 0
    await inflow.receive(2)
    assert inflow.wanted == 2


async def test_who_fetches_waits_for_room(inflow: Inflow[object]) -> None:
    room: list[int] = []
    inflow.put(numbered(4))

    async def fetch() -> None:
        room.append(await inflow.room())

    async with create_task_group() as tasks:
        tasks.start_soon(fetch)
        await idle()
        assert room == []
        await inflow.receive(3)

    assert room == [3]


async def test_the_end_of_an_epoch_recalls_and_takes_out_everything(
    inflow: Inflow[object],
) -> None:
    recalled: list[str] = []
    inflow.recall = lambda: recalled.append("recalled")
    waiting, later = deliveries(b"waiting", b"later")
    inflow.later(later, 60.0)
    inflow.put([waiting])

    assert bodies(inflow.end_epoch()) == [b"later", b"waiting"]
    assert (recalled, len(inflow), inflow.wanted) == (["recalled"], 0, 4)


async def test_a_failure_ends_what_waits_and_what_comes(inflow: Inflow[object]) -> None:
    async def read() -> None:
        with pytest.raises(ConnectionLost, match="for good"):
            await inflow.receive(1)

    async with create_task_group() as tasks:
        tasks.start_soon(read)
        await idle()
        inflow.fail(ConnectionLost("for good"))
    inflow.close()
    inflow.put(deliveries(b"too late"))

    with pytest.raises(ConnectionLost, match="for good"):
        await inflow.receive(1)
    with pytest.raises(ConnectionLost, match="for good"):
        await inflow.room()


async def test_a_source_that_was_left_says_so(inflow: Inflow[object]) -> None:
    inflow.close()
    with pytest.raises(ConnectionClosed, match="'orders' has been left"):
        await inflow.receive(1)


async def test_a_reader_that_never_waits_lets_others_run() -> None:
    inflow, turns = Inflow[object]("orders", 1000), 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    inflow.put(numbered(1000))
    async with create_task_group() as tasks:
        tasks.start_soon(other)
        for _ in range(1000):
            await inflow.receive(1)
        tasks.cancel_scope.cancel()

    assert turns >= 10


@pytest.mark.parametrize("limit", [0, -1])
async def test_a_limit_is_at_least_one(inflow: Inflow[object], limit: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        await inflow.receive(limit)


def test_a_capacity_is_at_least_one() -> None:
    with pytest.raises(ValueError, match="a capacity of 0"):
        Inflow("orders", 0)


Step = tuple[str, int]
steps = st.lists(
    st.tuples(st.sampled_from(["fetch", "receive", "again", "pass", "drain"]), st.integers(0, 6)),
    max_size=60,
)


async def play(script: list[Step]) -> None:
    """Play *script*: everything that is in it comes out, once, and no more than is allowed."""
    inflow, made, out = Inflow[object]("orders", 5, max_bytes=100), 0, Counter[bytes]()
    held: list[Delivery] = []
    for step, number in script:
        if step == "fetch" and inflow.wanted:
            fresh = deliveries(*(b"%03d" % (made + n) for n in range(min(number, inflow.wanted))))
            made += len(fresh)
            inflow.put(fresh)
        elif step == "receive" and len(inflow):
            held += await inflow.receive(number + 1)
        elif step == "again" and held:
            inflow.later(held.pop(number % len(held)), float(number))
        elif step == "pass":
            await sleep(number)
        elif step == "drain":
            out.update(bodies(inflow.drain()))

        assert len(inflow) + len(held) + out.total() == made
        assert inflow.wanted <= 5
    out.update(bodies(held + inflow.drain()))

    assert out == Counter(b"%03d" % n for n in range(made))


@settings(max_examples=80)
@given(steps)
def test_what_is_put_in_comes_out_once(script: list[Step]) -> None:
    backend, options = virtual_backend("asyncio")
    anyio.run(play, script, backend=backend, backend_options=options)


@given(st.lists(st.integers(1, 9), max_size=30))
def test_fresh_messages_never_overtake(limits: list[int]) -> None:
    async def run() -> None:
        inflow, received = Inflow[object]("orders", 300), list[bytes]()
        inflow.put(deliveries(*(b"%03d" % n for n in range(300))))
        for limit in limits:
            received += bodies(await inflow.receive(limit))

        assert received == sorted(received)

    anyio.run(run)
