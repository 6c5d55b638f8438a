from __future__ import annotations

import pytest

from callboard_brokers import DestinationError
from callboard_brokers.nats import NatsSource, NatsTarget, Subject
from callboard_brokers.nats._subject import covers


@pytest.mark.parametrize(
    ("text", "address", "path"),
    [
        ("logs.error", "logs.error", {}),
        ("logs.error", "logs.warning", None),
        ("logs.*", "logs.error", {}),
        ("logs.*", "logs.error.disk", None),
        ("logs.>", "logs.error.disk", {}),
        ("logs.>", "logs", None),
        ("logs.{level}", "logs.error", {"level": "error"}),
        ("{a}.x.{b}", "1.x.2", {"a": "1", "b": "2"}),
        ("{a}.>", "1.x/y", {"a": "1"}),
        ("logs.a+b", "logs.aab", None),
    ],
)
def test_a_subject_matches_by_tokens(text: str, address: str, path: object) -> None:
    assert Subject(text).match(address) == path


def test_the_server_is_asked_for_wildcards() -> None:
    assert Subject("logs.{level}.>").wire == "logs.*.>"


@pytest.mark.parametrize(
    "text", ["", "logs error", "a..b", ".a", "a.", "a.>.b", "a*", "x{y}", "{a}.{a}", "{}", "a\r\nb"]
)
def test_a_subject_that_no_server_takes_is_refused_where_it_is_declared(text: str) -> None:
    with pytest.raises(DestinationError):
        NatsSource(text)


@pytest.mark.parametrize("text", ["logs.*", "logs.{level}", "logs error", ">"])
def test_no_target_has_wildcards_or_blanks(text: str) -> None:
    with pytest.raises(DestinationError):
        NatsTarget(text)


@pytest.mark.parametrize(
    ("pattern", "subject", "true"),
    [
        ("a.>", "a.b", True),
        ("a.>", "a", False),
        ("a.*", "a.b", True),
        ("a.*", "a.*", True),
        ("a.*", "a.>", False),
        ("a.b", "a.*", False),
        (">", "a.>", True),
        ("a.b", "a.b", True),
        ("a.b", "a.b.c", False),
        ("a.b.c", "a.b", False),
    ],
)
def test_a_pattern_covers_what_it_reads_all_of(pattern: str, subject: str, true: object) -> None:
    assert covers(pattern, subject) is true
