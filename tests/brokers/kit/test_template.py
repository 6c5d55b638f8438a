"""A template is parsed once; it matches what it made, and no broker brings too little for it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_brokers import DestinationError
from callboard_brokers.kit import Template

segments = st.text("abz*?[]\\+-_:", min_size=1, max_size=4)
parts = st.lists(segments | st.sampled_from(["{a}", "x{b}", "{c}y"]), min_size=1, max_size=5)


def test_parameters_are_found_in_an_address() -> None:
    template = Template("logs.{level}.of-{host}")

    assert template.names == ("level", "host")
    assert template.match("logs.error.of-db1") == {"level": "error", "host": "db1"}
    assert template.match("logs.error.db1") is None
    assert template.match("logs.a.b.of-c") is None
    assert template.match("logs..of-c") is None


def test_an_address_without_parameters_matches_itself() -> None:
    template = Template("logs.error")

    assert template.match("logs.error") == {}
    assert template.match("logs-error") is None
    assert (template.wildcard(), template.glob()) == ("logs.error", "logs.error")


def test_brokers_read_what_their_wildcards_say() -> None:
    template = Template("a*.{b}.c-{d}")

    assert template.wildcard() == "a*.*.*"
    assert Template("sites/{site}/heat").wildcard("+", "/") == "sites/+/heat"
    assert template.glob() == r"a\*.*.c-*"


def test_a_prefix_may_have_parameters_too() -> None:
    assert Template("{b}").prefixed("{a}.") == Template("{a}.{b}")


@pytest.mark.parametrize(
    "text", ["", "a{", "a}", "{}", "{1}", "{a-b}", "{a.b}", "{a}.{a}", "{{a}}"]
)
def test_what_is_no_template_is_refused(text: str) -> None:
    with pytest.raises(DestinationError, match=re.escape(repr(text))):
        Template(text)


@given(parts, st.lists(segments, min_size=3, max_size=3))
def test_an_address_made_from_a_template_matches_and_is_brought(
    made_of: list[str], values: list[str]
) -> None:
    text = ".".join(dict.fromkeys(made_of))
    template, address = Template(text), text
    for name, value in zip("abc", values, strict=True):
        address = address.replace(f"{{{name}}}", value)

    assert template.match(address) is not None
    assert is_brought(template.wildcard(), address, one="*")
    assert re.fullmatch(glob_pattern(template.glob()) if template.names else ".*", address)


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_text_breaks_a_template(text: str, address: str) -> None:
    try:
        template = Template(text)
    except DestinationError:
        return
    found = template.match(address)

    assert found is None or tuple(found) == template.names


def is_brought(pattern: str, address: str, one: str) -> bool:
    """Say whether NATS would bring *address* to a reader of *pattern*."""
    pairs = [*zip(pattern.split("."), address.split("."), strict=False)]
    same_length = pattern.count(".") == address.count(".")
    return same_length and all(part in {one, segment} for part, segment in pairs)


def glob_pattern(glob: str) -> str:
    """Return the regular expression that Redis would make of *glob*, which has no ? or []."""
    marks = re.findall(r"\\.|.", glob, re.DOTALL)
    return "".join(".*" if mark == "*" else re.escape(mark[-1]) for mark in marks)
