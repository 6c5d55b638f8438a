"""What is to be sent: each settlement once, or a position that never passes what is not done."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_brokers import ConnectionLost, Message, Settlement, Tracker
from callboard_brokers.kit import Each, Held, Journal, Prefix


def test_what_could_not_be_sent_comes_before_what_came_meanwhile() -> None:
    each = Each(lambda: None)
    held = Held[object](each.write, Journal())
    for token in range(3):
        held.deliver(Message(b""), token).ack()

    def send_in_vain() -> None:
        with each.sending() as entries:
            held.deliver(Message(b""), 3).ack()
            del entries[0]  # the first got through
            raise ConnectionLost("in the midst of it")

    with pytest.raises(ConnectionLost):
        send_in_vain()

    with each.sending() as entries:
        assert [delivery.token for delivery, *_ in entries] == [1, 2, 3]
    assert len(each) == 0


def test_an_epoch_ends_for_what_was_not_sent() -> None:
    each = Each(lambda: None)
    Held[object](each.write, Journal()).deliver(Message(b"")).reject()

    assert [settlement for _, settlement, _ in each.forget()] == [Settlement.REJECT]
    assert len(each) == 0


@given(st.permutations(range(8)), st.sampled_from([Settlement.ACK, Settlement.REJECT]))
def test_a_position_stands_before_the_first_that_is_not_done(
    order: list[int], settlement: Settlement
) -> None:
    tracker, wakes = Tracker(100), list[int]()
    prefix = Prefix(tracker, lambda: wakes.append(tracker.position), sent=100)
    held = Held[object](prefix.write, Journal(), lambda _delivery, _delay: None)
    pending = {
        offset: held.deliver(Message(b""), tracker.add(offset)) for offset in range(100, 108)
    }
    for number in order:
        pending.pop(100 + number).settle(settlement)

        assert (prefix.unsent or 100) == min(pending, default=108)
    assert wakes == sorted(set(wakes))
    assert wakes[-1] == 108
    prefix.sent = 108
    assert prefix.unsent is None
