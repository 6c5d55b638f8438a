from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_brokers import DestinationError, MemorySource, MemoryTarget
from callboard_brokers.memory import Templates

segments = st.text("abc*+?()[]^$|\\-_ é", min_size=1, max_size=5)


def match(template: str, address: str) -> object:
    return Templates().source(MemorySource(template)).match(address)


@pytest.mark.parametrize(
    ("template", "address", "path"),
    [
        ("orders", "orders", {}),
        ("orders", "orders.new", None),
        ("logs.{level}", "logs.error", {"level": "error"}),
        ("logs.{level}", "logs.", None),
        ("logs.{level}", "logs.error.old", None),
        ("logs/{level}", "logs/a/b", None),
        ("{region}.orders.{id}", "eu.orders.7", {"region": "eu", "id": "7"}),
        ("v{major}-{minor}", "v1-2", {"major": "1", "minor": "2"}),
        ("a+b.{x}", "aab.1", None),
    ],
)
def test_a_source_matches_addresses(template: str, address: str, path: object) -> None:
    assert match(template, address) == path


@given(first=segments, last=segments, value=segments)
def test_a_template_finds_what_was_put_into_it(first: str, last: str, value: str) -> None:
    assert match(f"{first}.{{name}}.{last}", f"{first}.{value}.{last}") == {"name": value}


@pytest.mark.parametrize("template", ["", "a}", "{", "a.{}", "{1a}", "{a}.{a}", "{a{b}}", "{a}}"])
def test_a_malformed_source_is_refused(template: str) -> None:
    with pytest.raises(DestinationError, match="cannot read"):
        Templates().source(MemorySource(template))


@pytest.mark.parametrize("address", ["", "logs.{level}"])
def test_a_template_is_no_target(address: str) -> None:
    with pytest.raises(DestinationError, match="cannot publish"):
        Templates().target(MemoryTarget(address))


def test_a_queue_is_shared_by_equal_addresses_and_groups() -> None:
    rules = Templates()
    keys = [
        rules.source(MemorySource(address, group=group)).key
        for address, group in [("a", "g"), ("a", "g"), ("a", "h"), ("b", "g")]
    ]

    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
