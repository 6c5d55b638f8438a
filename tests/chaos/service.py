"""The service under trial; `callboard run --factory tests.chaos.service:make` is one worker process.

It writes down what it has handled, and what happens to it, in a file of its own, a line at a time.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Final

import anyio

from callboard import ActorCrash, App, Event, Message, Supervision

from .kind import Kind, Letter, Settings

__all__ = ["make"]

TOLD: Final = (
    "partitions.",
    "settle.",
    "fetch.",
    "publish.",
    "connection.",
    "actor.crash",
    "actor.gave",
    "breaker.",
)
"""The events that are written down, by how their names begin."""


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
    kind: Kind = import_module(f".{settings.kind}", __package__).KIND
    broker = kind.broker(settings.servers, settings)
    # Poison is no reason to give up.
    app = App(broker, supervision=Supervision(intensity=1000) if settings.crashes else None)
    attempts: Counter[str] = Counter()

    @kind.subscriber(broker, settings)
    async def handle(letter: Letter, message: Message) -> None:
        began = time.time()
        attempts[letter.id] += 1
        await anyio.sleep(random.uniform(0, settings.longest_ms) / 1000)
        if settings.needs and settings.away.exists():
            journal.write("event", "refused", os.getpid(), time.time(), {})
            raise ConnectionError(f"{letter.id} needs what is away")
        if letter.poison and int(letter.id[:4], 16) < 0x10000 * settings.crashes:
            raise ActorCrash(f"{letter.id} is poison for its actor")
        if letter.poison:
            raise ValueError(f"{letter.id} is poison")
        journal.write(
            "run", letter.id, letter.key, letter.seq, attempts[letter.id], os.getpid(),
            *kind.place(message), began, time.time(),
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
