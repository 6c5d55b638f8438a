"""A message that comes again is handled once."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import Event, current_time, sleep

from callboard import (
    AckMessage,
    DeclarationError,
    Idempotency,
    MemoryBroker,
    Message,
    Response,
    Retry,
)
from callboard.idempotency import Claim, MemoryStore
from callboard.memory import TestMemoryBroker

pytestmark = pytest.mark.anyio

ANY: Any = MemoryBroker()


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


async def test_what_comes_twice_is_handled_once_and_its_result_leaves_again(
    broker: MemoryBroker, store: MemoryStore
) -> None:
    handled, out = list[int](), list[list[int]]()

    @broker.publisher("out")
    @broker.subscriber("in", idempotent=Idempotency(store))
    async def double(number: int) -> list[int]:
        handled.append(number)
        return [number, 2 * number]

    @broker.subscriber("out")
    async def hear(numbers: list[int]) -> None:
        out.append(numbers)

    async with TestMemoryBroker(broker):
        for _ in range(2):
            await broker.publish(1, "in", message_id="one")
        await broker.publish(1, "in", message_id="two")
        answer = await broker.request(7, "in", message_id="one")

    assert handled == [1, 1]
    assert out == [[1, 2]] * 4
    assert await answer.decode() == [1, 2]


async def test_subscribers_have_keys_of_their_own(broker: MemoryBroker, store: MemoryStore) -> None:
    handled: list[str] = []
    options = Idempotency(store, key=lambda message: str(message.headers["order"]))

    @broker.subscriber("in", idempotent=options)
    async def one(body: str) -> None:
        handled.append(body)

    @broker.subscriber("in", idempotent=options)
    async def other(body: str) -> None:
        handled.append(body)

    async with TestMemoryBroker(broker):
        for n in range(2):
            await broker.publish(f"{n}", "in", headers={"order": "7"})

    assert handled == ["0", "0"]


async def test_a_failure_frees_the_claim_for_the_next_try(
    broker: MemoryBroker, store: MemoryStore
) -> None:
    tries: list[int] = []

    @broker.subscriber("in", idempotent=Idempotency(store), retry=Retry(attempts=3))
    async def handle(number: int) -> None:
        tries.append(number)
        if len(tries) < 3:
            raise ValueError(number)

    async with TestMemoryBroker(broker):
        await broker.publish(1, "in", message_id="one")
        await sleep(60)
        await broker.publish(1, "in", message_id="one")

    assert tries == [1, 1, 1]


@pytest.mark.parametrize(
    ("how", "dead_letter"), [("nack", None), ("reject", None), ("reject", "dead")]
)
async def test_what_is_given_back_by_hand_is_not_done(
    broker: MemoryBroker, store: MemoryStore, how: str, dead_letter: str | None
) -> None:
    tries: list[int] = []

    @broker.subscriber("in", dead_letter=dead_letter, idempotent=Idempotency(store))
    async def handle(number: int, message: Message) -> int:
        tries.append(number)
        if len(tries) == 1:
            await getattr(message, how)()
        return number

    async with TestMemoryBroker(broker):
        await broker.publish(1, "in", message_id="one")
        await sleep(60)
        for _ in range(2):
            await broker.publish(1, "in", message_id="one")

    assert tries == [1, 1]


async def test_what_is_acknowledged_by_raising_is_done_and_nothing_leaves(
    broker: MemoryBroker, store: MemoryStore
) -> None:
    handled, out = list[int](), list[str]()

    @broker.publisher("out")
    @broker.subscriber("in", idempotent=Idempotency(store))
    async def handle(number: int) -> int:
        handled.append(number)
        raise AckMessage

    @broker.subscriber("out")
    async def hear(body: str) -> None:
        out.append(body)

    async with TestMemoryBroker(broker):
        for _ in range(2):
            await broker.publish(1, "in", message_id="one")

    assert handled == [1]
    assert out == []


async def test_what_is_held_elsewhere_comes_again_and_is_no_failure(
    broker: MemoryBroker, store: MemoryStore
) -> None:
    handled, dead = list[float](), list[str]()
    options = Idempotency(store, lease=20)

    @broker.subscriber("in", dead_letter="dead", retry=Retry(attempts=2), idempotent=options)
    async def handle(number: int) -> None:
        handled.append(current_time() - begun)

    @broker.subscriber("dead")
    async def bury(body: str) -> None:
        dead.append(body)

    async with TestMemoryBroker(broker):
        begun = current_time()
        await store.claim("handle(in):one", "somebody who has died", 20)
        await broker.publish(1, "in", message_id="one")
        await sleep(60)

    assert dead == []
    assert len(handled) == 1
    assert handled[0] >= 20


async def test_a_claim_is_extended_as_long_as_its_handler_runs(
    broker: MemoryBroker, store: MemoryStore
) -> None:
    handled: list[int] = []

    @broker.subscriber(
        "in", max_workers=2, ordered_by="none", idempotent=Idempotency(store, lease=3)
    )
    async def handle(number: int) -> None:
        handled.append(number)
        await sleep(100)

    async with TestMemoryBroker(broker):
        for _ in range(2):
            await broker.publish(1, "in", message_id="one")
        await sleep(200)

    assert handled == [1]


async def test_a_key_is_forgotten_after_its_time(broker: MemoryBroker, store: MemoryStore) -> None:
    handled: list[int] = []

    @broker.subscriber("in", idempotent=Idempotency(store, ttl=60))
    async def handle(number: int) -> None:
        handled.append(number)

    async with TestMemoryBroker(broker):
        for pause in (59, 2, 0):
            await broker.publish(1, "in", message_id="one")
            await sleep(pause)

    assert handled == [1, 1]


class Unreliable(MemoryStore):
    """Is away for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    async def claim(self, key: str, owner: str, lease: float, /) -> Claim:
        self.asked += 1
        if self.asked < 4:
            raise OSError("away")
        return await super().claim(key, owner, lease)


async def test_while_the_store_is_away_nothing_is_handled_nor_lost(broker: MemoryBroker) -> None:
    handled, store = Event(), Unreliable()

    @broker.subscriber("in", idempotent=Idempotency(store))
    async def handle(number: int) -> None:
        assert store.asked == 4
        handled.set()

    async with TestMemoryBroker(broker):
        await broker.publish(1, "in")
        await sleep(60)

    assert handled.is_set()


async def test_a_message_without_a_key_is_handled_whenever_it_comes(
    broker: MemoryBroker, store: MemoryStore
) -> None:
    handled: list[int] = []

    @broker.subscriber("in", idempotent=Idempotency(store, key=lambda _: None))
    async def handle(number: int) -> None:
        handled.append(number)

    async with TestMemoryBroker(broker):
        for _ in range(2):
            await broker.publish(1, "in", message_id="one")

    assert handled == [1, 1]


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Idempotency(MemoryStore), "has no store"),  # type: ignore[arg-type] # that is what is wrong
        (lambda: Idempotency(MemoryStore(), ttl=0), "ttl=0"),
        (
            lambda: ANY.subscriber("a", idempotent=MemoryStore()),
            "must be an Idempotency",
        ),
        (
            lambda: MemoryBroker().subscriber(
                "a", batch=True, idempotent=Idempotency(MemoryStore())
            ),
            "one by one",
        ),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_said(make: Any, what: str) -> None:
    with pytest.raises(DeclarationError, match=what):
        make()


async def test_a_response_cannot_be_kept(broker: MemoryBroker, store: MemoryStore) -> None:
    @broker.subscriber("in", idempotent=Idempotency(store))
    async def handle(number: int, message: Message) -> Response:
        return Response(number)

    with pytest.raises(DeclarationError, match="can't be kept"):
        await broker.start()
