"""Brokers and applications under test."""

from __future__ import annotations

import json
from typing import Annotated, Any
from unittest.mock import ANY

import anyio
import pytest
from anyio import create_task_group, wait_all_tasks_blocked
from pydantic import BaseModel, ValidationError

from callboard import (
    AckPolicy,
    ActorCrash,
    App,
    Broker,
    Context,
    ContextRepo,
    DeclarationError,
    DecodeError,
    Event,
    GaveUp,
    MemoryBroker,
    Message,
    NackMessage,
    NotRunning,
    Quarantined,
    RejectMessage,
    RequestFailed,
    RequestTimeout,
    SkipMessage,
    Supervision,
    TestApp,
    TestBroker,
    TestMemoryBroker,
)
from callboard.events import MessageDeadLettered
from callboard.kafka import KafkaBroker, TestKafkaBroker

pytestmark = pytest.mark.anyio


class Order(BaseModel):
    id: int


async def test_publish_returns_when_the_whole_chain_has_settled(broker: MemoryBroker) -> None:
    shipped: list[int] = []

    @broker.subscriber("orders")
    @broker.publisher("invoices")
    async def price(order: Order) -> Order:
        await anyio.sleep(1)
        return order

    @broker.subscriber("invoices")
    async def ship(order: Order) -> None:
        await anyio.sleep(1)
        shipped.append(order.id)

    async with TestBroker(broker):
        await broker.publish(Order(id=1), "orders")

        assert shipped == [1]


async def test_a_publish_inside_a_handler_does_not_wait_for_itself(broker: MemoryBroker) -> None:
    left = 3

    @broker.subscriber("countdown")
    async def count(number: int) -> None:
        nonlocal left
        left = number
        if number:
            await broker.publish(number - 1, "countdown")

    async with TestBroker(broker):
        await broker.publish(left, "countdown")

        assert left == 0


async def test_an_actor_may_publish_while_it_starts_and_stops(broker: MemoryBroker) -> None:
    @broker.subscriber("log", group="log")
    async def log(line: str) -> None: ...

    @broker.subscriber("orders")
    class Clerk:
        async def on_start(self) -> None:
            await broker.publish("started", "log")

        async def receive(self, order: str) -> None: ...

        async def on_stop(self, reason: object) -> None:
            await broker.publish("stopped", "log")

    async with TestBroker(broker):
        await wait_all_tasks_blocked()
        await log.assert_called_once_with("started")


async def test_a_handler_may_ask_another(broker: MemoryBroker) -> None:
    @broker.subscriber("prices")
    async def price(order: int) -> int:
        return 10 * order

    @broker.subscriber("orders")
    @broker.publisher("invoices")
    async def handle(order: int) -> Any:
        return await (await broker.request(order, "prices")).decode()

    invoices = broker.publishers[0]
    async with TestBroker(broker):
        await broker.publish(2, "orders")

        invoices.mock.assert_called_once_with(20)


@pytest.mark.parametrize(
    ("body", "error"),
    [(b"{", DecodeError), ({"id": "x"}, ValidationError), ({"id": 13}, LookupError)],
)
async def test_publish_raises_what_a_handler_raised(
    broker: MemoryBroker, body: object, error: type[Exception]
) -> None:
    @broker.subscriber("orders")
    async def handle(order: Order) -> None:
        raise LookupError(order.id)

    async with TestBroker(broker):
        with pytest.raises(error):
            await broker.publish(body, "orders", content_type="application/json")
        with pytest.raises(LookupError, match="1"):
            await broker.publish({"id": 1}, "orders")


async def test_publish_raises_what_failed_further_down(broker: MemoryBroker) -> None:
    @broker.subscriber("orders")
    @broker.publisher("invoices")
    async def price(order: int) -> int:
        return order

    @broker.subscriber("invoices")
    async def ship(order: int) -> None:
        raise LookupError("no address")

    async with TestBroker(broker):
        with pytest.raises(LookupError, match="no address"):
            await broker.publish(1, "orders")


async def test_publish_raises_that_a_message_was_quarantined(broker: MemoryBroker) -> None:
    @broker.subscriber("orders")
    class Clerk:
        async def receive(self, order: int) -> None:
            raise ActorCrash("corrupt")

    async with TestBroker(broker):
        with pytest.raises(Quarantined):
            await broker.publish(1, "orders")


async def test_a_failed_message_is_a_dead_letter_of_the_memory_that_stands_in(
    broker: MemoryBroker,
) -> None:
    @broker.subscriber("orders")
    async def handle(order: Order) -> None: ...

    test = TestBroker(broker)
    async with test:
        with pytest.raises(ValidationError):
            await broker.publish({"id": "x"}, "orders")

        assert [letter.address for letter in test.memory.dead_letters()] == ["orders"]


@pytest.mark.parametrize("signal", [NackMessage(5), RejectMessage("no"), SkipMessage()])
async def test_what_a_handler_raises_on_purpose_is_no_failure(
    broker: MemoryBroker, signal: Exception
) -> None:
    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        raise signal

    async with TestBroker(broker):
        await broker.publish(1, "orders")

        await handle.assert_called_once_with(1)


async def test_a_message_that_waits_in_its_lane_counts_as_settled_until_it_is_tried_again(
    broker: MemoryBroker,
) -> None:
    tried: list[int] = []
    ended: list[int] = []

    @broker.subscriber("orders")
    async def handle(number: int) -> None:
        tried.append(number)
        if tried in ([0], [0, 0]):
            raise NackMessage(delay=5)
        await anyio.sleep(1)
        ended.append(number)

    async with TestBroker(broker):
        await broker.publish(0, "orders", key="k")
        await broker.publish(1, "other")
        assert tried == [0]
        await anyio.sleep(5.5)
        assert tried == [0, 0]
        await anyio.sleep(5)
        assert tried == [0, 0, 0]
        await broker.publish(1, "other")
        assert ended == [0]


async def test_a_nacked_message_counts_as_settled_until_it_is_due(broker: MemoryBroker) -> None:
    tries: list[float] = []

    @broker.subscriber("orders", ack_policy=AckPolicy.NACK_ON_ERROR)
    async def handle(order: int) -> None:
        tries.append(anyio.current_time())
        if len(tries) == 1:
            raise LookupError("not yet")

    async with TestBroker(broker):
        with pytest.raises(LookupError):
            await broker.publish(1, "orders")
        assert len(tries) == 1
        await anyio.sleep(1)
        await broker.publish(2, "orders")

        assert len(tries) == 3


async def test_a_message_that_is_redelivered_at_once_is_waited_for(broker: MemoryBroker) -> None:
    tries: list[int] = []

    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        tries.append(order)
        if len(tries) < 3:
            raise NackMessage(0)

    async with TestBroker(broker):
        await broker.publish(1, "orders")

        assert tries == [1, 1, 1]


async def test_a_failure_that_nobody_waited_for_is_not_raised_by_the_next_publish(
    broker: MemoryBroker,
) -> None:
    @broker.subscriber("orders", ack_policy=AckPolicy.NACK_ON_ERROR)
    async def handle(order: int) -> None:
        if order == 1:
            raise LookupError("never")

    async with TestBroker(broker):
        with pytest.raises(LookupError):
            await broker.publish(1, "orders")
        await anyio.sleep(0.2)
        assert handle.mock.call_count == 2
        await broker.publish(2, "orders")


async def test_what_is_left_unsettled_is_not_waited_for(broker: MemoryBroker) -> None:
    left: list[Message] = []

    @broker.subscriber("orders", ack_policy=AckPolicy.MANUAL)
    async def leave(order: int, message: Message) -> None:
        left.append(message)

    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        await anyio.sleep(1)

    async with TestBroker(broker):
        await broker.publish(1, "orders")
        await broker.publish(2, "orders")
        await left[0].ack()
        await broker.publish(3, "orders")

        assert handle.mock.call_count == 3


@pytest.mark.parametrize("policy", [AckPolicy.ACK_FIRST, AckPolicy.MANUAL])
async def test_a_handler_that_settles_early_is_waited_for(
    broker: MemoryBroker, policy: AckPolicy
) -> None:
    ended: list[int] = []

    @broker.subscriber("orders", ack_policy=policy)
    @broker.publisher("invoices")
    async def handle(order: int, message: Message) -> int:
        await message.ack()
        await anyio.sleep(1)
        return order

    @broker.subscriber("invoices")
    async def end(order: int) -> None:
        ended.append(order)

    async with TestBroker(broker):
        await broker.publish(1, "orders")

        assert ended == [1]


async def test_publishers_at_the_same_time_all_return(broker: MemoryBroker) -> None:
    @broker.subscriber("orders", max_workers=4)
    async def handle(order: int) -> None:
        await anyio.sleep(order)

    async with TestBroker(broker):
        async with create_task_group() as tasks:
            for order in range(4):
                tasks.start_soon(broker.publish, order, "orders")

        assert handle.mock.call_count == 4


async def test_publishing_to_nobody_returns(broker: MemoryBroker) -> None:
    async with TestBroker(broker):
        await broker.publish(1, "nowhere")


async def test_a_request_returns_the_answer_and_waits_for_the_rest(broker: MemoryBroker) -> None:
    shipped: list[int] = []

    @broker.subscriber("prices")
    @broker.publisher("invoices")
    async def price(order: int) -> int:
        return 10 * order

    @broker.subscriber("invoices")
    async def ship(invoice: int) -> None:
        await anyio.sleep(1)
        shipped.append(invoice)

    async with TestBroker(broker):
        answer = await broker.request(2, "prices")

        assert await answer.decode() == 20
        assert shipped == [20]


async def test_a_request_says_that_the_handler_failed(broker: MemoryBroker) -> None:
    @broker.subscriber("prices")
    async def price(order: int) -> int:
        raise LookupError(order)

    @broker.subscriber("orders")
    async def handle(order: int) -> None: ...

    async with TestBroker(broker):
        with pytest.raises(RequestFailed, match="LookupError"):
            await broker.request(2, "prices")
        await broker.publish(1, "orders")


async def test_a_request_without_an_answer_names_the_cause(broker: MemoryBroker) -> None:
    @broker.subscriber("prices", no_reply=True)
    async def price(order: int) -> int:
        raise LookupError("unknown")

    async with TestBroker(broker):
        with pytest.raises(RequestTimeout) as caught:
            await broker.request(2, "prices", timeout=5)

    assert isinstance(caught.value.__cause__, LookupError)


async def test_outputs_that_cannot_be_published_are_raised(broker: MemoryBroker) -> None:
    other = MemoryBroker()  # never started

    @broker.subscriber("orders")
    @other.publisher("invoices")
    async def handle(order: int) -> int:
        return order

    async with TestBroker(broker):
        with pytest.raises(NotRunning):
            await broker.publish(1, "orders")


async def test_mocks_get_the_decoded_body(broker: MemoryBroker) -> None:
    @broker.subscriber("orders")
    async def handle(order: Order) -> None: ...

    async with TestBroker(broker):
        await broker.publish(Order(id=1), "orders")
        handle.mock.assert_called_once_with({"id": 1})
        await broker.publish(Order(id=2), "orders")

        await handle.assert_called_with({"id": 2})
        await handle.assert_any_call({"id": 1})
        with pytest.raises(AssertionError):
            await handle.assert_called_once_with({"id": 1})


async def test_mocks_are_called_although_the_validation_fails(broker: MemoryBroker) -> None:
    @broker.subscriber("orders")
    async def handle(order: Order) -> None: ...

    async with TestBroker(broker):
        with pytest.raises(ValidationError):
            await broker.publish("wrong message", "orders")

        handle.mock.assert_called_once_with("wrong message")


async def test_mocks_begin_anew_with_every_test(broker: MemoryBroker) -> None:
    @broker.subscriber("orders")
    async def handle(order: int) -> None: ...

    test = TestBroker(broker)
    for order in (1, 2):
        async with test:
            await broker.publish(order, "orders")
            handle.mock.assert_called_once_with(order)

    with pytest.raises(DeclarationError, match=r"'handle'.* is not under test"):
        _ = handle.mock


async def test_one_function_on_two_brokers_has_one_mock() -> None:
    one, two = MemoryBroker(), MemoryBroker()

    @one.subscriber("orders")
    @two.subscriber("parcels")
    async def handle(order: int) -> None: ...

    async with TestBroker(one, two):
        await one.publish(1, "orders")
        await two.publish(2, "parcels")

        assert [call.args for call in handle.mock.call_args_list] == [(1,), (2,)]


async def test_wait_call_waits_for_a_call(broker: MemoryBroker) -> None:
    @broker.subscriber("orders")
    async def handle(order: int) -> None: ...

    async with TestBroker(broker):
        with pytest.raises(TimeoutError):
            await handle.wait_call(timeout=1)
        await broker.publish(1, "orders", delay=2)
        await handle.wait_call(timeout=3)

        await handle.assert_called_once_with(1)


async def test_a_publisher_hears_the_body_as_a_reader_would_decode_it(
    broker: MemoryBroker,
) -> None:
    numbers = broker.publisher("numbers")

    @broker.subscriber("orders")
    @numbers
    async def handle(order: int) -> tuple[int, int, int]:
        return order, 2, 3

    async with TestBroker(broker):
        await broker.publish(1, "orders")

        numbers.mock.assert_called_once_with([1, 2, 3])


async def test_a_publisher_hears_what_is_published_to_its_address_by_hand(
    broker: MemoryBroker,
) -> None:
    numbers = broker.publisher("numbers")

    async with TestBroker(broker):
        await numbers.publish(1)
        await broker.publish(2, "numbers")
        await broker.publish(b"{", "numbers", content_type="application/json")
        await broker.publish(3, "letters")

        assert [call.args for call in numbers.mock.call_args_list] == [(1,), (2,), (b"{",)]


async def test_a_publisher_and_a_subscriber_of_one_address_both_hear(broker: MemoryBroker) -> None:
    numbers = broker.publisher("numbers")

    @broker.subscriber("numbers")
    async def handle(number: int) -> None: ...

    async with TestBroker(broker):
        await numbers.publish(1)

        numbers.mock.assert_called_once_with(1)
        handle.mock.assert_called_once_with(1)


async def test_several_brokers_pass_messages_to_each_other() -> None:
    one, two = MemoryBroker(), MemoryBroker()

    @one.subscriber("orders")
    @two.publisher("invoices")
    async def price(order: int) -> int:
        return 10 * order

    @two.subscriber("invoices")
    async def ship(invoice: int) -> None: ...

    async with TestBroker(one, two) as brokers:
        await one.publish(1, "orders")

        assert brokers == (one, two)
        ship.mock.assert_called_once_with(10)


async def test_brokers_of_two_kinds_are_two_servers_under_one_test() -> None:
    kafka, memory = KafkaBroker("kafka:9092"), MemoryBroker()

    @kafka.subscriber("orders", group_id="clerks")
    @memory.publisher("invoices")
    async def price(order: int) -> int:
        return 10 * order

    @kafka.subscriber("invoices", group_id="clerks")
    async def elsewhere(invoice: int) -> None: ...

    @memory.subscriber("invoices")
    async def ship(invoice: int) -> None: ...

    async with TestBroker(kafka, memory):
        await kafka.publish(1, "orders")

        ship.mock.assert_called_once_with(10)
        elsewhere.mock.assert_not_called()


async def test_what_a_handler_of_another_kind_of_broker_raises_reaches_the_publisher() -> None:
    kafka, memory = KafkaBroker("kafka:9092"), MemoryBroker()

    @memory.subscriber("orders")
    @kafka.publisher("invoices")
    async def price(order: int) -> int:
        return 10 * order

    @kafka.subscriber("invoices", group_id="clerks")
    async def ship(invoice: int) -> None:
        raise ValueError("no")

    async with TestBroker(memory, kafka):
        with pytest.raises(ValueError, match="no"):
            await memory.publish(1, "orders")


async def test_two_tests_share_nothing() -> None:
    one, two = MemoryBroker(), MemoryBroker()

    @one.subscriber("orders")
    async def here(order: int) -> None: ...

    @two.subscriber("orders")
    async def there(order: int) -> None: ...

    async with TestBroker(one), TestBroker(two):
        await one.publish(1, "orders")

        here.mock.assert_called_once_with(1)
        there.mock.assert_not_called()


async def test_readers_of_one_group_share_its_messages(broker: MemoryBroker) -> None:
    @broker.subscriber("orders", group="clerks")
    async def first(order: int) -> None: ...

    @broker.subscriber("orders", group="clerks")
    async def second(order: int) -> None: ...

    async with TestMemoryBroker(broker):
        for order in range(4):
            await broker.publish(order, "orders")

        assert first.mock.call_count + second.mock.call_count == 4


async def test_a_running_broker_is_refused_and_not_touched(broker: MemoryBroker) -> None:
    other = MemoryBroker()

    @broker.subscriber("orders")
    async def handle(order: int) -> None: ...

    async with broker:
        with pytest.raises(DeclarationError, match="running already"):
            async with TestBroker(other, broker):
                pass
        await broker.ping()
        with pytest.raises(DeclarationError, match="not under test"):
            _ = handle.mock
    async with other:
        await other.ping()


async def test_a_test_needs_a_broker() -> None:
    with pytest.raises(DeclarationError, match="tests nothing"):
        TestBroker()


async def test_a_broker_that_cannot_start_under_test_is_left_as_it_was(
    broker: MemoryBroker,
) -> None:
    @broker.subscriber("orders")
    class Store:
        def __init__(self, price: Annotated[int, Context()]) -> None: ...

        async def receive(self, order: int) -> None: ...

    with pytest.raises(DeclarationError, match="price"):
        async with TestBroker(broker):
            pass
    broker.context.set_global("price", 1)
    async with TestBroker(broker):
        await broker.publish(1, "orders")


async def test_after_the_test_the_broker_runs_as_ever(broker: MemoryBroker) -> None:
    handled: list[int] = []

    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        handled.append(order)

    async with TestBroker(broker):
        await broker.publish(1, "orders")
    with pytest.raises(NotRunning):
        await broker.publish(2, "orders")
    async with broker:
        await broker.start()
        await broker.publish(3, "orders")
        await wait_all_tasks_blocked()

    assert handled == [1, 3]


async def test_a_failed_test_ends_at_once(broker: MemoryBroker) -> None:
    called = anyio.Event()

    @broker.subscriber("orders")
    async def never_return(order: int) -> None:
        called.set()
        await anyio.sleep_forever()

    async def fail() -> None:
        async with TestBroker(broker):
            await broker.publish(1, "orders", delay=1)
            await called.wait()
            raise LookupError("failed")

    began = anyio.current_time()
    with pytest.raises(LookupError, match="failed"):
        await fail()
    assert anyio.current_time() == began + 1
    assert not await broker.ping()


async def test_a_broker_that_gave_up_fails_the_test(broker: MemoryBroker) -> None:
    @broker.subscriber("orders")
    async def leave(order: int) -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        async with TestBroker(broker):
            await broker.publish(1, "orders")


async def test_a_publish_to_a_subscriber_that_gives_up_returns(broker: MemoryBroker) -> None:
    starts: list[int] = []

    @broker.subscriber("orders", supervision=Supervision(intensity=0))
    class Doomed:
        async def on_start(self) -> None:
            starts.append(1)
            if len(starts) > 1:
                raise LookupError("no shelf")

        async def receive(self, order: int) -> None:
            raise ActorCrash("corrupt")

    async def outlive() -> None:
        async with TestBroker(broker):
            await broker.publish(1, "orders")
            await anyio.sleep(60)
            with pytest.raises(NotRunning):
                await broker.publish(1, "orders")

    with pytest.raises(GaveUp):
        await outlive()


async def test_a_broker_that_only_connects_is_started_by_hand(broker: MemoryBroker) -> None:
    @broker.subscriber("orders")
    async def handle(order: int) -> None: ...

    async with TestBroker(broker, connect_only=True):
        await broker.publish(1, "orders")
        await broker.start()
        await broker.publish(2, "orders")

        handle.mock.assert_called_once_with(2)


async def test_the_hooks_of_an_application_run_around_a_test(broker: MemoryBroker) -> None:
    app = App(broker)
    lines: list[str] = []

    @app.on_startup
    async def prepare(context: ContextRepo) -> None:
        context.set_global("price", 10)

    @app.on_shutdown
    async def end() -> None:
        await broker.ping()
        lines.append("ended")

    @broker.subscriber("orders")
    async def handle(order: int, price: Annotated[int, Context()]) -> None:
        lines.append(json.dumps(order * price))

    async with TestBroker(broker, connect_only=True), TestApp(app) as running:
        assert running is app
        await broker.publish(2, "orders")
        assert lines == ["20"]
    assert lines == ["20", "ended"]


async def test_an_application_under_test_starts_the_brokers_that_are_not(
    broker: MemoryBroker,
) -> None:
    async with TestApp(App(broker)):
        await broker.ping()
    assert not await broker.ping()


async def test_the_hooks_of_an_application_end_after_a_failed_test(broker: MemoryBroker) -> None:
    app = App(broker)
    ended: list[bool] = []

    @app.after_shutdown
    async def end() -> None:
        ended.append(True)

    with pytest.raises(ZeroDivisionError):
        async with TestApp(app):
            _ = 1 / 0
    assert ended


async def test_what_the_adapter_tells_is_told_on_every_broker_that_shares_its_memory() -> None:
    broker, other, kafka = MemoryBroker(), MemoryBroker(), KafkaBroker()
    brokers: tuple[Broker[Any], ...] = (broker, other, kafka)
    told = [list[Event]() for _ in brokers]
    for each, events in zip(brokers, told, strict=True):
        each.events.subscribe(events.append)

    @broker.subscriber("orders", group="g")
    async def handle(order: int) -> None:
        raise RejectMessage("stale")

    async with TestBroker(*brokers):
        await broker.publish(1, "orders")

    letters = [
        [(each.address, each.group) for each in events if isinstance(each, MessageDeadLettered)]
        for events in told
    ]
    assert letters == [[("orders", "g")], [("orders", "g")], []]


async def test_wait_call_returns_when_the_call_has_ended_and_raises_what_it_raised(
    broker: MemoryBroker,
) -> None:
    ended: list[int] = []

    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        await anyio.sleep(1)
        ended.append(order)
        if order == 2:
            raise LookupError("failed")
        if order == 3:
            raise RejectMessage

    async with TestBroker(broker):
        for order in (1, 2, 3):
            await broker.publish(order, "orders", delay=1)
            await anyio.sleep(1.5)
            assert order not in ended
            await anyio.sleep(1)
            if order == 2:
                with pytest.raises(LookupError, match="failed"):
                    await handle.wait_call()
            else:
                await handle.wait_call()
            assert order in ended


async def test_assertions_compare_what_they_are_given(broker: MemoryBroker) -> None:
    @broker.publisher("answers", headers={"of": "us"})
    @broker.subscriber("orders.{country}")
    async def handle(order: dict[str, int]) -> int:
        return order["id"]

    broker.context.set_global("shop", {"name": "corner"})
    async with TestBroker(broker):
        with pytest.raises(AssertionError, match="it was not called"):
            await handle.assert_called_with()
        await broker.publish({"id": 1}, "orders.fr", headers={"a": "1", "b": "2"}, key="k")
        with broker.context.scope("shop", {"name": "other"}):
            await broker.publish({"id": 2}, "orders.de", correlation_id="c")

        await handle.assert_any_call({"id": 1}, headers={"b": "2"}, key="k", path={"country": "fr"})
        await handle.assert_called_with(
            {"id": ANY}, correlation_id="c", address="orders.de", context={"shop.name": "corner"}
        )
        await broker.publishers[0].assert_called_with(2, headers={"of": "us"})
        with pytest.raises(AssertionError, match="it was called 2 times, not once"):
            await handle.assert_called_once_with()
        with pytest.raises(AssertionError, match=r"body was .* not 3; or body was .* not 3"):
            await handle.assert_any_call(3)


async def test_of_a_batch_only_the_body_is_compared(broker: MemoryBroker) -> None:
    batches = broker.publisher("orders", batch=True)

    @broker.subscriber("orders", batch=True)
    async def handle(orders: list[int]) -> None: ...

    async with TestBroker(broker):
        await batches.publish(1, 2)

        await handle.assert_called_once_with([1, 2])
        batches.mock.assert_called_once_with([1, 2])
        with pytest.raises(DeclarationError, match="of a batch only the body can be compared"):
            await handle.assert_called_with([1, 2], key="k")


async def test_a_real_broker_remembers_calls_under_test(broker: MemoryBroker) -> None:
    @broker.publisher("squares")
    @broker.subscriber("numbers")
    async def square(number: int) -> int:
        await anyio.sleep(1)
        return number * number

    async with TestBroker(broker, with_real=True):
        await broker.publish(3, "numbers")
        assert not square.mock.called

        await square.wait_call(timeout=2)
        await broker.publishers[0].wait_call()

        square.mock.assert_called_once_with(3)
        broker.publishers[0].mock.assert_called_once_with(9)
    assert not broker.running


async def test_brokers_that_are_entered_one_after_another_are_waited_for_together(
    broker: MemoryBroker,
) -> None:
    kafka = KafkaBroker()
    heard: list[int] = []

    @kafka.publisher("orders")
    @kafka.subscriber("requests")
    async def order(number: int) -> int:
        await broker.publish(number, "orders")
        return number

    @broker.subscriber("orders")
    async def hear(number: int) -> None:
        await anyio.sleep(1)
        heard.append(number)

    async with TestKafkaBroker(kafka), TestMemoryBroker(broker):
        await kafka.publish(1, "requests")

        assert heard == [1]


def test_an_application_is_tested_without_an_event_loop(broker: MemoryBroker) -> None:
    app = App(broker)
    told: list[str] = []

    @app.after_startup
    async def up() -> None:
        told.append("up")

    @app.on_shutdown
    def down() -> None:
        told.append("down")

    with TestApp(app) as running:
        assert running.running
        assert told == ["up"]

    assert told == ["up", "down"]
