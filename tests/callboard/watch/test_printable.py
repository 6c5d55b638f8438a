"""Text from outside, made fit to be seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.watch._printable import printable

ANYTHING = st.text(st.characters(), max_size=60)


@pytest.mark.parametrize(
    ("outside", "inside"),
    [
        ("order-7", "order-7"),
        ("Grüße, 世界 🎭", "Grüße, 世界 🎭"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("id\r\nCRITICAL root", r"id\r\nCRITICAL root"),
        ("\x9b31m", r"\x9b31m"),
        ("\udcff", r"\udcff"),
        ("drow\u202e", r"drow\u202e"),
        ("one\u2028two", r"one\u2028two"),
    ],
)
def test_what_a_terminal_or_a_log_would_obey_is_written_out(outside: str, inside: str) -> None:
    assert printable(outside) == inside


def test_the_lines_of_a_traceback_are_kept() -> None:
    assert printable("a\n\tb\r\x1b", lines=True) == "a\n\tb\\r\\x1b"


def test_of_a_long_text_the_two_ends_are_kept() -> None:
    assert printable("begin" + "x" * 20_000_000 + "end", 11) == "begin…xxend"


@given(ANYTHING, st.integers(8, 40))
def test_whatever_it_is_it_is_printable_and_short(text: str, limit: int) -> None:
    shown = printable(text, limit)

    assert shown.isprintable()
    assert len(shown) <= limit
    assert printable(shown, limit) == shown
    shown.encode()
