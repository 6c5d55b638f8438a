"""What is put around handlers and around what is sent: it sees everything, and changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest
from anyio import Event, current_time, get_cancelled_exc_class, sleep, wait_all_tasks_blocked

from callboard import (
    AckPolicy,
    ActorCrash,
    BatchError,
    DeclarationError,
    MemoryBroker,
    Message,
    NackMessage,
    RejectMessage,
    RequestFailed,
    TestBroker,
)
from callboard.handle._instruments import Instruments
from callboard.instruments import (
    Handle,
    Instrument,
    OnOutcome,
    Outcome,
    Output,
    Place,
    Send,
)
from callboard_brokers import (
    BatchDelivery,
    BrokerError,
    Confirmation,
    Delivery,
    PublishFailed,
    Settlement,
)

from ..faulty import FaultyBroker
from ..spans import SPAN, Spans

pytestmark = pytest.mark.anyio


class Seen(Instrument):
    """Writes down what it sees, in order."""

    def __init__(self) -> None:
        self.handled: list[str] = []
        self.sent: list[str] = []
        self.outcomes: list[tuple[int, Settlement | None, str]] = []
        self.places: list[Place] = []

    def around_handle(self, handle: Handle, place: Place, /) -> Handle:
        self.places.append(place)

        async def seen(message: Message) -> object:
            how = "cut off"
            try:
                result = await handle(message)
                how = "done"
            except get_cancelled_exc_class():
                raise
            except Exception as error:
                how = type(error).__name__
                raise
            finally:
                self.handled.append(how)
            return result

        return seen

    def around_send(self, send: Send, place: Place, /) -> Send:
        self.places.append(place)

        async def seen(outputs: Sequence[Output], cause: Delivery | None) -> Confirmation:
            for each in outputs:
                self.sent.append(f"{each.kind} to {each.target.address}")
            return await send(outputs, cause)

        return seen

    def on_outcome(self, place: Place, /) -> OnOutcome:
        def note(delivery: Delivery, outcome: Outcome) -> None:
            number = len(delivery.parts) if isinstance(delivery, BatchDelivery) else 1
            error = type(outcome.error).__name__ if outcome.error is not None else ""
            self.outcomes.append((number, outcome.settlement, error))

        return note


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def broker(seen: Seen) -> MemoryBroker:
    return MemoryBroker(instruments=[seen])


async def deliver(broker: MemoryBroker, *bodies: object) -> None:
    async with broker:
        await broker.start()
        for body in bodies:
            await broker.publish(body, "orders")
        await wait_all_tasks_blocked()


async def test_a_success_is_seen_with_what_it_publishes(broker: MemoryBroker, seen: Seen) -> None:
    @broker.subscriber("orders")
    @broker.publisher("invoices")
    async def handle(order: int) -> int:
        return order

    await deliver(broker, 1)

    assert seen.handled == ["done"]
    assert seen.sent == ["own to orders", "result to invoices"]
    assert seen.outcomes == [(1, Settlement.ACK, "")]


async def test_a_success_without_outputs_is_an_outcome_too(
    broker: MemoryBroker, seen: Seen
) -> None:
    @broker.subscriber("orders")
    async def handle(order: int) -> None: ...

    await deliver(broker, 1, 2)

    assert seen.outcomes == [(1, Settlement.ACK, "")] * 2


@pytest.mark.parametrize(
    ("error", "settlement"),
    [
        (LookupError("no stock"), Settlement.REJECT),
        (RejectMessage("stale"), Settlement.REJECT),
        (NackMessage(3600), Settlement.NACK),
    ],
)
async def test_a_failure_passes_as_an_exception_and_is_an_outcome(
    broker: MemoryBroker, seen: Seen, error: Exception, settlement: Settlement
) -> None:
    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        raise error

    await deliver(broker, 1)

    assert seen.handled == [type(error).__name__]
    assert seen.outcomes == [(1, settlement, type(error).__name__)]


async def test_a_body_that_does_not_fit_is_seen_as_a_failure(
    broker: MemoryBroker, seen: Seen
) -> None:
    @broker.subscriber("orders")
    async def handle(order: int) -> None: ...

    await deliver(broker, "many")

    assert seen.handled == ["ValidationError"]


async def test_every_try_is_seen_and_its_number(seen: Seen) -> None:
    tries: list[int | None] = []

    class Tries(Instrument):
        def on_outcome(self, place: Place, /) -> OnOutcome:
            return lambda delivery, _outcome: tries.append(delivery.deliveries)

    broker = MemoryBroker(instruments=[seen, Tries()], ack_policy=AckPolicy.NACK_ON_ERROR)

    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        if len(seen.handled) < 2:
            raise LookupError

    async with broker:
        await broker.start()
        await broker.publish(1, "orders")
        await sleep(10)

    assert seen.handled == ["LookupError", "LookupError", "done"]
    assert [settlement for _, settlement, _ in seen.outcomes] == [
        Settlement.NACK,
        Settlement.NACK,
        Settlement.ACK,
    ]
    assert tries[-1] == 3


async def test_a_dead_letter_is_seen_on_its_way_out(seen: Seen) -> None:
    broker = MemoryBroker(instruments=[seen], dead_letter="dead.{address}")

    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        raise RejectMessage("stale")

    await deliver(broker, 1)

    assert seen.sent == ["own to orders", "dead letter to dead.orders"]
    assert seen.outcomes == [(1, Settlement.REJECT, "RejectMessage")]


async def test_of_a_quarantined_message_each_crash_and_the_end_are_seen(
    broker: MemoryBroker, seen: Seen
) -> None:
    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        raise ActorCrash("corrupt")

    async with broker:
        await broker.start()
        await broker.publish(1, "orders")
        await sleep(10)

    assert seen.handled == ["ActorCrash"] * 2
    assert seen.outcomes == [(1, Settlement.REJECT, "Quarantined")]


async def test_a_cancellation_passes_and_leads_to_no_outcome(seen: Seen) -> None:
    broker = MemoryBroker(instruments=[seen], graceful_timeout=1)
    begun = Event()

    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        begun.set()
        await sleep(3600)

    async with broker:
        await broker.start()
        await broker.publish(1, "orders")
        await begun.wait()

    assert (seen.handled, seen.outcomes) == (["cut off"], [])


async def test_a_batch_is_seen_as_one_and_its_failures_one_by_one(seen: Seen) -> None:
    sizes: list[int] = []

    class Sizes(Instrument):
        def around_handle(self, handle: Handle, place: Place, /) -> Handle:
            async def size(message: Message) -> object:
                parts: Sequence[Message] = getattr(message, "parts", [])
                sizes.append(len(parts))
                return await handle(message)

            return size

    broker = MemoryBroker(instruments=[seen, Sizes()])

    @broker.subscriber("orders", batch=True, max_records=3, batch_timeout=1)
    async def handle(orders: list[int]) -> None:
        raise BatchError({1: LookupError("no stock")})

    async with broker:
        await broker.start()
        for n in range(3):
            await broker.publish(n, "orders")
        await sleep(2)

    assert sizes == [3]
    assert seen.outcomes == [(1, Settlement.REJECT, "LookupError"), (2, Settlement.ACK, "")]


async def test_outputs_that_are_not_out_are_seen_to_fail(seen: Seen) -> None:
    settled: list[Settlement | None] = []

    class Failures(Instrument):
        def around_send(self, send: Send, place: Place, /) -> Send:
            async def failing(outputs: Sequence[Output], cause: Delivery | None) -> Confirmation:
                try:
                    return await send(outputs, cause)
                except PublishFailed:
                    seen.sent.append("failed")
                    raise

            return failing

        def on_outcome(self, place: Place, /) -> OnOutcome:
            return lambda delivery, _: settled.append(delivery.settlement)

    broker = FaultyBroker(instruments=[seen, Failures()])
    broker.faulty.faults["invoices"] = 1

    @broker.subscriber("orders")
    @broker.publisher("invoices")
    async def handle(order: int) -> int:
        return order

    async with broker:
        await broker.start()
        await broker.publish(1, "orders")
        await sleep(10)

    assert seen.sent[1:] == ["result to invoices", "failed", "result to invoices"]
    assert settled == [Settlement.NACK, Settlement.ACK]


async def test_a_request_and_its_answer_are_seen(broker: MemoryBroker, seen: Seen) -> None:
    @broker.subscriber("orders")
    async def handle(order: int) -> int:
        if order > 1:
            raise LookupError("no stock")
        return order

    async with broker:
        await broker.start()
        await broker.request(1, "orders")
        with pytest.raises(RequestFailed):
            await broker.request(2, "orders")

    kinds = [each.partition(" to ")[0] for each in seen.sent]
    assert kinds == ["own", "answer", "own", "answer"]
    assert seen.handled == ["done", "LookupError"]


async def test_what_is_read_by_hand_is_an_outcome_that_leaves_it(
    broker: MemoryBroker, seen: Seen
) -> None:
    subscriber = broker.subscriber("orders")
    async with broker:
        await subscriber.start()
        await broker.publish(1, "orders")
        message = await subscriber.get_one()
        assert message is not None
        await message.ack()

    assert seen.outcomes == [(1, None, "")]


async def test_an_instrument_knows_where_it_is_put(broker: MemoryBroker, seen: Seen) -> None:
    @broker.subscriber("orders", max_workers=2)
    async def handle(order: int) -> None: ...

    await deliver(broker)

    places = [(each.broker, each.subscriber) for each in seen.places]
    assert places == [("memory", None), *[("memory", "handle(orders)")] * 2]
    assert seen.places[1].source.address == "orders"


async def test_a_handler_and_all_that_follows_from_its_message_see_its_span() -> None:
    spans = Spans()
    broker = MemoryBroker(instruments=[spans], dead_letter="dead")
    inside: list[int] = []

    @broker.subscriber("orders")
    @broker.publisher("invoices")
    async def first(order: int) -> int:
        inside.append(SPAN.get())
        await broker.publish(order, "copies")
        return order

    @broker.subscriber("invoices", max_workers=2)
    def second(order: int) -> None:
        inside.append(SPAN.get())
        raise LookupError("no stock")

    @broker.subscriber("copies")
    async def third(order: int) -> None: ...

    @broker.subscriber("dead")
    async def fourth(order: int) -> None: ...

    async with TestBroker(broker):
        with pytest.raises(LookupError):
            await broker.publish(1, "orders")

    assert SPAN.get() == 0
    assert spans.links[0] == ("0", 1)
    causes = [int(cause or 0) for cause, _ in spans.links]
    assert sorted(causes) == [0, 1, 1, inside[1]]
    assert inside[0] == 1


async def test_headers_that_are_carried_touch_no_dict_of_the_user() -> None:
    spans = Spans()
    broker = MemoryBroker(instruments=[spans])
    headers = {"span": "mine", "shop": "3"}
    seen: list[dict[str, object]] = []

    @broker.subscriber("orders")
    async def handle(order: int, message: Message) -> None:
        seen.append({**message.headers})

    async with TestBroker(broker):
        await broker.publish(1, "orders", headers=headers)
        await broker.publish(1, "orders", headers={"shop": "3"})

    assert [(each["span"], each["shop"]) for each in seen] == [("mine", "3"), ("0", "3")]
    assert headers == {"span": "mine", "shop": "3"}


async def test_a_span_ends_with_its_message() -> None:
    found: list[int] = []

    class Leaky(Instrument):
        def around_handle(self, handle: Handle, place: Place, /) -> Handle:
            async def leak(message: Message) -> object:
                found.append(SPAN.get())
                SPAN.set(7)
                return await handle(message)

            return leak

    broker = MemoryBroker(instruments=[Leaky()])

    @broker.subscriber("orders")
    async def handle(order: int) -> None: ...

    await deliver(broker, 1, 2)

    assert found == [0, 0]


async def test_the_first_instrument_is_outermost_and_all_are_outside_of_middlewares() -> None:
    order: list[str] = []

    class Named(Instrument):
        def __init__(self, name: str) -> None:
            self._name = name

        def around_handle(self, handle: Handle, place: Place, /) -> Handle:
            async def named(message: Message) -> object:
                order.append(self._name)
                return await handle(message)

            return named

    def middleware(handle: Handle) -> Handle:
        async def inner(message: Message) -> object:
            order.append("middleware")
            return await handle(message)

        return inner

    broker = MemoryBroker(instruments=[Named("a"), Named("b")], middlewares=[middleware])

    @broker.subscriber("orders")
    async def handle(order: int) -> None: ...

    await deliver(broker, 1)

    assert order == ["a", "b", "middleware"]


async def test_an_instrument_that_fails_on_an_outcome_is_told_of_and_harms_nobody(
    seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Instrument):
        def on_outcome(self, place: Place, /) -> OnOutcome:
            def fail(delivery: Delivery, outcome: Outcome) -> None:
                raise OSError("no disk")

            return fail

    broker = MemoryBroker(instruments=[Broken(), seen])

    @broker.subscriber("orders")
    async def handle(order: int) -> None: ...

    await deliver(broker, 1, 2)

    assert len(seen.outcomes) == 2
    assert [each.levelno for each in caplog.records] == [logging.ERROR] * 2
    assert "an instrument of handle(orders) has failed on message" in caplog.messages[0]


class Absent(Instrument):
    """Has no use for anything."""


def test_an_instrument_without_a_use_for_a_part_is_not_there() -> None:
    instruments = Instruments([Absent()], Place(broker="memory", server=""))

    async def handle(message: Message) -> object: ...

    async def send(outputs: Sequence[Output], cause: Delivery | None) -> Confirmation:
        raise NotImplementedError

    assert instruments.around_handle(handle) is handle
    assert instruments.around_send(send) is send
    assert instruments.on_outcome(print) is None


@pytest.mark.parametrize("wrong", [Absent, print, "metrics"])
def test_what_is_no_instrument_is_refused_where_it_is_given(wrong: object) -> None:
    with pytest.raises(DeclarationError, match="instruments="):
        MemoryBroker(instruments=[wrong])  # type: ignore[list-item] # pyright: ignore[reportArgumentType] - that is the point


@pytest.mark.parametrize("wrong", [Absent(), (Absent() for _ in range(1))], ids=["one", "once"])
def test_instruments_that_are_no_list_are_refused(wrong: Any) -> None:
    with pytest.raises(DeclarationError, match=r"^instruments=<.*> of a broker must be a list$"):
        MemoryBroker(instruments=wrong)


async def test_an_outcome_is_told_when_the_outputs_are_confirmed() -> None:
    told: list[tuple[float, Settlement | None]] = []
    confirmed: list[tuple[float, str]] = []

    class Latencies(Instrument):
        """Notes when a confirmation is in, without waiting for it."""

        def around_send(self, send: Send, place: Place, /) -> Send:
            def note(failure: BrokerError | None) -> None:
                confirmed.append((current_time(), type(failure).__name__))

            async def measured(outputs: Sequence[Output], cause: Delivery | None) -> Confirmation:
                sent = await send(outputs, cause)
                if cause is not None:
                    sent.then(note)
                return sent

            return measured

        def on_outcome(self, place: Place, /) -> OnOutcome:
            return lambda delivery, _: told.append((current_time(), delivery.settlement))

    broker = FaultyBroker(instruments=[Latencies()])
    broker.faulty.late["out"] = 1.0
    broker.faulty.faults["out"] = 1

    @broker.publisher("out")
    @broker.subscriber("orders", group="g")
    async def handle(order: int) -> int:
        return order

    async with broker:
        await broker.start()
        began = current_time()
        await broker.publish(1, "orders")
        await sleep(10)

    assert [how for _, how in confirmed] == ["PublishFailed", "NoneType"]
    assert [settlement for _, settlement in told] == [Settlement.NACK, Settlement.ACK]
    times = [at - began for at, _ in told]
    assert times == [at - began for at, _ in confirmed]
    assert times == pytest.approx([1.0, 2.1], abs=0.2)
