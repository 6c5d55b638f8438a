"""The service under trial; `callboard run --factory tests.chaos.service:make` is one worker process.

It writes down what it has handled, and what happens to it, in a file of its own, a line at a time.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
from pydantic import BaseModel

from callboard import App, Event
from callboard.kafka import KafkaBroker, KafkaMessage

__all__ = ["Letter", "Settings", "make"]

TOLD: Final = (
    "partitions.",
    "settle.",
    "fetch.",
    "publish.",
    "connection.",
    "actor.crash",
    "actor.gave",
)
"""The events that are written down, by how their names begin."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the worker processes of a trial have in common."""

    servers: str
    topic: str
    folder: str
    longest_ms: float = 5.0
    """Handlers take anything up to this."""
    max_workers: int = 8
    mailbox: int = 64
    commit_every: int = 100
    commit_interval: float = 0.2
    session_timeout_ms: int = 2000
    heartbeat_interval_ms: int = 200
    request_timeout_ms: int = 40_000

    @property
    def in_flight(self) -> int:
        """How many records a process may have taken without having committed them.

        One commit is on its way, and meanwhile the next one becomes due.
        """
        return self.mailbox + self.max_workers + 2 * self.commit_every

    @property
    def group(self) -> str:
        """The consumer group."""
        return f"{self.topic}.workers"

    @property
    def dead_letters(self) -> str:
        """Where dead letters go."""
        return f"{self.topic}.dead"


class Letter(BaseModel):
    """What is published."""

    id: str
    key: str
    seq: int
    poison: bool = False


class Journal:
    """Lines of JSON that are on disk when the call returns."""

    def __init__(self, folder: str) -> None:
        path = Path(folder) / f"{os.getpid()}.jsonl"
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def write(self, kind: str, *values: object) -> None:
        """Append a line."""
        os.write(self._file, json.dumps([kind, *values], default=str).encode() + b"\n")
        os.fsync(self._file)


def make() -> App:
    """Make the service that the environment describes."""
    settings = Settings(**json.loads(os.environ["CALLBOARD_CHAOS"]))
    journal = Journal(settings.folder)
    broker = KafkaBroker(
        settings.servers,
        dead_letter=settings.dead_letters,
        request_timeout_ms=settings.request_timeout_ms,
    )
    app = App(broker)
    attempts: Counter[str] = Counter()

    @broker.subscriber(
        settings.topic,
        group_id=settings.group,
        auto_offset_reset="earliest",
        max_workers=settings.max_workers,
        mailbox=settings.mailbox,
        commit_every=settings.commit_every,
        commit_interval=settings.commit_interval,
        session_timeout_ms=settings.session_timeout_ms,
        heartbeat_interval_ms=settings.heartbeat_interval_ms,
    )
    async def handle(letter: Letter, message: KafkaMessage) -> None:
        began = time.time()
        record = message.raw_message
        attempts[letter.id] += 1
        await anyio.sleep(random.uniform(0, settings.longest_ms) / 1000)
        if letter.poison:
            raise ValueError(f"{letter.id} is poison")
        journal.write(
            "run", letter.id, letter.key, letter.seq, attempts[letter.id], os.getpid(),
            record.partition, record.offset, began, time.time(),
        )  # fmt: skip

    @app.after_startup
    async def ready() -> None:
        journal.write("event", "ready", os.getpid(), time.time(), {})

    def tell(event: Event) -> None:
        if event.name.startswith(TOLD):
            attributes = {**event.attributes}
            journal.write("event", event.name, os.getpid(), time.time(), attributes)

    broker.events.subscribe(tell)
    return app
