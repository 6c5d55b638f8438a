"""Kafka, one node: it needs Java 17 or newer, and Maven, whose own client fetches the jars once."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path

from servers.machine import (
    SERVERS,
    STATE,
    install,
    issue_certificates,
    run,
    running,
    serve,
    wait_for,
)

NAME = "Kafka 4.3.1"
PREFIX = "CALLBOARD_KAFKA"

_VERSION = "4.3.1"
_KAFKA = "127.0.0.1:19092"
_CERTIFICATES = STATE / "certificates"
_PLAIN = {
    "CALLBOARD_KAFKA": _KAFKA,
    "CALLBOARD_KAFKA_PROXIED": "127.0.0.1:19099",  # the listener for connections through a proxy
    "CALLBOARD_KAFKA_PROXY": "127.0.0.1:29099",  # where that proxy has to listen
}
"""What works with a Kafka that this script has not started, and whose authority it has not made."""
_OURS = {
    "CALLBOARD_KAFKA_SASL": "127.0.0.1:19094",  # alice, alice-secret: PLAIN and SCRAM
    "CALLBOARD_KAFKA_SASL_TLS": "127.0.0.1:19095",  # the same over TLS
    "CALLBOARD_KAFKA_TLS": "127.0.0.1:19096",
    "CALLBOARD_KAFKA_OAUTH": "127.0.0.1:19097",  # tokens need no signature
    "CALLBOARD_KAFKA_MTLS": "127.0.0.1:19098",  # asks for client.pem
    "CALLBOARD_KAFKA_CERTIFICATES": str(_CERTIFICATES),  # ca.crt, client.pem
}
_SCRAM = [f"SCRAM-SHA-{bits}=[name=alice,password=alice-secret]" for bits in (256, 512)]
_JAVA = [
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
]
_CLUSTER = "MkU3OEVBNTcwNTJENDM2Qg"


def up() -> bool:
    """Start Kafka unless it answers already; return whether that was needed."""
    needed = not _answers(_KAFKA)
    if needed:
        _start()
    wait_for(lambda: coordinates(_KAFKA), "Kafka to coordinate groups and transactions", "kafka")
    return needed


def down() -> bool:
    """Stop Kafka if it was started here; return whether it ran."""
    process = _process()
    if process is not None:
        os.kill(process, signal.SIGTERM)
        wait_for(lambda: _process() is None, "Kafka to stop", "kafka")
    if (STATE / "kafka.data").exists():
        shutil.rmtree((STATE / "kafka.data").read_text(), ignore_errors=True)
    for name in ("kafka.pid", "kafka.data"):
        (STATE / name).unlink(missing_ok=True)
    return process is not None


def addresses() -> Mapping[str, str]:
    """Say where it is."""
    return {**_PLAIN, **(_OURS if _CERTIFICATES.exists() else {})}


def _start() -> None:
    """Run a fresh node in the background; its data is in a temporary folder."""
    install("java", "default-jre-headless")
    libs = _fetch_jars()
    issue_certificates(_CERTIFICATES)
    data = tempfile.mkdtemp(prefix="callboard-kafka-")
    (STATE / "kafka.data").write_text(data)
    properties = STATE / "kafka.properties"
    template = (SERVERS / "kafka.properties").read_text()
    properties.write_text(template.replace("@DATA@", data).replace("@CERTS@", str(_CERTIFICATES)))

    java = ["java", *_JAVA, "-cp", f"{libs}/*"]
    form = ["format", "--standalone", "-t", _CLUSTER, "--ignore-formatted", "-c", str(properties)]
    users = [part for user in _SCRAM for part in ("--add-scram", user)]
    run([*java, "kafka.tools.StorageTool", *form, *users])
    serve([*java, "kafka.Kafka", str(properties)], "kafka", lambda: _answers(_KAFKA))


def _process() -> int | None:
    return running("kafka", rf"kafka\.Kafka {STATE}")


def _fetch_jars() -> Path:
    """Let Maven copy the server's jars into the state folder, once for a version."""
    libs = STATE / f"kafka-{_VERSION}"
    if not libs.exists():
        install("mvn", "maven")
        shutil.rmtree(STATE / "incomplete", ignore_errors=True)
        pom = ["-f", str(SERVERS / "kafka.pom.xml")]
        copy = f"-DoutputDirectory={STATE / 'incomplete'}"
        run(["mvn", "-q", "-B", *pom, "dependency:copy-dependencies", copy])
        (STATE / "incomplete").rename(libs)
    return libs


def _answers(address: str) -> bool:
    """Whether a Kafka at *address* answers which versions of its protocol it speaks."""
    return _ask(address, 18, 0) is not None


def coordinates(address: str) -> bool:
    """Whether a Kafka at *address* coordinates groups and transactions.

    A fresh one creates the topics that hold their state when it is asked for the first time, which
    takes seconds on a slow machine.
    """
    for kind in (0, 1):
        answer = _ask(address, 10, 1, struct.pack(">h1sb", 1, b"x", kind))
        # Behind the request's number and a delay stands an error, which is 0 if there is a coordinator.
        if answer is None or answer[8:10] != bytes(2):
            return False
    return True


def _ask(address: str, question: int, version: int, body: bytes = b"") -> bytes | None:
    """Return what a Kafka at *address* answers to a request of its protocol; None if it does not."""
    host, port = address.split(":")
    name = b"brokers"
    request = struct.pack(">hhih", question, version, 1, len(name)) + name + body
    try:
        with socket.create_connection((host, int(port)), timeout=2) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            with connection.makefile("rb") as answer:
                (size,) = struct.unpack(">i", answer.read(4))
                whole = answer.read(size)
                return whole if len(whole) == size else None
    except (OSError, struct.error):
        return None
