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

from callboard_actors.mailbox._lanes import Entry, Lanes, Line

Item = tuple[str | None, int]
Keys = list[str | None]
keys = st.lists(st.sampled_from([None, "a", "b", "c"]), min_size=1, max_size=6)


class Laning(RuleBasedStateMachine):
    """Lanes beside the plainest thing that does the same: a list per key."""

    def __init__(self) -> None:
        super().__init__()
        self.lanes = Lanes[Item]()
        self.expected: dict[str | None, list[int]] = {None: [], "a": [], "b": [], "c": []}
        self.held: list[Entry[Item]] = []
        self.parked: dict[Item, float] = {}
        self.count = 0
        self.now = 0.0

    @rule(keys=keys)
    def put(self, keys: Keys) -> None:
        items = [(key, self.count + n) for n, key in enumerate(keys)]
        self.lanes.extend(items, keys, [1] * len(items), float(self.count))
        self.count += len(items)
        for key, number in items:
            self.expected[key].append(number)

    @precondition(lambda self: self.lanes.ready)
    @rule()
    def take(self) -> None:
        entry = self.lanes.ready.popleft()
        key, number = entry.item
        if key is None:
            self.expected[None].remove(number)
        else:
            assert key not in [held.key for held in self.held]
            assert self.expected[key].pop(0) == number
        assert self.parked.pop(entry.item, 0) <= self.now
        self.held.append(entry)

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 9))
    def finish(self, which: int) -> None:
        self.lanes.finish(self.held.pop(which % len(self.held)))

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 9), delay=st.none() | st.integers(0, 5))
    def put_back(self, which: int, delay: int | None) -> None:
        entry = self.held.pop(which % len(self.held))
        key, number = entry.item
        self.expected[key].insert(0, number)
        self.lanes.put_back(entry, None if delay is None else self.now + delay)
        if delay is not None:
            self.parked[entry.item] = self.now + delay

    @rule(seconds=st.integers(1, 5))
    def pass_time(self, seconds: int) -> None:
        self.now += seconds
        self.lanes.unpark(self.now)
        assert all(due > self.now for due, *_ in self.lanes.parked)

    @rule(which=st.integers(0, 3))
    def purge(self, which: int) -> None:
        out = [item for item, _ in self.lanes.take_out(lambda i: i[1] % 4 == which, self.held)]
        for key, numbers in self.expected.items():
            gone = [number for number in numbers if number % 4 == which]
            numbers[:] = [number for number in numbers if number % 4 != which]
            found = [item[1] for item in out if item[0] == key]
            assert found == gone or (key is None and sorted(found) == sorted(gone))
        for item in out:
            self.parked.pop(item, None)

    @invariant()
    def the_first_of_every_lane_is_ready_parked_or_taken(self) -> None:
        first = {entry.item for entry in self.lanes.ready}
        parked = {entry.item: due for due, _, entry in self.lanes.parked}
        free = self.expected.keys() - {entry.key for entry in self.held}
        expected: set[tuple[str | None, int]] = {
            (key, self.expected[key][0]) for key in free if key and self.expected[key]
        }
        expected |= {(None, number) for number in self.expected[None]}
        assert first | parked.keys() == expected
        assert first.isdisjoint(parked)
        assert self.lanes.due == min(parked.values(), default=None)
        assert parked.items() <= self.parked.items()

    @invariant()
    def the_oldest_is_known(self) -> None:
        waiting = [number for numbers in self.expected.values() for number in numbers]
        oldest = self.lanes.oldest(self.held)
        assert (oldest is None) == (not waiting)
        assert oldest is None or oldest <= min(waiting)

    def teardown(self) -> None:
        self.pass_time(9)
        while self.held or self.lanes.ready:
            if self.lanes.ready:
                self.take()
            self.finish(0)
        assert not any(self.expected.values())
        assert not self.lanes._ends  # pyright: ignore[reportPrivateUsage] - what a key costs


def test_lanes_do_what_a_list_per_key_does() -> None:
    run_state_machine_as_test(Laning, settings=settings(stateful_step_count=40))


class Lining(RuleBasedStateMachine):
    """A line beside the plainest thing that does the same: a list, and when each item is due."""

    def __init__(self) -> None:
        super().__init__()
        self.line = Line[Item](lambda item: item[0], weighed=True)
        self.expected: list[Item] = []
        self.waits: dict[Item, float] = {}
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
        assert oldest is None or oldest <= min(number for _, number in self.expected)


def test_a_line_lets_only_those_wait_that_have_to() -> None:
    run_state_machine_as_test(Lining, settings=settings(stateful_step_count=40))


def test_keys_take_turns() -> None:
    lanes, order = Lanes[str](), list[str]()
    lanes.extend(["a1", "a2", "a3", "b1", "b2"], ["a", "a", "a", "b", "b"], [0] * 5, 0.0)
    while lanes.ready:
        entry = lanes.ready.popleft()
        order.append(entry.item)
        lanes.finish(entry)

    assert order == ["a1", "b1", "a2", "b2", "a3"]


def test_what_is_due_comes_after_what_is_ready() -> None:
    lanes = Lanes[str]()
    lanes.extend(["a", "b"], ["a", "b"], [0, 0], 0.0)
    lanes.put_back(lanes.ready.popleft(), 5.0)

    assert lanes.due == 5
    lanes.unpark(5.0)
    assert [entry.item for entry in lanes.ready] == ["b", "a"]
    assert lanes.due is None


def test_an_idle_key_costs_nothing() -> None:
    lanes = Lanes[int]()
    lanes.extend(range(100), range(100), [0] * 100, 0.0)
    while lanes.ready:
        lanes.finish(lanes.ready.popleft())

    assert lanes.oldest([]) is None
    assert not lanes.take_out(lambda _: True, [])
    assert not lanes._ends  # pyright: ignore[reportPrivateUsage] - what a key costs


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
