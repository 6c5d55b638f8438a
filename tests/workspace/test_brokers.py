"""The script that starts the servers asks them before it says that they are there, at ports that nobody else gets."""

from __future__ import annotations

import socket
import sys
from importlib import import_module
from pathlib import Path
from re import findall
from struct import pack
from threading import Thread

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.mark.parametrize("answer", [pack(">ii", 4, 1), pack(">ii", 20, 1)], ids=["short", "cut"])
def test_a_server_that_does_not_answer_whole_coordinates_nothing(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", [str(SCRIPTS), *sys.path])
    kafka = import_module("servers.kafka")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(answer)

        serving = Thread(target=serve)
        serving.start()

        assert not kafka.coordinates(f"127.0.0.1:{server.getsockname()[1]}")
        serving.join()


@pytest.mark.parametrize("name", ["kafka", "nats", "postgres", "rabbit", "rabbit_newer", "redis"])
def test_no_port_is_one_that_the_system_gives_to_outgoing_connections(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", [str(SCRIPTS), *sys.path])
    source = Path(import_module(f"servers.{name}").__file__ or "").read_text()
    ports = {int(number) for number in findall(r"\b\d{5}\b", source)}

    # Linux gives 32768 and up; whoever has one of them keeps a server or a proxy from listening there.
    assert ports
    assert max(ports) < 32768


def test_a_server_that_ends_at_once_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.path", [str(SCRIPTS), *sys.path])
    machine = import_module("servers.machine")
    monkeypatch.setattr(machine, "STATE", tmp_path)

    with pytest.raises(SystemExit, match=r"ends ended at once; see .*ends\.log"):
        machine.serve(["true"], "ends", lambda: False)
