"""A client that is missing says how to get it."""

from __future__ import annotations

import importlib

import pytest

from callboard_brokers.kit import needing


def test_a_missing_client_says_how_to_install_it() -> None:
    with (
        pytest.raises(ImportError, match=r'the client of Foo comes with pip install "foo\[bar\]"'),
        needing("the client of Foo", "foo[bar]"),
    ):
        importlib.import_module("a_client_that_nobody_has")


def test_a_client_that_is_there_is_imported() -> None:
    with needing("the client of Foo", "foo[bar]"):
        importlib.import_module("json")
