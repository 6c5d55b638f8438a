"""Waits grow to a limit, and spread out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from callboard_brokers.kit import Backoff


def test_a_wait_doubles_up_to_the_longest() -> None:
    assert [Backoff(0.5, 3.0).whole(n) for n in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


@given(st.integers(0, 10**9))
def test_a_jittered_wait_is_no_longer_than_the_whole(failures: int) -> None:
    backoff = Backoff(0.1, 30.0)

    assert 0 <= backoff.jittered(failures) <= backoff.whole(failures) <= 30.0
