"""Outputs are handed over, and a message is settled when its own are confirmed."""

from __future__ import annotations

from random import Random

import pytest
from anyio import Event, current_time, sleep, wait_all_tasks_blocked

from callboard import (
    AckPolicy,
    ActorCrash,
    App,
    Decision,
    Message,
    NackMessage,
    StopActor,
    Supervision,
)
from callboard.instruments import Instrument, OnOutcome, Outcome, Place
from callboard.memory import MemoryMessage
from callboard.watch._observer import walk
from callboard_brokers import Delivery, MessageTooLarge, Settlement

from ..faulty import FaultyBroker

pytestmark = pytest.mark.anyio

LAG = 1.0


@pytest.fixture
def broker() -> FaultyBroker:
    """One that confirms a second later what is sent to "out"."""
    broker = FaultyBroker()
    broker.faulty.late["out"] = LAG
    return broker


@pytest.fixture
def written(broker: FaultyBroker) -> list[int]:
    """What has been written to "out", in order."""
    written: list[int] = []

    @broker.subscriber("out")
    async def read(number: int) -> None:
        written.append(number)

    return written


def forwarding(broker: FaultyBroker, *, workers: int = 1, mailbox: int = 256) -> list[Message]:
    """Declare that numbers are forwarded; return what is handled."""
    handled: list[Message] = []

    @broker.publisher("out")
    @broker.subscriber("in", group="g", max_workers=workers, mailbox=mailbox)
    async def forward(number: int, message: MemoryMessage) -> int:
        handled.append(message)
        return number

    return handled


async def publish(broker: FaultyBroker, *keys: str | None) -> None:
    """Publish as many numbers as there are keys."""
    for number, key in enumerate(keys):
        await broker.publish(number, "in", key=key)


async def served(broker: FaultyBroker, *keys: str | None, seconds: float = 10) -> None:
    """Publish as many numbers as there are keys, and leave *seconds* to what comes of it."""
    async with broker:
        await broker.start()
        await publish(broker, *keys)
        await sleep(seconds)


async def test_one_worker_goes_on_while_its_outputs_are_not_confirmed(
    broker: FaultyBroker, written: list[int]
) -> None:
    forwarding(broker)

    async with broker:
        await broker.start()
        began = current_time()
        await publish(broker, *["a", "b"] * 50)
        await broker.stop()

    assert written == [*range(100)]
    assert current_time() - began == pytest.approx(LAG)


async def test_a_message_is_settled_when_its_own_outputs_are_confirmed(
    broker: FaultyBroker, written: list[int]
) -> None:
    handled = forwarding(broker)
    settled: list[list[bool]] = []

    async with broker:
        await broker.start()
        for number in range(2):
            await broker.publish(number, "in")
            await sleep(LAG / 4)
        for _ in range(3):
            settled.append([message.processed for message in handled])
            await sleep(0.3 * LAG)

    assert settled == [[False, False], [False, False], [True, False]]


async def test_as_many_are_open_as_the_mailbox_holds(
    broker: FaultyBroker, written: list[int]
) -> None:
    forwarding(broker, mailbox=4)

    async with broker:
        await broker.start()
        await publish(broker, *[None] * 10)
        await sleep(LAG / 2)
        first = len(written)
        await sleep(10)

    assert first == 4
    assert written == [*range(10)]


@pytest.mark.parametrize("workers", [1, 4])
async def test_a_lane_goes_back_to_the_message_whose_output_failed(
    broker: FaultyBroker, written: list[int], workers: int
) -> None:
    """Whoever reads a key sees at last what he would have seen; other keys go on."""
    broker.faulty.faults["out"] = 1
    handled = forwarding(broker, workers=workers)

    async with broker:
        await broker.start()
        await publish(broker, "a", "a", "b", "a")
        await sleep(LAG + 0.01)
        await broker.publish(4, "in", key="a")
        await sleep(10)

    assert [number for number in written if number != 2] == [1, 3, 0, 1, 3, 4]
    assert written.count(2) == 1
    assert all(message.processed for message in handled)


@pytest.mark.parametrize("workers", [1, 4])
async def test_a_lane_whose_output_has_failed_waits_until_that_is_out(
    broker: FaultyBroker, written: list[int], workers: int
) -> None:
    broker.faulty.faults["out"] = 1
    handled: list[int] = []

    @broker.publisher("out")
    @broker.subscriber("in", max_workers=workers)
    async def forward(number: int) -> int:
        handled.append(number)
        if handled == [0, 1, 0]:
            broker.faulty.faults["out"] = 3
        return number

    await served(broker, "a", "a", seconds=20)

    assert handled == [0, 1, 0, 0, 0, 0, 1]
    assert written == [1, 0, 1]


@pytest.mark.parametrize("workers", [1, 4])
async def test_a_message_in_hand_goes_back_with_its_lane(
    broker: FaultyBroker, written: list[int], workers: int
) -> None:
    broker.faulty.faults["out"] = 1
    handled: list[int] = []

    @broker.publisher("out")
    @broker.subscriber("in", max_workers=workers)
    async def forward(number: int) -> int:
        handled.append(number)
        await sleep(LAG * 0.8)
        return number

    await served(broker, "a", "a", "a", "a", seconds=20)

    # The failure is known while the third is handled.
    assert written == [1, 2, 0, 1, 2, 3]
    assert handled == [0, 1, 2, 0, 1, 2, 3]


@pytest.mark.parametrize("workers", [1, 4])
async def test_a_message_in_hand_that_is_settled_by_hand_is_not_handled_again(
    broker: FaultyBroker, written: list[int], workers: int
) -> None:
    broker.faulty.faults["out"] = 1
    handled: list[int] = []

    @broker.publisher("out")
    @broker.subscriber("in", max_workers=workers)
    async def forward(number: int, message: Message) -> int:
        handled.append(number)
        if number == 1:
            await sleep(2 * LAG)
            await message.ack()
        return number

    await served(broker, "a", "a", "a", seconds=20)

    assert handled == [0, 1, 0, 2]
    assert written == [1, 0, 2]


async def test_what_sends_nothing_is_settled_after_those_of_its_lane(
    broker: FaultyBroker, written: list[int]
) -> None:
    broker.faulty.faults["out"] = 1
    handled: list[int] = []

    @broker.publisher("out", batch=True)
    @broker.subscriber("in")
    async def forward(number: int) -> list[int]:
        handled.append(number)
        return [number] if number == 0 else []

    await served(broker, "a", "a", "b")

    assert handled == [0, 1, 2, 0, 1]


async def test_without_a_lane_a_message_whose_output_failed_comes_again_alone(
    broker: FaultyBroker, written: list[int]
) -> None:
    broker.faulty.faults["out"] = 1
    forwarding(broker)

    await served(broker, None, None, None)

    assert written == [1, 2, 0]


async def test_a_stop_waits_for_what_is_under_way(broker: FaultyBroker, written: list[int]) -> None:
    handled = forwarding(broker)

    async with broker:
        await broker.start()
        await publish(broker, "a", "a", None)
        await wait_all_tasks_blocked()
        await broker.stop()
        await broker.start()
        await sleep(10)

    assert len(handled) == 3
    assert all(message.processed for message in handled)


@pytest.mark.parametrize("workers", [1, 4])
async def test_what_fails_while_it_is_waited_for_at_a_stop_comes_again_in_order(
    broker: FaultyBroker, written: list[int], workers: int
) -> None:
    broker.faulty.faults["out"] = 1
    forwarding(broker, workers=workers)

    async with broker:
        await broker.start()
        await publish(broker, "a", "a", "a")
        await wait_all_tasks_blocked()
        await broker.stop()
        await broker.start()
        await sleep(10)

    assert written == [1, 2, 0, 1, 2]


async def test_a_hard_stop_leaves_what_is_under_way_unsettled() -> None:
    broker = FaultyBroker(graceful_timeout=LAG / 2)
    broker.faulty.late["out"] = LAG
    handled = forwarding(broker)

    async with broker:
        await broker.start()
        await publish(broker, "a")
        await wait_all_tasks_blocked()
        await broker.stop()
        await broker.start()
        await sleep(10)

    assert [message.processed for message in handled] == [False, True]


async def test_what_is_recalled_and_fails_is_released(
    broker: FaultyBroker, written: list[int]
) -> None:
    """The next member gets it, and all after it, at once: no time of waiting is counted."""
    broker.faulty.faults["out"] = 1
    forwarding(broker)

    async with broker:
        await broker.start()
        await publish(broker, "a", "a")
        await wait_all_tasks_blocked()
        broker.faulty.recall()
        await sleep(LAG + 0.01)

        assert written == [1, 0, 1]


async def test_a_worker_that_crashes_repeats_nothing_of_what_is_under_way(
    broker: FaultyBroker, written: list[int]
) -> None:
    handled: list[int] = []

    @broker.publisher("out")
    @broker.subscriber("in")
    async def forward(number: int) -> int:
        handled.append(number)
        if handled == [0, 1, 2]:
            raise ActorCrash("unlucky")
        return number

    await served(broker, "a", "a", "a", "a")

    assert handled == [0, 1, 2, 2, 3]
    assert written == [0, 1, 2, 3]


async def test_a_message_that_crashes_while_its_lane_goes_back_waits_behind(
    broker: FaultyBroker, written: list[int]
) -> None:
    broker.faulty.faults["out"] = 1
    handled: list[int] = []

    @broker.publisher("out")
    @broker.subscriber("in")
    async def forward(number: int) -> int:
        handled.append(number)
        if handled == [0, 1]:
            await sleep(2 * LAG)
            raise ActorCrash("unlucky")
        return number

    await served(broker, "a", "a", "a", seconds=20)

    assert handled == [0, 1, 0, 1, 2]
    assert written == [0, 1, 2]


async def test_an_output_that_is_found_too_large_by_the_broker_makes_a_dead_letter(
    broker: FaultyBroker, written: list[int]
) -> None:
    broker.faulty.limit = 200
    dead: list[Message] = []
    handled: list[int] = []

    @broker.publisher("out")
    @broker.subscriber("in", dead_letter="dead")
    async def forward(number: int) -> str | int:
        handled.append(number)
        return "x" * 201 if number == 0 else number

    @broker.subscriber("dead")
    async def bury(message: Message) -> None:
        dead.append(message)

    async with broker:
        await broker.start()
        await publish(broker, "a", "a")
        await wait_all_tasks_blocked()
        broker.faulty.limit = 10_000
        await sleep(10)

    assert handled == [0, 1]
    assert written == [1]
    assert [letter.headers["x-exception-type"] for letter in dead] == ["MessageTooLarge"]


@pytest.mark.parametrize("policy", [AckPolicy.MANUAL, AckPolicy.ACK_FIRST])
@pytest.mark.parametrize("keys", ["aaa", "abc"])
async def test_outputs_of_messages_that_were_settled_before_are_lost_aloud(
    broker: FaultyBroker,
    written: list[int],
    policy: AckPolicy,
    keys: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker.faulty.faults["out"] = 2
    handled: list[int] = []

    @broker.publisher("out")
    @broker.subscriber("in", ack_policy=policy)
    async def forward(number: int, message: Message) -> int:
        handled.append(number)
        await message.ack()
        return number

    await served(broker, *keys)

    assert handled == [0, 1, 2]
    assert written == [2]
    assert caplog.text.count("it is settled already, so that they are lost: PublishFailed") == 2


@pytest.mark.parametrize("policy", [AckPolicy.MANUAL, AckPolicy.ACK_FIRST])
async def test_outputs_of_a_batch_that_was_settled_before_are_lost_aloud(
    broker: FaultyBroker,
    written: list[int],
    policy: AckPolicy,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker.faulty.faults["out"] = 1
    handled: list[list[int]] = []

    @broker.publisher("out", batch=True)
    @broker.subscriber("in", batch=True, max_records=2, batch_timeout=0.01, ack_policy=policy)
    async def forward(numbers: list[int], message: Message) -> list[int]:
        handled.append(numbers)
        await message.ack()
        return numbers

    await served(broker, *"aa")

    assert handled == [[0, 1]]
    assert written == [1]
    assert "they are lost: PublishFailed" in caplog.text


async def test_of_a_batch_whose_output_failed_every_message_is_given_back(
    broker: FaultyBroker, written: list[int]
) -> None:
    """It waits for its time when the broker wants it back."""
    broker.faulty.faults["out"] = 1
    handled: list[list[int]] = []

    @broker.publisher("out", batch=True)
    @broker.subscriber("in", batch=True, max_records=2, batch_timeout=0.01)
    async def forward(numbers: list[int]) -> list[int]:
        handled.append(numbers)
        return numbers

    async with broker:
        await broker.start()
        await publish(broker, *"aa")
        await sleep(LAG + 0.03)
        broker.faulty.recall()
        await sleep(10)

    assert handled == [[0, 1], [0, 1]]
    assert written == [1, 0, 1]


async def test_a_batch_that_has_come_back_does_not_wait_for_what_comes_after_it(
    broker: FaultyBroker, written: list[int]
) -> None:
    """Of the first, one output never can be out; while that is seen to, one of the second fails."""
    broker.faulty.limit, broker.faulty.late["dead"] = 200, LAG
    handled: list[list[int]] = []

    @broker.publisher("out", batch=True)
    @broker.subscriber("in", batch=True, max_records=2, batch_timeout=0.01, dead_letter="dead")
    async def forward(numbers: list[int]) -> list[str | int]:
        handled.append(numbers)
        return ["x" * 201 if number == 1 else number for number in numbers]

    async with broker:
        await broker.start()
        await publish(broker, *"aa")
        await sleep(LAG / 2)
        broker.faulty.limit, broker.faulty.faults["out"] = 10_000, 1
        for number in [2, 3]:
            await broker.publish(number, "in", key="a")
        await sleep(20)

    assert handled == [[0, 1], [2, 3], [2, 3]]
    assert written == [0, 3, 2, 3]


async def test_a_worker_that_is_busy_when_its_source_dies_holds_up_no_restart() -> None:
    broker = FaultyBroker(graceful_timeout=100)
    broker.faulty.late["out"], broker.faulty.doom = LAG, Event()
    handled: list[float] = []

    @broker.publisher("out")
    @broker.subscriber("in", group="g")
    async def forward(number: int) -> int:
        handled.append(current_time())
        if broker.faulty.doom is not None:
            broker.faulty.doom.set()
            broker.faulty.doom = None
            await sleep(LAG)
        return number

    await served(broker, "a")

    # It waits by itself for what it has sent.
    assert handled[1] - handled[0] == pytest.approx(2 * LAG)


async def test_a_worker_that_waits_for_its_turn_when_its_source_dies_holds_up_no_restart() -> None:
    broker = FaultyBroker(graceful_timeout=100)
    doom = broker.faulty.doom = Event()
    broker.faulty.late["out"] = LAG
    handled: list[list[int]] = []

    @broker.publisher("out", batch=True)
    @broker.subscriber("in", group="g", batch=True, max_records=2, batch_timeout=0.01)
    async def forward(numbers: list[int]) -> list[int | Exception]:
        handled.append(numbers)
        # One of the second fails: that batch is settled after the first, by the worker himself.
        return [ValueError("unlucky") if number == 2 else number for number in numbers]

    async with broker:
        await broker.start()
        await publish(broker, *"aa")
        await sleep(0.9 * LAG)
        broker.faulty.late["out"] = 0.05 * LAG
        for number in [2, 3]:
            await broker.publish(number, "in", key="a")
        await sleep(0.07 * LAG)
        broker.faulty.doom = None
        doom.set()
        await sleep(10)

    assert handled[2] == [0, 1]


async def test_a_rule_that_raises_for_an_output_is_a_crash_of_the_worker() -> None:
    def clumsy(error: Exception) -> bool:
        if isinstance(error, MessageTooLarge):
            raise KeyError("clumsy")
        return False

    broker = FaultyBroker(supervision=Supervision(decide=[(clumsy, Decision.RESUME)]))
    broker.faulty.late["out"], broker.faulty.limit = LAG, 200
    handled: list[Message] = []

    @broker.publisher("out")
    @broker.subscriber("in")
    async def forward(number: int, message: Message) -> str | int:
        handled.append(message)
        return "x" * 201 if number == 0 else number

    async with broker:
        await broker.start()
        await publish(broker, *"aa")
        await sleep(100)
        began = current_time()
        await broker.stop()

    assert [message.body for message in handled] == [b"0", b"1", b"0", b"1", b"1"]
    assert all(message.processed for message in handled)
    assert current_time() == began


async def test_an_output_that_never_can_be_out_concerns_the_actor_if_a_rule_says_so() -> None:
    rules = [(MessageTooLarge, Decision.RESTART)]
    broker = FaultyBroker(supervision=Supervision(decide=rules))
    broker.faulty.late["out"], broker.faulty.limit = LAG, 200
    handled: list[Message] = []

    @broker.publisher("out")
    @broker.subscriber("in")
    async def forward(number: int, message: Message) -> str | int:
        handled.append(message)
        return "x" * 201 if number == 0 else number

    await served(broker, *"aa", seconds=100)

    # It has taken its actor down twice.
    assert [message.body for message in handled] == [b"0", b"1", b"0", b"1", b"1"]
    assert all(message.processed for message in handled)


async def test_what_is_under_way_is_waited_for_when_the_last_worker_stops_for_good(
    broker: FaultyBroker, written: list[int]
) -> None:
    handled: list[Message] = []

    @broker.publisher("out")
    @broker.subscriber("in")
    async def forward(number: int, message: Message) -> int:
        if number == 2:
            raise StopActor("enough")
        handled.append(message)
        return number

    await served(broker, *"aaa")

    assert [message.processed for message in handled] == [True, True]


@pytest.mark.parametrize("workers", [1, 3])
async def test_each_message_is_asked_for_its_order_once(
    broker: FaultyBroker, written: list[int], workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    broker.faulty.faults["out"] = 1
    asked: list[bytes] = []

    def order(message: Message) -> str:
        asked.append(message.body)
        if message.body == b"2":
            raise ValueError("no order")
        return "a"

    @broker.publisher("out")
    @broker.subscriber("in", max_workers=workers, ordered_by=order)
    async def forward(number: int) -> int:
        return number

    await served(broker, *"aaa")

    assert asked == [b"0", b"1", b"2"]
    assert caplog.text.count("ordered_by= of forward(in) fails") == 1


async def test_a_handler_that_publishes_by_itself_waits_for_the_confirmation(
    broker: FaultyBroker, written: list[int]
) -> None:
    done = Event()

    @broker.subscriber("in")
    async def forward(number: int) -> None:
        began = current_time()
        await broker.publish(number, "out")
        assert current_time() - began == pytest.approx(LAG)
        done.set()

    async with broker:
        await broker.start()
        await publish(broker, None)
        await done.wait()

    assert written == [0]


@pytest.mark.parametrize("workers", [1, 3])
async def test_actors_go_on_while_their_outputs_are_not_confirmed(
    broker: FaultyBroker, written: list[int], workers: int
) -> None:
    broker.faulty.faults["out"] = 1
    stopped: list[int] = []

    @broker.publisher("out")
    @broker.subscriber("in", max_workers=workers)
    class Forward:
        async def receive(self, number: int) -> int:
            return number

        async def on_stop(self, reason: object) -> None:
            stopped.append(len(written))

    async with broker:
        await broker.start()
        await publish(broker, *"abab")
        await wait_all_tasks_blocked()
        assert sorted(written) == [1, 2, 3]
        await sleep(10)
        await publish(broker, "a")
        await wait_all_tasks_blocked()
        await broker.stop()

    assert [number for number in written if number % 2 == 0] == [2, 0, 2, 0]
    assert [number for number in written if number % 2] == [1, 3]
    assert stopped == [6] * workers


async def test_a_batch_is_settled_when_its_own_outputs_are_confirmed(
    broker: FaultyBroker, written: list[int]
) -> None:
    handled: list[list[int]] = []

    @broker.publisher("out", batch=True)
    @broker.subscriber("in", batch=True, group="g", max_records=2, batch_timeout=0.01)
    async def forward(numbers: list[int]) -> list[int]:
        handled.append(numbers)
        if len(handled) == 1:
            broker.faulty.faults["out"] = 1
        return numbers

    async with broker:
        await broker.start()
        began = current_time()
        await publish(broker, *["a"] * 6)
        await wait_all_tasks_blocked()
        assert handled == [[0, 1], [2, 3], [4, 5]]
        await sleep(LAG + 0.01)
        await broker.stop()
        assert current_time() - began < 3 * LAG
        await broker.start()
        await sleep(10)

    # The first has failed, so all were given back at the stop.
    assert handled[3:] == [[0, 1], [2, 3], [4, 5]]
    assert written == [1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]


async def test_of_a_batch_whose_predecessor_goes_back_nothing_is_settled_before(
    broker: FaultyBroker, written: list[int]
) -> None:
    handled: list[list[int]] = []
    failures = {2: ValueError("too early")}

    @broker.publisher("out", batch=True)
    @broker.subscriber(
        "in",
        batch=True,
        max_records=2,
        batch_timeout=0.01,
        ack_policy=AckPolicy.NACK_ON_ERROR,
    )
    async def forward(numbers: list[int]) -> list[int | Exception]:
        handled.append(numbers)
        broker.faulty.faults["out"] = len(handled) == 1
        return [failures.pop(number, number) for number in numbers]

    await served(broker, *["a"] * 4, seconds=20)

    # With the second batch fails one of its own messages, with the first an output.
    assert handled == [[0, 1], [2, 3], [0, 1], [2, 3]]
    assert written == [1, 3, 0, 1, 2, 3]


async def test_of_a_batch_only_the_message_whose_output_never_can_be_out_is_given_up(
    broker: FaultyBroker, written: list[int]
) -> None:
    broker.faulty.limit = 200
    handled: list[list[int]] = []
    dead: list[Message] = []

    @broker.publisher("out", batch=True)
    @broker.subscriber("in", batch=True, max_records=2, batch_timeout=0.01, dead_letter="dead")
    async def forward(numbers: list[int]) -> list[str | int]:
        handled.append(numbers)
        return ["x" * 201 if number == 1 else number for number in numbers]

    @broker.subscriber("dead")
    async def bury(message: Message) -> None:
        dead.append(message)

    async with broker:
        await broker.start()
        await publish(broker, *["a"] * 4)
        await wait_all_tasks_blocked()
        broker.faulty.limit = 10_000
        await sleep(10)

    assert handled == [[0, 1], [2, 3]]
    assert written == [0, 2, 3]
    assert [letter.body for letter in dead] == [b"1"]


async def test_a_lane_waits_for_an_output_that_its_policy_tries_again_for_ever(
    broker: FaultyBroker, written: list[int]
) -> None:
    broker.faulty.limit = 200
    handled: list[int] = []

    @broker.publisher("out")
    @broker.subscriber("in", ack_policy=AckPolicy.NACK_ON_ERROR)
    async def forward(number: int) -> str | int:
        handled.append(number)
        return "x" * 201 if number == 0 and len(handled) < 4 else number

    await served(broker, "a", "a", seconds=20)

    assert handled == [0, 1, 0, 0, 1]
    assert written == [1, 0, 1]


async def test_what_is_not_confirmed_is_in_flight(broker: FaultyBroker, written: list[int]) -> None:
    forwarding(broker)
    app = App(broker)

    await app.start()
    await publish(broker, *"ab")
    await wait_all_tasks_blocked()
    [details] = [
        node.details for path, node in walk(app.tree(), "app") if path.endswith("forward(in)")
    ]
    await app.stop()

    assert (details["queued"], details["in_flight"]) == (0, 2)


async def test_an_answer_for_a_quarantined_message_that_fails_is_tried_again(
    broker: FaultyBroker,
) -> None:
    broker.faulty.faults["answers"] = 1
    answers: list[Message] = []
    handled: list[Message] = []

    @broker.subscriber("answers")
    async def read(message: Message) -> None:
        answers.append(message)

    @broker.subscriber("in")
    async def crash(message: Message) -> None:
        handled.append(message)
        raise ActorCrash("unlucky")

    async with broker:
        await broker.start()
        await broker.publish(1, "in", key="a", reply_to="answers")
        await sleep(20)

    assert len(handled) == 2
    assert [answer.headers["x-callboard-failure"] for answer in answers] == ["Quarantined"]
    assert handled[0].processed


@pytest.mark.parametrize("workers", [1, 3, "batches"])
@pytest.mark.parametrize("seed", range(4))
async def test_whatever_fails_each_key_ends_in_order(seed: int, workers: int | str) -> None:
    """After the last time of each number come all its successors."""
    chance = Random(seed)
    broker = FaultyBroker(graceful_timeout=100, supervision=Supervision(intensity=1000))
    broker.faulty.late["out"] = LAG
    keys = [chance.choice("ab") for _ in range(60)]
    places: dict[int, None] = {}

    @broker.subscriber("out")
    async def read(number: int) -> None:
        places.pop(number, None)
        places[number] = None

    fumbling(broker, chance, workers)
    async with broker:
        await broker.start()
        for number, key in enumerate(keys):
            await broker.publish(number, "in", key=key)
            await sleep(chance.choice([0, 0.1]))
        await sleep(500)

    for key in "ab":
        assert [n for n in places if keys[n] == key] == [n for n, k in enumerate(keys) if k == key]


def fumbling(broker: FaultyBroker, chance: Random, workers: int | str) -> None:
    """Declare that numbers are forwarded by somebody who crashes, and fails, and whose outputs do."""
    crashed = set[int]()
    mailbox = chance.choice([2, 8, 256])

    async def forward(number: int) -> int:
        broker.faulty.faults["out"] = int(chance.random() < 0.1)
        await sleep(chance.choice([0, 0, 0.3, 2]))
        # No batch crashes twice, which would be its last time.
        if chance.random() < 0.1 and all(abs(number - each) > 10 for each in crashed):
            crashed.add(number)
            raise ActorCrash("unlucky")
        if chance.random() < 0.05:
            raise NackMessage(delay=0.5)
        return number

    async def forward_all(numbers: list[int]) -> list[int | Exception]:
        results: list[int | Exception] = [await forward(number) for number in numbers]
        if chance.random() < 0.2:
            results[-1] = ValueError("unlucky")
        return results

    if isinstance(workers, int):
        taking = broker.subscriber("in", mailbox=mailbox, max_workers=workers)
        broker.publisher("out")(taking(forward))
        return
    taking_all = broker.subscriber(
        "in",
        mailbox=mailbox,
        batch=True,
        max_records=3,
        batch_timeout=0.1,
        ack_policy=AckPolicy.NACK_ON_ERROR,
    )
    broker.publisher("out", batch=True)(taking_all(forward_all))


class Settled(Instrument):
    """Notes when messages were settled, and how."""

    def __init__(self) -> None:
        self.notes: list[tuple[float, Settlement | None]] = []

    def on_outcome(self, place: Place, /) -> OnOutcome | None:
        if place.subscriber is None or not place.subscriber.startswith("forward"):
            return None

        def note(delivery: Delivery, _: Outcome) -> None:
            self.notes.append((current_time(), delivery.settlement))

        return note


async def test_an_instrument_hears_of_a_message_when_it_is_settled() -> None:
    settled = Settled()
    broker = FaultyBroker(instruments=[settled])
    broker.faulty.late["out"] = LAG
    broker.faulty.faults["out"] = 1
    forwarding(broker)

    async with broker:
        await broker.start()
        began = current_time()
        await publish(broker, "a", "a", "b")
        await sleep(20)

    # Of key "a", the first fails, and comes again 0.1 s later; the second is handled again after it.
    assert [(round(at - began, 1), how) for at, how in settled.notes] == [
        (LAG, Settlement.ACK),
        (LAG, Settlement.NACK),
        (2 * LAG + 0.1, Settlement.ACK),
        (3 * LAG + 0.1, Settlement.ACK),
    ]
