from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from callboard_actors.mailbox._lanes import Entry, Lanes

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

    @rule(key=st.sampled_from([None, "a", "b", "c"]), count=st.integers(1, 3))
    def put_first(self, key: str | None, count: int) -> None:
        items = [(key, self.count + n) for n in range(count)]
        for number in self.expected[key][:1] if key else ():
            if (key, number) in self.parked:
                self.parked[items[0]] = self.parked.pop((key, number))
        self.lanes.put_first(items, key, [1] * count, float(self.count), self.held)
        self.count += count
        self.expected[key][:0] = [number for _, number in items]

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
