from __future__ import annotations

import pytest

from callboard_brokers import Delivery, Message, Metadata, NotReceived, Settlement

pytestmark = pytest.mark.anyio


class Recorded:
    """A ledger that remembers."""

    def __init__(self) -> None:
        self.settlements: list[tuple[Settlement, float | None]] = []
        self.twice = 0

    def settle(self, _delivery: Delivery, settlement: Settlement, delay: float | None) -> None:
        self.settlements.append((settlement, delay))

    def settled_twice(self, _delivery: Delivery) -> None:
        self.twice += 1


class Length:
    """A binding that decodes to the length, and keeps what is rejected."""

    def __init__(self) -> None:
        self.decoded = 0
        self.rejected: list[Message] = []

    def decode(self, message: Message, as_: object = None, /) -> object:
        self.decoded += 1
        return len(message.body)

    async def reject(self, message: Message) -> None:
        self.rejected.append(message)


class KafkaMessage(Message[dict[str, str]]):
    __slots__ = ()


def test_a_message_of_ones_own_making_carries_what_it_was_given() -> None:
    message = Message(b"body", address="orders", key=b"7", headers={"x": b"\xff"}, message_id="m")

    assert (message.body, message.address, message.key) == (b"body", "orders", b"7")
    assert (message.headers, message.message_id) == ({"x": b"\xff"}, "m")
    assert (message.content_type, message.correlation_id, message.reply_to) == (None, None, None)
    assert dict(message.path) == {}


def test_headers_are_copied_so_that_the_sender_may_reuse_them() -> None:
    headers = {"attempt": "1"}
    message = Message(b"", headers=headers)
    headers["attempt"] = "2"

    assert message.headers == {"attempt": "1"}


def test_metadata_is_loaded_once_and_only_when_asked_for() -> None:
    loads: list[str] = []

    def load(record: dict[str, str]) -> Metadata:
        loads.append(record["id"])
        return Metadata(headers=record, message_id=record["id"])

    message = KafkaMessage(b"", raw_message={"id": "m-1"}, load=load)
    assert loads == []

    assert message.message_id == "m-1"
    assert message.headers == {"id": "m-1"}
    assert loads == ["m-1"]


@pytest.mark.parametrize("settle", ["ack", "nack", "reject"])
async def test_what_was_not_received_cannot_be_settled(settle: str) -> None:
    message = Message(b"", address="orders")
    with pytest.raises(NotReceived, match="'orders' was not received"):
        await getattr(message, settle)()

    assert not message.processed


async def test_a_message_settles_its_delivery() -> None:
    ledger = Recorded()
    message = Message(b"")
    delivery = Delivery(message, ledger)
    await message.nack(delay=5)

    assert message.processed
    assert delivery.settlement is Settlement.NACK
    assert ledger.settlements == [(Settlement.NACK, 5)]


async def test_only_the_first_settlement_of_a_message_counts() -> None:
    ledger = Recorded()
    message = Message(b"")
    delivery = Delivery(message, ledger)
    await message.reject()
    await message.ack()
    await message.reject()

    assert delivery.settlement is Settlement.REJECT
    assert ledger.settlements == [(Settlement.REJECT, None)]


async def test_an_unbound_message_decodes_to_its_bytes() -> None:
    assert await Message(b"raw").decode() == b"raw"


async def test_a_bound_message_decodes_once() -> None:
    binding = Length()
    message = Message(b"four")
    message.binding = binding

    assert [await message.decode(), await message.decode()] == [4, 4]
    assert binding.decoded == 1


async def test_a_bound_message_is_rejected_where_the_binding_says() -> None:
    ledger, binding, message = Recorded(), Length(), Message(b"")
    delivery = Delivery(message, ledger)
    message.binding = binding
    await message.reject()

    assert binding.rejected == [message]
    assert not delivery.settled


async def test_a_settled_message_is_not_rejected_again() -> None:
    binding, message = Length(), Message(b"")
    Delivery(message, Recorded())
    message.binding = binding
    await message.ack()
    await message.reject()

    assert binding.rejected == []
