"""The ledger: each delivery is settled once, in its epoch, or not at all."""

from __future__ import annotations

from collections import Counter

import pytest
from anyio import create_task_group, fail_after
from hypothesis import given
from hypothesis import strategies as st

from callboard_actors.testing import idle
from callboard_brokers import Delivery, Message, Settlement
from callboard_brokers.events import SettledLate, SettledTwice
from callboard_brokers.kit import Held, Journal, Leases

from .conftest import Told


class Written(list[tuple[object, Settlement, float | None]]):
    """Takes what the broker is to be told, by the token of each delivery."""

    def write(self, delivery: Delivery, settlement: Settlement, delay: float | None) -> None:
        self.append((delivery.token, settlement, delay))


class Returned(list[tuple[object, float]]):
    """Takes what is to be delivered again, by the token of each delivery."""

    def again(self, delivery: Delivery, delay: float) -> None:
        self.append((delivery.token, delay))


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def held(written: Written, journal: Journal) -> Held[object]:
    return Held(written.write, journal)


def test_a_settlement_is_written_once(held: Held[object], written: Written, told: Told) -> None:
    delivery = held.deliver(Message(b"", address="orders"), token=7)
    delivery.ack()
    delivery.reject()

    assert (written, len(held)) == ([(7, Settlement.ACK, None)], 0)
    assert told == [SettledTwice("orders")]


def test_what_is_held_is_known_oldest_first(held: Held[object]) -> None:
    first, second, third = (held.deliver(Message(b""), token=n) for n in range(3))
    second.ack()

    assert [*held] == [first, third]


def test_a_settlement_of_an_epoch_that_has_ended_is_told_and_dropped(
    held: Held[object], written: Written, told: Told
) -> None:
    delivery = held.deliver(Message(b"", address="orders"), token=7)

    assert held.end_epoch() == [delivery]
    # Tags begin anew with a channel: this one must not be taken for the other.
    held.deliver(Message(b""), token=7)
    delivery.ack()
    assert (written, len(held)) == ([], 1)
    assert told == [SettledLate("orders")]


def test_a_release_of_an_epoch_that_has_ended_is_counted_but_no_event(
    held: Held[object], journal: Journal, told: Told
) -> None:
    delivery = held.deliver(Message(b""))
    held.end_epoch()
    delivery.release()

    assert told == []
    assert journal.counts == {"settle.recalled": 1}


def test_a_nack_without_a_delay_waits_the_longer_the_oftener_it_came(
    held: Held[object], written: Written
) -> None:
    for deliveries in (1, 2, 3, 100, None):
        held.deliver(Message(b""), 0, deliveries).nack()

    assert [delay for *_, delay in written] == [0.1, 0.2, 0.4, 30.0, 0.1]


def test_a_delay_that_was_given_is_kept(held: Held[object], written: Written) -> None:
    held.deliver(Message(b""), 0, 5).nack(0.0)

    assert written == [(0, Settlement.NACK, 0.0)]


def test_what_the_broker_cannot_deliver_again_comes_from_here(
    written: Written, journal: Journal
) -> None:
    returned = Returned()
    held = Held[object](written.write, journal, returned.again)
    for _ in range(3):
        held.deliver(Message(b""), token=7).nack()
    held.deliver(Message(b""), token=7).release()
    held.deliver(Message(b""), token=7).ack()
    held.deliver(Message(b""), token=7).nack()

    assert returned == [(7, 0.1), (7, 0.2), (7, 0.4), (7, 0.0), (7, 0.1)]
    assert written == [(7, Settlement.ACK, None)]


def test_what_is_never_to_come_again_is_left_to_the_broker_though_others_come_from_here(
    written: Written, journal: Journal
) -> None:
    returned = Returned()
    held = Held[object](
        written.write, journal, returned.again, lambda nacks: None if nacks > 1 else 0.1
    )
    for _ in range(3):
        held.deliver(Message(b""), token=7).nack()

    assert returned == [(7, 0.1), (7, 0.1)]
    assert written == [(7, Settlement.NACK, None)]


def test_what_was_withdrawn_is_held_no_more(held: Held[object], written: Written) -> None:
    delivery = held.deliver(Message(b""))
    held.withdraw([delivery])

    assert (len(held), written) == (0, [])


@pytest.mark.anyio
async def test_the_last_settlement_ends_the_wait(held: Held[object]) -> None:
    one, other = held.deliver(Message(b"")), held.deliver(Message(b""))
    with fail_after(1):
        async with create_task_group() as tasks:
            tasks.start_soon(held.idle)
            await idle()
            one.ack()
            other.nack()


def test_a_failure_in_place_counts_as_a_nack_would(held: Held[object], written: Written) -> None:
    delivery = held.deliver(Message(b""), 0, 1)

    assert [held.count_failure(delivery, None) for _ in range(3)] == [0.1, 0.2, 0.4]
    assert held.count_failure(delivery, 7.0) == 7.0
    assert (delivery.deliveries, len(held), written) == (5, 1, [])
    delivery.nack()
    assert written == [(0, Settlement.NACK, 1.6)]


def test_what_is_given_up_or_not_held_is_not_kept(written: Written, journal: Journal) -> None:
    held = Held[object](written.write, journal, backoff=lambda nacks: 0.1 if nacks < 1 else None)
    delivery, gone = held.deliver(Message(b""), 0, 1), held.deliver(Message(b""), 1, 1)
    held.withdraw([gone])

    assert held.count_failure(gone, 0.5) is None
    assert [held.count_failure(delivery, 0.5) for _ in range(2)] == [0.5, None]
    delivery.nack()
    assert written == [(0, Settlement.NACK, None)]


def test_a_lease_is_extended_only_so_often() -> None:
    held, leases = Held[object](Written().write, Journal()), Leases(2)
    first = held.deliver(Message(b""))

    assert leases.due(held) == [first]
    second = held.deliver(Message(b""))
    assert leases.due(held) == [first, second]
    assert leases.due(held) == [second]
    leases.renew(first)
    assert leases.due(held) == [first]
    second.ack()
    first.ack()
    assert leases.due(held) == []


Step = tuple[str, int]
steps = st.lists(
    st.tuples(
        st.sampled_from(["deliver", "ack", "nack", "reject", "release", "end", "withdraw"]),
        st.integers(0, 9),
    ),
    max_size=60,
)


@given(steps, st.booleans())
def test_every_delivery_is_accounted_for_once(script: list[Step], redelivers: bool) -> None:
    written, returned, journal = Written(), Returned(), Journal()
    held = Held[object](written.write, journal, returned.again if redelivers else None)
    known: list[Delivery] = []
    ended, withdrawn = Counter[str](), 0
    for step, number in script:
        if step == "deliver":
            known.append(held.deliver(Message(b""), token=len(known)))
        elif step == "end":
            held.end_epoch()
        elif step == "withdraw":
            before = len(held)
            held.withdraw([*held][:number])
            withdrawn += before - len(held)
        elif known:
            delivery = known[number % len(known)]
            was_held = delivery in [*held]
            first = delivery.settle(Settlement(step))
            ended["twice"] += not first
            ended["recalled"] += first and not was_held and step == "release"
            ended["stale"] += first and not was_held and step != "release"
            ended["done"] += first and was_held

        assert all(each.epoch == held.epoch for each in held)
        assert not any(each.settled for each in held)
    tokens = [token for token, *_ in [*written, *returned]]

    assert len(set(tokens)) == len(tokens) == ended["done"]
    assert journal.counts["settle.stale"] == ended["stale"]
    assert journal.counts["settle.recalled"] == ended["recalled"]
    assert journal.counts["settle.double"] == ended["twice"]
    assert withdrawn + ended["done"] + len(held) <= len(known)
