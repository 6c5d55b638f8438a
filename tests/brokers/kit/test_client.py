"""A client is imported while the loop goes on; one that is missing says how to get it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from callboard_brokers.kit import load, needing

pytestmark = pytest.mark.anyio


async def test_what_a_body_imports_says_how_to_install_it_too() -> None:
    with (
        pytest.raises(ImportError, match='the client of Foo comes with pip install "foo"'),
        needing("the client of Foo", "foo"),
    ):
        importlib.import_module("a_client_that_nobody_has")


async def test_a_missing_client_says_how_to_install_it() -> None:
    with pytest.raises(ImportError, match=r'the client of Foo comes with pip install "foo\[bar\]"'):
        await load("a_client_that_nobody_has", "the client of Foo", "foo[bar]")


async def test_the_loop_goes_on_while_a_client_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "a_slow_client", raising=False)
    asks_the_loop = "from anyio import from_thread\n\nanswer = from_thread.run_sync(str, 7)\n"
    (tmp_path / "a_slow_client.py").write_text(asks_the_loop)
    await load("a_slow_client", "the client of Foo", "foo[bar]")

    assert sys.modules["a_slow_client"].answer == "7"
