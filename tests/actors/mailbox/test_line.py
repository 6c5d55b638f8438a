from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from callboard_actors.mailbox._line import Line

Item = tuple[str | None, int]
Keys = list[str | None]
keys = st.lists(st.sampled_from([None, "a", "b", "c"]), min_size=1, max_size=6)


class Lining(RuleBasedStateMachine):
    """A line beside the plainest thing that does the same: a list, and when each item is due."""

    def __init__(self) -> None:
        super().__init__()
        self.line = Line[Item](lambda item: item[0], weighed=True)
        self.expected: list[Item] = []
        self.waits: dict[Item, float] = {}
        self.deferred: list[Item] = []
        self.has_returned = False
        self.count = 0
        self.now = 0.0

    @rule(keys=keys)
    def put(self, keys: Keys) -> None:
        items = [(key, self.count + n) for n, key in enumerate(keys)]
        self.line.extend(items, [number for _, number in items], float(self.count))
        self.count += len(items)
        self.expected += items

    @precondition(lambda self: self.line.ready)
    @rule(delay=st.none() | st.integers(0, 5))
    def take(self, delay: int | None) -> None:
        item = self.line.ready.popleft()
        assert self.line.sizes.popleft() == item[1]
        self.expected.remove(item)
        if delay is not None:
            self.expected.insert(0, item)
            self.waits[item] = self.now + delay
            self.line.put_back(item, item[1], self.now + delay)

    @precondition(lambda self: self.line.ready)
    @rule()
    def put_back(self) -> None:
        item, size = self.line.ready.popleft(), self.line.sizes.popleft()
        self.line.put_back(item, size)

    @precondition(lambda self: self.line.ready)
    @rule()
    def defer(self) -> None:
        item = self.line.ready.popleft()
        assert self.line.sizes.popleft() == item[1]
        self.expected.remove(item)
        self.deferred.append(item)

    @precondition(lambda self: self.deferred)
    @rule()
    def put_first(self) -> None:
        key = self.deferred[0][0]
        back = [item for item in self.deferred if item[0] == key][: 1 if key is None else None]
        self.line.put_first(back, [number for _, number in back])
        for first in [first for first in self.waits if key is not None and first[0] == key]:
            self.waits[back[0]] = self.waits.pop(first)
        self.expected[:0] = back
        self.has_returned = True
        self.deferred = [item for item in self.deferred if item not in back]

    @rule(seconds=st.integers(1, 5))
    def pass_time(self, seconds: int) -> None:
        self.now += seconds
        self.line.unpark(self.now)
        # What was due first comes first, each with those that have waited for it.
        for first, due in sorted(self.waits.items(), key=lambda wait: -wait[1]):
            if due <= self.now:
                del self.waits[first]
                back = [item for item in self.expected if self.waits_for(item, first)]
                self.expected = back + [item for item in self.expected if item not in back]

    @rule(which=st.integers(0, 3))
    def purge(self, which: int) -> None:
        gone = {item for item in self.expected if item[1] % 4 == which}
        assert {item for item, _ in self.line.take_out(lambda i: i[1] % 4 == which)} == gone
        self.let_go(gone)

    @rule()
    def take_parked(self) -> None:
        out = self.line.take_parked()
        waiting = [item for item in self.expected if self.is_aside(item)]
        assert {item for item, _ in out} == {*waiting}
        assert all(item[1] == size for item, size in out)
        for key in "abc":
            found = [item for item, _ in out if item[0] == key]
            assert found == [item for item in waiting if item[0] == key]
        self.let_go({*waiting})

    def let_go(self, gone: set[Item]) -> None:
        self.waits = {item: due for item, due in self.waits.items() if item not in gone}
        self.expected = [item for item in self.expected if item not in gone]

    def waits_for(self, item: Item, first: Item) -> bool:
        return item == first or (first[0] is not None and item[0] == first[0])

    def is_aside(self, item: Item) -> bool:
        return any(self.waits_for(item, first) for first in self.waits)

    @invariant()
    def what_waits_stands_aside_and_the_others_are_ready_in_order(self) -> None:
        ready = [item for item in self.expected if not self.is_aside(item)]
        assert sorted(self.line.ready, key=lambda item: item[1]) == sorted(
            ready, key=lambda item: item[1]
        )
        for key in "abc":
            mine = [item for item in self.line.ready if item[0] == key]
            assert mine == [item for item in ready if item[0] == key]
        assert [*self.line.sizes] == [number for _, number in self.line.ready]
        assert self.line.due == min(self.waits.values(), default=None)

    @invariant()
    def the_oldest_is_not_told_too_young(self) -> None:
        oldest = self.line.oldest()
        assert (oldest is None) == (not self.expected)
        # What was taken and comes back has lost its age.
        if oldest is not None and not self.has_returned:
            assert oldest <= min(number for _, number in self.expected)


def test_a_line_lets_only_those_wait_that_have_to() -> None:
    run_state_machine_as_test(Lining, settings=settings(stateful_step_count=40))


@given(st.lists(st.integers(1, 5), max_size=20), st.integers(0, 60))
def test_a_line_knows_when_its_first_item_came(bulks: list[int], taken: int) -> None:
    line, came = Line[float](), list[float]()
    for at, count in enumerate(bulks):
        line.extend([float(at)] * count, (), float(at))
        came += [float(at)] * count
    for _ in range(min(taken, len(came))):
        line.ready.popleft()

    assert line.oldest() == next(iter(came[taken:]), None)


def test_items_that_come_within_ten_milliseconds_share_a_time() -> None:
    line = Line[int]()
    for at in range(20):
        line.append(at, at / 1000)
    for _ in range(9):
        line.ready.popleft()

    assert line.oldest() == 0
    line.ready.popleft()
    assert line.oldest() == 0.01
