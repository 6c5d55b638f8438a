"""`callboard docs serve`, in a process of its own."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from .calls import SERVICE, callboard

pytestmark = pytest.mark.slow
DOCUMENT: dict[str, Any] = {
    "asyncapi": "3.0.0",
    "info": {"title": "Shop", "version": "1"},
    "channels": {},
}


@contextmanager
def serving(source: str, *words: str) -> Generator[tuple[subprocess.Popen[str], httpx.Client]]:
    with callboard(
        "docs", "serve", source, "--host", "127.0.0.1", "--port", "0", *words
    ) as process:
        assert process.stderr
        said = process.stderr.readline()
        assert said.startswith("HTTPServer running on http://127.0.0.1:"), said
        with httpx.Client(base_url=said.split()[-1], timeout=30) as client:
            yield process, client


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (written := tmp_path / "api.json").write_text(json.dumps(DOCUMENT))
    return written


def test_the_page_and_the_document_are_served_and_ctrl_c_ends_it_at_once(file: Path) -> None:
    with serving(str(file)) as (process, client):
        html, document = client.get("/").text, client.get("/asyncapi.json").json()
        statuses = [client.get("/else").status_code, client.post("/").status_code]
        with client.stream("GET", "/events") as events:
            next(events.iter_lines())
            process.send_signal(signal.SIGINT)
            status = process.wait(timeout=15)

    assert "<title>Shop AsyncAPI</title>" in html
    assert "connect-src &#39;self&#39;" in html
    assert document == DOCUMENT
    assert statuses == [404, 405]
    assert status == 0


def test_a_browser_hears_of_a_change_and_gets_the_new_page(file: Path) -> None:
    with serving(str(file)) as (_, client), client.stream("GET", "/events") as events:
        lines = events.iter_lines()
        assert next(lines) == ": alive"
        changed = {**DOCUMENT, "info": {"title": "Another", "version": "1"}}
        file.write_text(json.dumps(changed))

        assert "event: changed" in lines
        assert "<title>Another AsyncAPI</title>" in client.get("/").text


def test_what_cannot_be_read_leaves_the_page_as_it_was(file: Path) -> None:
    with serving(str(file)) as (process, client):
        file.write_text("{")
        assert process.stderr
        said = next(line for line in process.stderr if "callboard:" in line)

        assert "the page stays as it was" in said
        assert "<title>Shop AsyncAPI</title>" in client.get("/").text


def test_an_application_is_read_again_when_its_module_changes(tmp_path: Path) -> None:
    (module := tmp_path / "shop_service.py").write_text(SERVICE)
    here = ("--app-dir", str(tmp_path))
    with (
        serving("shop_service:app", *here) as (_, client),
        client.stream("GET", "/events") as events,
    ):
        lines = events.iter_lines()
        assert next(lines) == ": alive"
        module.write_text(SERVICE.replace('"orders"', '"parcels"'))

        assert "event: changed" in lines
        assert "parcels" in client.get("/").text


def test_another_name_of_this_machine_is_refused(file: Path) -> None:
    with serving(str(file)) as (_, client):
        assert client.get("/", headers={"Host": "evil.example.com"}).status_code == 403


def test_a_port_in_use_is_one_line(file: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        words = ("docs", "serve", str(file), "--host", "127.0.0.1", "--port", port)
        with callboard(*words) as process:
            _, said = process.communicate(timeout=60)

    assert process.returncode == 2
    assert said.count("\n") == 1
    assert f"http://127.0.0.1:{port} can't be served" in said
