"""What a trial has to know of a broker: how to write to it, to read from it, and to look at it."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Any, Final, Protocol

from pydantic import BaseModel

from callboard import Breaker, Broker, Message

from .history import Commit

__all__ = ["Daemon", "Kind", "Letter", "Node", "Onlooker", "Settings", "free_ports", "listens"]

PATIENCE: Final = 120.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the worker processes of a trial have in common."""

    kind: str
    """The module of the broker, beside this one."""
    servers: str
    topic: str
    folder: str
    longest_ms: float = 5.0
    """Handlers take anything up to this."""
    max_workers: int = 8
    mailbox: int = 64
    needs: bool = False
    """Whether handlers need something that may be away, and have a breaker for that."""
    crashes: float = 0.0
    """The part of the poison that crashes its actor."""
    pool: int = 1
    """How many workers each process of a trial has; with more than one it only supervises."""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What else the broker is told, by its kind."""

    @property
    def breaker(self) -> Breaker | None:
        """That of the subscriber."""
        return Breaker(pause=0.5, on=ConnectionError) if self.needs else None

    @property
    def away(self) -> Path:
        """What handlers need is away while this is there."""
        return Path(self.folder) / "away"

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


class Onlooker(Protocol):
    """Reads what the server knows, by a client that has no part in the trial."""

    async def create(self, settings: Settings) -> Any:
        """Make what is written to and read from; return what tells commits to come from earlier ones."""

    async def lag(self, settings: Settings) -> int:
        """Return how much waits to be read or settled."""
        ...

    async def commits(self, settings: Settings, mark: Any) -> Sequence[Commit]:
        """Return every commit of the trial, as the server wrote them; empty: it writes none."""
        ...

    async def dead_letters(self, settings: Settings) -> Sequence[str]:
        """Return the ids of what is dead."""
        ...

    async def close(self, settings: Settings) -> None:
        """Leave nothing behind on a server that others use."""


class Node(Protocol):
    """A server of the trials' own. Its folder survives its process, hence so does what it has said to have."""

    @property
    def address(self) -> str:
        """Where it is."""
        ...

    def start(self) -> None:
        """Return when it answers."""

    def stop(self, how: Signals = SIGTERM) -> None:
        """End it, in good order unless by SIGKILL."""


class Kind(Protocol):
    """A broker under trial; stands as `KIND` in a module that is called by its name."""

    name: str
    partitions: int
    """How many parts of what is read go on independently."""
    ordered: bool
    """Whether the records of a key are in order across processes, and through faults."""
    commits: bool
    """Whether the server writes down positions."""

    def broker(self, servers: str, settings: Settings) -> Broker[Any]:
        """Make a broker."""
        ...

    def subscriber(self, broker: Any, settings: Settings) -> Callable[[Any], Any]:
        """Return what declares a handler of the trial's letters."""
        ...

    async def publish(self, broker: Any, letter: Letter, settings: Settings) -> None:
        """Return when the server has *letter*."""

    def place(self, message: Message) -> tuple[int, int]:
        """Return the partition of *message*, and its offset there."""
        ...

    def in_flight(self, settings: Settings) -> int:
        """Return how many records a process may have taken that count as unhandled if it dies."""
        ...

    def onlooker(self, servers: str) -> AbstractAsyncContextManager[Onlooker]:
        """Look at the server."""
        ...

    def missing(self) -> str | None:
        """Say why there can be no node of our own; None if there can."""

    def node_in(self, folder: Path) -> AbstractContextManager[Any]:
        """Run a `Node`, and leave nothing of it."""
        ...


class Daemon:
    """A process that serves, in a group of its own; by SIGKILL all of that is ended.

    Its *answers* says whether it does; what it says goes to a file in *folder*.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        answers: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command, self._environment = command, environment
        self._log = folder / "server.log"
        self._answers = answers
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        end = time.monotonic() + PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise ChildProcessError(f"{self._command[0]} does not start: {self._log}")
            time.sleep(0.05)

    def stop(self, how: Signals = SIGTERM) -> None:
        """End it, in good order unless by SIGKILL."""
        if self._process is not None:
            # By SIGKILL the whole group: a script that is first in it could pass on nothing.
            send = os.killpg if how == SIGKILL else os.kill
            send(self._process.pid, how)
            self._process.wait(PATIENCE)
            self._process = None


def listens(address: str) -> bool:
    """Whether anybody listens at *address*, `host:port`."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def free_ports(count: int) -> list[int]:
    """Find ports that nobody listens at, nor gets for an outgoing connection while a node is away."""
    with ExitStack() as stack:
        found: list[int] = []
        for port in random.SystemRandom().sample(range(10_000, 19_000), 1000):
            each = stack.enter_context(socket.socket())
            try:
                each.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
            if len(found) == count:
                break
        return found
