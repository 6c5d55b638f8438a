from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_actors import Backoff, ExitReason, Restart, SpecError
from callboard_actors.supervision._restarts import Intensity, restarts

moments = st.lists(st.floats(0, 1000), max_size=60).map(sorted)


@given(backoff=st.builds(Backoff, min=st.floats(0, 5), max=st.floats(5, 100)), dice=st.floats(0, 1))
def test_the_first_restart_is_at_once(backoff: Backoff, dice: float) -> None:
    assert backoff.delay(0, lambda: dice) == 0


@given(n=st.integers(1, 5000), factor=st.floats(1, 10), dice=st.floats(0, 1))
def test_no_wait_is_longer_than_the_longest(n: int, factor: float, dice: float) -> None:
    assert 0 <= Backoff(factor=factor).delay(n, lambda: dice) <= 30


@given(n=st.integers(1, 5000), factor=st.floats(1, 10))
def test_without_jitter_waits_never_get_shorter(n: int, factor: float) -> None:
    backoff = Backoff(factor=factor, jitter="none")

    assert backoff.delay(n, float) <= backoff.delay(n + 1, float)


def test_the_second_restart_in_a_row_waits_for_the_least_and_the_third_for_longer() -> None:
    backoff = Backoff(min=0.2, factor=2, jitter="none")

    assert [backoff.delay(n, float) for n in range(4)] == [0, 0.2, 0.4, 0.8]


def test_full_jitter_draws_from_the_whole_wait() -> None:
    backoff, dice = Backoff(min=1, factor=2), iter([0.0, 0.5, 1.0])

    assert [backoff.delay(2, dice.__next__) for _ in range(3)] == [0, 1, 2]


@pytest.mark.parametrize("wrong", [{"min": 40}, {"min": -1}, {"factor": 0.5}])
def test_a_backoff_that_cannot_grow_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SpecError, match="cannot grow"):
        Backoff(min=wrong.get("min", 0.2), factor=wrong.get("factor", 2))


@given(times=moments, limit=st.integers(0, 8), period=st.floats(0.1, 100))
def test_a_restart_is_allowed_if_the_period_before_it_has_no_more_than_the_limit(
    times: list[float], limit: int, period: float
) -> None:
    intensity = Intensity(limit, period)

    for n, now in enumerate(times):
        recent = sum(earlier >= now - period for earlier in times[: n + 1])
        assert intensity.allows(now) == (recent <= limit)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("permanent", (True, True)), ("transient", (False, True)), ("temporary", (False, False))],
)
def test_the_restart_type_and_the_reason_decide(kind: Restart, expected: tuple[bool, bool]) -> None:
    decided = tuple(restarts(kind, ExitReason(reason)) for reason in ("normal", "failed"))

    assert decided == expected


def test_a_supervisor_that_gave_up_is_restarted_by_a_transient_place() -> None:
    assert restarts("transient", ExitReason("gave_up"))
