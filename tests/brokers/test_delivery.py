from __future__ import annotations

import gc
import sys

import pytest

from callboard_brokers import BatchDelivery, Delivery, Message, Settlement, Settles

pytestmark = pytest.mark.anyio


class Recorded:
    """A ledger that remembers."""

    def __init__(self) -> None:
        self.settlements: dict[bytes, tuple[Settlement, float | None]] = {}
        self.twice = 0

    def settle(self, delivery: Delivery, settlement: Settlement, delay: float | None) -> None:
        self.settlements[delivery.message.body] = (settlement, delay)

    def settled_twice(self, _delivery: Delivery) -> None:
        self.twice += 1


@pytest.fixture
def ledger() -> Recorded:
    return Recorded()


def batch_of(ledger: Recorded, *bodies: bytes) -> BatchDelivery:
    return BatchDelivery([Delivery(Message(body, address="orders"), ledger) for body in bodies])


def test_the_first_settlement_wins_and_later_ones_are_counted(ledger: Recorded) -> None:
    delivery = Delivery(Message(b"m"), ledger)

    assert delivery.nack(delay=2.0)
    assert not delivery.ack()
    assert not delivery.release()
    assert ledger.settlements == {b"m": (Settlement.NACK, 2.0)}
    assert ledger.twice == 2


class Keeper:
    """A reader that keeps some of what is nacked."""

    def __init__(self, *kept: Settles) -> None:
        self.kept = kept

    def decode(self, message: Message, as_: object = None, /) -> object:
        return message.body

    async def reject(self, message: Message, /) -> None: ...

    def keep(self, delivery: Settles, delay: float | None, /) -> bool:
        return delivery in self.kept


@pytest.mark.parametrize("settlement", Settlement)
def test_only_a_nack_can_be_kept_from_the_ledger(settlement: Settlement, ledger: Recorded) -> None:
    delivery = Delivery(Message(b"m"), ledger)
    delivery.message.binding = Keeper(delivery)
    delivery.settle(settlement)

    assert delivery.message.processed
    assert not delivery.ack()
    assert ledger.settlements.keys() == ({b"m"} if settlement is not Settlement.NACK else set())


def test_what_was_kept_is_open_again_and_settled_once(ledger: Recorded) -> None:
    delivery = Delivery(Message(b"m"), ledger)
    delivery.message.binding = Keeper(delivery)
    delivery.nack()
    delivery.reopen()

    assert not delivery.message.processed
    assert delivery.ack()
    assert ledger.settlements == {b"m": (Settlement.ACK, None)}


def test_a_batch_has_its_parts_kept_one_by_one(ledger: Recorded) -> None:
    batch = batch_of(ledger, b"1", b"2")
    for message in (batch.message, *batch.message.parts):
        message.binding = Keeper(batch.parts[1])
    batch.nack(1.0)

    assert ledger.settlements == {b"1": (Settlement.NACK, 1.0)}


@pytest.mark.parametrize("settlement", Settlement)
def test_every_settlement_has_its_shorthand(settlement: Settlement, ledger: Recorded) -> None:
    delivery = Delivery(Message(b"m"), ledger)
    getattr(delivery, settlement.value)()

    assert delivery.settlement is settlement
    assert delivery.settled


def test_a_settled_message_is_freed_without_the_collector(ledger: Recorded) -> None:
    body = bytes(1000)
    before = sys.getrefcount(body)
    gc.disable()
    try:
        Delivery(Message(body), ledger).ack()
        ledger.settlements.clear()

        assert sys.getrefcount(body) == before
    finally:
        gc.enable()


def test_a_batch_settles_all_of_its_parts(ledger: Recorded) -> None:
    batch = batch_of(ledger, b"1", b"2")

    assert batch.nack(delay=3.0)
    assert ledger.settlements == {b"1": (Settlement.NACK, 3.0), b"2": (Settlement.NACK, 3.0)}


def test_a_part_that_was_settled_by_hand_keeps_its_settlement(ledger: Recorded) -> None:
    batch = batch_of(ledger, b"1", b"2")
    batch.parts[0].reject()
    batch.ack()

    assert ledger.settlements == {b"1": (Settlement.REJECT, None), b"2": (Settlement.ACK, None)}
    assert ledger.twice == 0


def test_a_batch_that_is_settled_twice_is_counted_once(ledger: Recorded) -> None:
    batch = batch_of(ledger, b"1", b"2")
    batch.ack()

    assert not batch.nack()
    assert ledger.twice == 1


async def test_the_message_of_a_batch_stands_for_all_of_them(ledger: Recorded) -> None:
    batch = batch_of(ledger, b"1", b"2")
    await batch.message.ack()

    assert (batch.message.address, batch.message.body) == ("orders", b"")
    assert batch.settlement is Settlement.ACK
    assert all(part.message.processed for part in batch.parts)


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        BatchDelivery([])
