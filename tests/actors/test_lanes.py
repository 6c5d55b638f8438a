from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from callboard_actors._lanes import Entry, Lanes, Line

Item = tuple[str | None, int]
moves = st.lists(
    st.tuples(st.sampled_from(["put", "take", "done", "put_back", "purge"]), st.integers(0, 5)),
    max_size=200,
)


class Model:
    """Lanes beside the plainest thing that does the same: a list per key."""

    def __init__(self) -> None:
        self.lanes = Lanes[Item]()
        self.expected: dict[str | None, list[int]] = {None: [], "a": [], "b": [], "c": []}
        self.held: list[Entry[Item]] = []
        self.count = 0

    def put(self, which: int) -> None:
        keys = [None, "a", "b", "c", "a", "a"][which:]
        items = [(key, self.count + n) for n, key in enumerate(keys)]
        self.lanes.extend(items, keys, [1] * len(items), float(self.count))
        self.count += len(items)
        for key, number in items:
            self.expected[key].append(number)

    def take(self, _: int) -> None:
        if self.lanes.ready:
            entry = self.lanes.ready.popleft()
            key, number = entry.item
            if key is None:
                self.expected[None].remove(number)
            else:
                assert key not in [held.key for held in self.held]
                assert self.expected[key].pop(0) == number
            self.held.append(entry)

    def done(self, which: int) -> None:
        if self.held:
            self.lanes.finish(self.held.pop(which % len(self.held)))

    def put_back(self, which: int) -> None:
        if self.held:
            entry = self.held.pop(which % len(self.held))
            self.lanes.ready.appendleft(entry)
            key, number = entry.item
            self.expected[key].insert(0, number)

    def purge(self, which: int) -> None:
        out = self.lanes.take_out(lambda item: item[1] % 6 == which)
        for key, numbers in self.expected.items():
            gone = [number for number in numbers if number % 6 == which]
            numbers[:] = [number for number in numbers if number % 6 != which]
            found = [item[1] for item in out if item[0] == key]
            assert found == gone or (key is None and sorted(found) == sorted(gone))


@given(moves)
def test_items_of_a_key_are_taken_one_at_a_time_in_order_and_none_is_lost(
    moves: list[tuple[str, int]],
) -> None:
    model = Model()
    for name, which in moves:
        getattr(model, name)(which)
    while model.held or model.lanes.ready:
        model.take(0)
        model.done(0)

    assert not any(model.expected.values())


def test_keys_take_turns() -> None:
    lanes, order = Lanes[str](), list[str]()
    lanes.extend(["a1", "a2", "a3", "b1", "b2"], ["a", "a", "a", "b", "b"], [0] * 5, 0.0)
    while lanes.ready:
        entry = lanes.ready.popleft()
        order.append(entry.item)
        lanes.finish(entry)

    assert order == ["a1", "b1", "a2", "b2", "a3"]


def test_an_idle_key_costs_nothing() -> None:
    lanes = Lanes[int]()
    lanes.extend(range(100), range(100), [0] * 100, 0.0)
    while lanes.ready:
        lanes.finish(lanes.ready.popleft())

    assert lanes.oldest() is None
    assert not lanes.take_out(lambda _: True)


@given(st.lists(st.integers(1, 5), max_size=20), st.integers(0, 60))
def test_a_line_knows_when_its_first_item_came(bulks: list[int], taken: int) -> None:
    line, came = Line[float](), list[float]()
    for at, size in enumerate(bulks):
        line.extend([float(at)] * size, float(at))
        came += [float(at)] * size
    for _ in range(min(taken, len(came))):
        line.items.popleft()

    assert line.oldest() == next(iter(came[taken:]), None)
