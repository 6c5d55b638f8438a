from __future__ import annotations

from itertools import accumulate
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from callboard_brokers import Tracked, Tracker


def add(tracker: Tracker, *offsets: int) -> list[Tracked]:
    """Track the offsets that are not done yet."""
    return [tracked for offset in offsets if (tracked := tracker.add(offset)) is not None]


def test_the_position_waits_for_the_oldest_that_is_not_done() -> None:
    tracker = Tracker(3)
    first, second, third = add(tracker, 3, 4, 5)

    assert [tracker.done(third), tracker.position] == [False, 3]
    assert [tracker.done(first), tracker.position] == [True, 4]
    assert [tracker.done(second), tracker.position] == [True, 6]


def test_the_position_passes_what_was_set_done_by_hand() -> None:
    tracker = Tracker(3)
    first, second, third = tracker.extend([3, 4, 5])

    second.done = True
    assert (tracker.position, tracker.span, tracker.ahead()) == (3, 3, [4])
    first.done = True
    assert (tracker.position, tracker.span, tracker.ahead()) == (5, 1, [])
    third.done = True
    assert (tracker.position, tracker.span) == (6, 0)


def test_gaps_in_the_offsets_are_done_by_themselves() -> None:
    tracker = Tracker(3)
    first, second = add(tracker, 5, 9)

    assert (tracker.position, tracker.span) == (5, 5)
    tracker.done(second)
    assert (tracker.position, tracker.span) == (5, 5)
    tracker.done(first)
    assert (tracker.position, tracker.span) == (10, 0)


def test_what_ends_a_log_without_being_a_record_can_be_skipped() -> None:
    tracker = Tracker(3)
    (tracked,) = add(tracker, 3)
    tracker.skip(6)

    assert tracker.position == 3
    tracker.done(tracked)
    assert tracker.position == 6


def test_what_was_done_ahead_is_not_handled_again_after_a_restart() -> None:
    before = Tracker(0)
    _, second, third, _ = add(before, 0, 1, 2, 3)
    before.done(third)
    before.done(second)
    after = Tracker(before.position, epoch=1, ahead=before.ahead())
    first, last = add(after, 0, 1, 2, 3)

    assert (first.offset, last.offset) == (0, 3)
    assert after.ahead() == [1, 2]
    after.done(first)
    assert after.position == 3
    assert after.ahead() == []


def test_a_completion_of_another_epoch_is_counted_and_changes_nothing() -> None:
    (stale,) = add(Tracker(0, epoch=1), 0)
    tracker = Tracker(0, epoch=2)
    add(tracker, 0)

    assert not tracker.done(stale)
    assert (tracker.position, tracker.stale) == (0, 1)


def test_the_second_completion_changes_nothing() -> None:
    tracker = Tracker(0)
    first, _ = add(tracker, 0, 1)
    tracker.done(first)

    assert not tracker.done(first)
    assert tracker.position == 1


def test_offsets_that_go_back_are_refused() -> None:
    tracker = Tracker(3)
    add(tracker, 4)

    with pytest.raises(ValueError, match="offset 4 came after 4: give them in growing order"):
        tracker.add(4)


def test_a_poison_at_the_head_of_a_large_window_does_not_slow_the_others_down() -> None:
    tracker = Tracker(0)
    poison, *others = add(tracker, *range(100_000))
    began = perf_counter()
    for tracked in reversed(others):
        tracker.done(tracked)

    assert perf_counter() - began < 20  # it takes 0.01; looking for each in the window, minutes
    assert tracker.position == 0
    tracker.done(poison)
    assert tracker.position == 100_000


class Tracking(RuleBasedStateMachine):
    """A tracker beside the plainest thing that does the same: a set of what is not done."""

    def __init__(self) -> None:
        super().__init__()
        self.tracker = Tracker(0)
        self.seen = -1
        self.missing: set[int] = set()
        self.finished: set[int] = set()
        self.open: dict[int, Tracked] = {}
        self.stale: list[Tracked] = []
        self.ignored = 0
        self.highest = 0

    def _pass_over(self, gap: int) -> None:
        """Let the next offsets be gone from the log."""
        self.finished -= {*range(self.seen + 1, self.seen + 1 + gap)}
        self.seen += gap

    @property
    def position(self) -> int:
        return min(self.missing, default=self.seen + 1)

    @rule(gap=st.integers(0, 2))
    def add(self, gap: int) -> None:
        self._pass_over(gap)
        self.seen += 1
        tracked = self.tracker.add(self.seen)
        if self.seen in self.finished:
            assert tracked is None
        else:
            assert tracked is not None
            self.missing.add(self.seen)
            self.open[self.seen] = tracked

    @rule(gap=st.integers(0, 2))
    def skip(self, gap: int) -> None:
        self._pass_over(gap)
        self.tracker.skip(self.seen + 1)

    @precondition(lambda self: self.missing)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.missing)))
        before = self.position
        self.missing.remove(offset)
        self.finished.add(offset)
        assert self.tracker.done(self.open[offset]) == (self.position > before)

    @precondition(lambda self: self.finished & self.open.keys())
    @rule(data=st.data())
    def finish_again(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.finished & self.open.keys())))
        assert not self.tracker.done(self.open[offset])

    @precondition(lambda self: self.stale)
    @rule(data=st.data())
    def finish_stale(self, data: st.DataObject) -> None:
        assert not self.tracker.done(data.draw(st.sampled_from(self.stale)))
        self.ignored += 1

    @rule()
    def restart(self) -> None:
        """Begin a new epoch where the old one would have committed, and read that again."""
        position, ahead = self.tracker.position, self.tracker.ahead()
        self.tracker = Tracker(position, epoch=self.tracker.epoch + 1, ahead=ahead)
        self.stale += [self.open[offset] for offset in sorted(self.missing)]
        self.seen, self.missing, self.open, self.ignored = position - 1, set(), {}, 0

    @invariant()
    def the_position_is_the_oldest_that_is_not_done(self) -> None:
        assert self.tracker.position == self.position
        assert self.tracker.span == self.seen + 1 - self.position
        assert self.tracker.ahead() == sorted(n for n in self.finished if n >= self.position)

    @invariant()
    def it_never_goes_back(self) -> None:
        assert self.tracker.position >= self.highest
        self.highest = self.tracker.position

    @invariant()
    def what_is_stale_is_only_counted(self) -> None:
        assert self.tracker.stale == self.ignored


def test_a_tracker_does_what_a_set_of_the_unfinished_does() -> None:
    run_state_machine_as_test(Tracking, settings=settings(stateful_step_count=30))


@given(st.lists(st.integers(1, 3), max_size=30), st.sets(st.integers(5, 60)), st.data())
def test_tracking_in_bulk_is_tracking_one_by_one(
    gaps: list[int], ahead: set[int], data: st.DataObject
) -> None:
    offsets = [*accumulate(gaps, initial=5)]
    bulk, single = Tracker(5, epoch=2, ahead=ahead), Tracker(5, epoch=2, ahead=ahead)

    in_bulk, one_by_one = bulk.extend(offsets), add(single, *offsets)
    left = [tracked for tracked in in_bulk if not tracked.done]
    assert (bulk.position, bulk.span) == (single.position, single.span)
    for index in data.draw(st.permutations(range(len(left)))):
        assert bulk.done(left[index]) == single.done(one_by_one[index])
        assert (bulk.position, bulk.span) == (single.position, single.span)
        assert bulk.ahead() == single.ahead()

    assert [each.offset for each in in_bulk] == offsets
    assert {each.epoch for each in in_bulk} == {2}


def test_offsets_that_shrink_in_bulk_are_refused_and_those_before_are_tracked() -> None:
    tracker = Tracker(3)

    with pytest.raises(ValueError, match="offset 4 came after 5"):
        tracker.extend([3, 5, 4])

    assert tracker.span == 3
