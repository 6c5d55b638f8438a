"""Questions, answers, and answers that say that there will be none."""

from __future__ import annotations

import pytest
from anyio import create_task_group, current_time, sleep, sleep_forever, wait_all_tasks_blocked
from pydantic import BaseModel

from callboard import (
    AckPolicy,
    ActorCrash,
    DeclarationError,
    MemoryBroker,
    Message,
    NotRunning,
    RejectMessage,
    RequestFailed,
    RequestTimeout,
    Response,
    TestBroker,
)
from callboard.memory import MemoryMessage
from callboard_brokers import DestinationError

from .faulty import FaultyBroker

pytestmark = pytest.mark.anyio


class Order(BaseModel):
    id: int


async def test_a_request_returns_what_the_handler_returns(broker: MemoryBroker) -> None:
    @broker.subscriber("orders")
    async def find(number: int) -> Order:
        return Order(id=number)

    async with broker:
        await broker.start()
        answer = await broker.request(5, "orders", correlation_id="c")

    assert answer.body == b'{"id":5}'
    assert await answer.decode() == {"id": 5}
    assert answer.correlation_id == "c"


async def test_a_request_works_under_a_test_broker_too(broker: MemoryBroker) -> None:
    @broker.subscriber("orders")
    async def find(number: int) -> str:
        return f"order {number}"

    async with TestBroker(broker):
        answer = await broker.request(5, "orders")

    assert await answer.decode() == "order 5"


async def test_an_answer_has_the_headers_of_the_response(broker: MemoryBroker) -> None:
    @broker.subscriber("orders")
    async def find(number: int) -> Response:
        return Response(number, headers={"x-stock": "3"})

    async with broker:
        await broker.start()
        answer = await broker.request(5, "orders")

    assert answer.headers == {"x-stock": "3"}


async def test_requests_do_not_wait_for_each_other(broker: MemoryBroker) -> None:
    answers: dict[int, object] = {}

    @broker.subscriber("orders", max_workers=5)
    async def find(number: int) -> int:
        await sleep(5 - number)
        return number * 10

    async def ask(number: int) -> None:
        answer = await broker.request(number, "orders")
        answers[number] = await answer.decode()

    async with broker:
        await broker.start()
        began = current_time()
        async with create_task_group() as group:
            for n in range(5):
                group.start_soon(ask, n)

        assert current_time() - began == pytest.approx(5)
    assert answers == {n: n * 10 for n in range(5)}
    assert [*answers] == [4, 3, 2, 1, 0]


async def test_a_handler_may_ask_another(broker: MemoryBroker) -> None:
    @broker.subscriber("prices")
    async def price(order: int) -> int:
        return order * 100

    @broker.subscriber("orders")
    async def find(order: int) -> str:
        answer = await broker.request(order, "prices")
        return f"{order} costs {await answer.decode()}"

    async with broker:
        await broker.start()
        answer = await broker.request(5, "orders")

    assert await answer.decode() == "5 costs 500"


async def test_a_handler_that_fails_answers_with_its_failure(broker: MemoryBroker) -> None:
    @broker.subscriber("orders")
    async def find(number: int) -> Order:
        raise LookupError("no such order")

    async with broker:
        await broker.start()
        with pytest.raises(RequestFailed) as failed:
            await broker.request(5, "orders")

    assert failed.value.kind == "LookupError"
    assert str(failed.value) == (
        "the handler that was asked has failed with LookupError: no such order"
    )


@pytest.mark.parametrize(
    ("body", "kind"), [(b"{", "DecodeError"), ({"id": "x"}, "ValidationError")]
)
async def test_whoever_asks_with_an_invalid_body_is_told(
    broker: MemoryBroker, body: object, kind: str
) -> None:
    @broker.subscriber("orders", ack_policy=AckPolicy.NACK_ON_ERROR)
    async def find(order: Order) -> None: ...

    async with broker:
        await broker.start()
        with pytest.raises(RequestFailed) as failed:
            await broker.request(body, "orders")

    assert failed.value.kind == kind


async def test_whoever_asks_for_what_cannot_be_encoded_is_told(broker: MemoryBroker) -> None:
    @broker.subscriber("orders")
    async def find(number: int) -> object:
        return object()

    async with broker:
        await broker.start()
        with pytest.raises(RequestFailed, match="'object' cannot be encoded"):
            await broker.request(1, "orders")


async def test_a_rejection_is_an_answer(broker: MemoryBroker) -> None:
    @broker.subscriber("orders")
    async def find(number: int) -> Order:
        raise RejectMessage("sold out")

    async with broker:
        await broker.start()
        with pytest.raises(RequestFailed, match="RejectMessage: sold out"):
            await broker.request(5, "orders")


async def test_a_message_that_crashes_its_actor_twice_is_answered_too(
    broker: MemoryBroker,
) -> None:
    @broker.subscriber("orders")
    async def find(number: int) -> Order:
        raise ActorCrash("corrupt")

    async with broker:
        await broker.start()
        with pytest.raises(RequestFailed) as failed:
            await broker.request(5, "orders")

    assert failed.value.kind == "Quarantined"
    assert len(broker.dead_letters()) == 1


async def test_a_failure_that_is_tried_again_is_no_answer(broker: MemoryBroker) -> None:
    @broker.subscriber("orders", ack_policy=AckPolicy.NACK_ON_ERROR)
    async def find(number: int, message: MemoryMessage) -> str:
        if message.raw_message.deliveries < 3:
            raise OSError("not now")
        return "at last"

    async with broker:
        await broker.start()
        answer = await broker.request(5, "orders")

    assert await answer.decode() == "at last"


async def test_a_request_ends_with_its_timeout(broker: MemoryBroker) -> None:
    broker = MemoryBroker(graceful_timeout=1)

    @broker.subscriber("orders")
    async def find(number: int) -> None:
        await sleep_forever()

    async with broker:
        await broker.start()
        began = current_time()
        with pytest.raises(RequestTimeout, match=r"no reply from 'orders' within 2.5 s"):
            await broker.request(5, "orders", timeout=2.5)

        assert current_time() - began == pytest.approx(2.5)


async def test_a_subscriber_with_no_reply_does_not_answer(broker: MemoryBroker) -> None:
    @broker.subscriber("orders", no_reply=True)
    async def find(number: int) -> Order:
        if number:
            raise ValueError
        return Order(id=number)

    async with broker:
        await broker.start()
        for n in range(2):
            with pytest.raises(RequestTimeout):
                await broker.request(n, "orders", timeout=1)


async def test_a_request_that_nobody_reads_fails_at_once(broker: MemoryBroker) -> None:
    async with broker:
        with pytest.raises(DestinationError, match="nobody reads 'orders', so nobody can reply"):
            await broker.request(5, "orders")


async def test_a_request_before_the_start_says_so(broker: MemoryBroker) -> None:
    with pytest.raises(NotRunning, match="memory is not running"):
        await broker.request(5, "orders")


async def test_a_broker_without_requests_says_so() -> None:
    broker = FaultyBroker()
    async with broker:
        with pytest.raises(DeclarationError, match="the broker of 'orders' has no way to wait"):
            await broker.request(5, "orders")


async def test_reply_to_names_where_the_result_goes(broker: MemoryBroker) -> None:
    heard: list[Message] = []

    @broker.publisher("out.published")
    @broker.subscriber("in")
    async def handle(number: int) -> int:
        return number + 1

    @broker.subscriber("out.{where}")
    async def hear(message: Message) -> None:
        heard.append(message)

    async with broker:
        await broker.start()
        await broker.publish(1, "in", reply_to="out.answered", correlation_id="c", key="k")
        await wait_all_tasks_blocked()

    # The answer goes out before what the decorators publish.
    assert [(each.address, each.body, each.correlation_id) for each in heard] == [
        ("out.answered", b"2", "c"),
        ("out.published", b"2", "c"),
    ]


async def test_a_failure_goes_to_the_reply_address_with_its_kind_in_a_header(
    broker: MemoryBroker,
) -> None:
    heard: list[Message] = []

    @broker.subscriber("in")
    async def handle(number: int) -> int:
        raise ValueError("no")

    @broker.subscriber("out")
    async def hear(message: Message) -> None:
        heard.append(message)

    async with broker:
        await broker.start()
        await broker.publish(1, "in", reply_to="out", correlation_id="c")
        await wait_all_tasks_blocked()

    [answer] = heard
    assert answer.headers == {"x-callboard-failure": "ValueError"}
    assert (answer.body, answer.correlation_id) == (b"no", "c")


async def test_an_answer_is_nobodys_to_settle(broker: MemoryBroker) -> None:
    @broker.subscriber("orders")
    async def find(number: int) -> int:
        return number

    async with broker:
        await broker.start()
        answer = await broker.request(5, "orders")

    assert not answer.processed
