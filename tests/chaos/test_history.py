"""The checker of the trials finds what is wrong, and nothing in what is right."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from .history import Commit, History, Run, check


def run(key: str, seq: int, at: float, *, pid: int = 1, took: float = 0.5) -> Run:
    return Run(f"{key}{seq}", key, seq, 1, pid, 0, seq, at - took, at)


GOOD = [run("a", 0, 1), run("b", 1, 1.2), run("a", 2, 2), run("b", 3, 2.5)]
IDS = {"a0", "b1", "a2", "b3"}


def complaints(history: History, bound: int = 0) -> str:
    return "; ".join(check(history).complaints(bound))


def test_nothing_is_wrong_with_a_good_history() -> None:
    commits = [Commit(0, 1, 1.1), Commit(0, 4, 2.6)]

    assert complaints(History(acknowledged=IDS, runs=GOOD, commits=commits)) == ""


def test_the_longest_stall_is_that_of_the_partition_that_has_waited_longest() -> None:
    elsewhere = [run("c", seq, seq)._replace(partition=1) for seq in range(3, 12)]
    history = History(acknowledged=IDS, runs=[*GOOD, *elsewhere, run("b", 5, 12, took=9)])

    assert check(history).stall == 12 - 2.5
    assert check(History(acknowledged=set())).stall == 0


def test_what_was_acknowledged_and_never_handled_is_lost() -> None:
    told = complaints(History(acknowledged=IDS, runs=GOOD[:-1]))

    assert told == "lost: 1, such as b3"


def test_what_was_published_in_vain_may_be_handled_or_not() -> None:
    history = History(acknowledged=IDS - {"a2"}, unsure={"a2", "c9"}, runs=GOOD)

    assert complaints(history) == ""


def test_what_nobody_published_is_unexpected() -> None:
    told = complaints(History(acknowledged=IDS - {"b1"}, runs=GOOD))

    assert told == "unexpected: 1, such as b1"


def test_duplicates_are_counted_against_their_bound() -> None:
    history = History(acknowledged=IDS, runs=[*GOOD, run("a", 0, 3), run("a", 2, 4)])

    assert complaints(history, 2) == ""
    assert complaints(history, 1) == "duplicates: 2, where 1 are allowed"
    assert check(history).histogram == {1: 2, 2: 2}


def test_a_later_record_of_a_key_before_an_earlier_one_is_disorder() -> None:
    told = complaints(History(acknowledged=IDS, runs=[*GOOD[1:], run("a", 0, 3, pid=2)]))

    assert told == "disorder: 1, such as key a: 0 by 2 after 2 by 1"


def test_a_repetition_is_no_disorder() -> None:
    again = [run("a", 0, 3, pid=2), run("a", 2, 4, pid=2)]

    assert check(History(acknowledged=IDS, runs=[*GOOD, *again])).disorder == []


def test_two_of_a_key_at_once_in_a_process_overlap() -> None:
    runs = [*GOOD[:2], run("a", 2, 2, took=1.5), GOOD[3]]
    elsewhere = [*GOOD[:2], run("a", 2, 2, took=1.5, pid=2), GOOD[3]]

    assert complaints(History(acknowledged=IDS, runs=runs)) == (
        "overlaps: 1, such as key a: 0 and 2 at once in 1"
    )
    assert complaints(History(acknowledged=IDS, runs=elsewhere)) == ""


def test_a_commit_that_goes_back_is_a_rewind() -> None:
    commits = [Commit(0, 4, 5), Commit(1, 2, 5), Commit(0, 3, 6)]
    told = complaints(History(acknowledged=IDS, runs=GOOD, commits=commits))

    assert told == "rewinds: 1, such as partition 0: 3 after 4"


def test_a_commit_before_everything_below_is_handled_is_premature() -> None:
    told = complaints(History(acknowledged=IDS, runs=GOOD, commits=[Commit(0, 3, 1.5)]))

    assert told == "premature: 1, such as partition 0: 3, 0.500 s before that was true"


def test_poison_has_to_be_dead_lettered_once_and_nothing_else_may_be() -> None:
    rest = History(acknowledged=IDS, poison={"a2"}, runs=[*GOOD[:2], GOOD[3]], dead_letters=["a2"])
    twice = History(acknowledged={"x"}, poison={"x"}, dead_letters=["x", "x"])
    never = History(acknowledged={"x"}, poison={"x"})
    wrong = History(acknowledged=IDS, runs=GOOD, dead_letters=["a2"])

    assert complaints(rest) == ""
    assert complaints(twice) == "strays: 1, such as x dead-lettered 2 times"
    assert complaints(never) == "strays: 1, such as x dead-lettered 0 times"
    assert complaints(wrong) == "strays: 1, such as a2 dead-lettered 1 times"


@given(st.integers(1, 60), st.integers(0, 59), st.data())
def test_handling_anew_from_any_position_is_no_disorder(
    count: int, died: int, data: st.DataObject
) -> None:
    done = [run("a", seq, seq) for seq in range(min(died, count))]
    committed = data.draw(st.integers(0, len(done)))
    rest = [run("a", seq, 100 + seq, pid=2) for seq in range(committed, count)]
    verdict = check(History(acknowledged={f"a{n}" for n in range(count)}, runs=done + rest))

    assert verdict.complaints(len(done) - committed) == []
    assert verdict.duplicates == len(done) - committed
