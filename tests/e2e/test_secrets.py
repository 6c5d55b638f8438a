"""A service that logs everything, and proves who it is to a real server, writes no secret."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..leaks import PASSWORD, WRONG_PASSWORD, looked_through, secrets_in

pytestmark = pytest.mark.slow

# The password comes by the environment, as it should; so it stands in no file of the test.
SERVICE = """
import os
from callboard import App
from callboard.kafka import KafkaBroker
from callboard.security import {kind}

topic = os.environ["TOPIC"]
kafka = KafkaBroker(os.environ["AT"], security={kind}("alice", os.environ["PASSWORD"]))
app = App(kafka, graceful_timeout=5)

@kafka.subscriber(topic, group_id=topic, auto_offset_reset="earliest")
async def handle(body: str) -> None:
    app.exit()

@app.after_startup
async def publish() -> None:
    await kafka.publish("hello", topic)
"""
kinds = pytest.mark.parametrize("kind", ["SASLPlaintext", "SASLScram512"])


class Service:
    """The commands of a service, which speaks to one listener, with one password."""

    def __init__(self, folder: Path, kind: str, at: str, password: str, topic: str) -> None:
        (folder / "service.py").write_text(SERVICE.format(kind=kind))
        self._folder = folder
        self._environment = {"AT": os.environ[at], "PASSWORD": password, "TOPIC": topic}

    def __call__(self, *command: str) -> tuple[int, str]:
        """Return the status of `callboard` with this *command*, and all that it has written."""
        done = subprocess.run(
            [str(Path(sys.executable).parent / "callboard"), *command],
            cwd=self._folder,
            env={**os.environ, **self._environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=50,
            check=False,
        )
        return done.returncode, looked_through(done.stdout)


@kinds
@pytest.mark.broker("kafka_sasl")
def test_a_service_that_is_let_in_writes_no_secret(tmp_path: Path, kind: str, topic: str) -> None:
    service = Service(tmp_path, kind, "CALLBOARD_KAFKA_SASL", PASSWORD, topic)
    status, written = service("run", "service:app", "-l", "DEBUG")

    assert status == 0, written
    assert "Authenticated as alice" in written
    assert not secrets_in(written)


@kinds
@pytest.mark.parametrize(
    "at",
    [
        pytest.param("CALLBOARD_KAFKA", marks=pytest.mark.broker("kafka")),
        pytest.param("CALLBOARD_KAFKA_SASL", marks=pytest.mark.broker("kafka_sasl")),
    ],
)
def test_a_service_that_is_not_let_in_writes_no_secret(
    tmp_path: Path, kind: str, at: str, topic: str
) -> None:
    status, written = Service(tmp_path, kind, at, WRONG_PASSWORD, topic)(
        "run", "service:app", "-l", "DEBUG"
    )

    assert status == 1, written
    assert "does not let us in" in written
    assert not secrets_in(written)


@kinds
@pytest.mark.broker("kafka")
def test_a_document_holds_no_secret(tmp_path: Path, kind: str, topic: str) -> None:
    service = Service(tmp_path, kind, "CALLBOARD_KAFKA", PASSWORD, topic)
    status, written = service("docs", "gen", "service:app")

    assert status == 0, written
    assert topic in written
    assert not secrets_in(written)
