"""NATS under trial: one consumer of a stream on disk, which several processes read."""

from __future__ import annotations

import shutil
from base64 import b64decode
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from signal import SIGKILL
from typing import Any, Final

from callboard import Message
from callboard.nats import JStream, NatsBroker

from ..brokers.nats.server import Server, server_at
from .history import Commit
from .kind import Daemon, Kind, Letter, Settings, free_ports, listens

__all__ = ["KIND", "NatsNode"]

ROOT: Final = Path(__file__).parents[2]
KEY: Final = "x-key"
DURABLE: Final = "workers"


class NatsKind:
    """A durable consumer; the options are its subscriber's, such as `ack_wait`."""

    name = "nats"
    partitions = 1
    ordered = commits = False

    def broker(self, servers: str, settings: Settings) -> NatsBroker:
        """Make a broker."""
        return NatsBroker(servers, dead_letter=settings.dead_letters)

    def subscriber(self, broker: NatsBroker, settings: Settings) -> Callable[[Any], Any]:
        """Return what declares a handler of the trial's letters."""
        return broker.subscriber(
            self.subject(settings),
            stream=self.stream(settings),
            durable=DURABLE,
            max_workers=settings.max_workers,
            mailbox=settings.mailbox,
            breaker=settings.breaker,
            key_header=KEY,
            **settings.options,
        )

    def subject(self, settings: Settings) -> str:
        """Return where letters are published to."""
        return f"{settings.topic}.letters"

    def stream(self, settings: Settings) -> JStream:
        """Return the stream of the letters, and of those that are dead."""
        name = settings.topic.replace(".", "_")
        return JStream(name, [self.subject(settings), settings.dead_letters], storage="file")

    async def publish(self, broker: NatsBroker, letter: Letter, settings: Settings) -> None:
        """Return when the server has *letter*."""
        subject, stream = self.subject(settings), self.stream(settings).name
        await broker.publish(letter, subject, stream=stream, headers={KEY: letter.key})

    def place(self, message: Message) -> tuple[int, int]:
        """Return where in its stream *message* is, of which there is one."""
        return 0, message.raw_message.metadata.sequence

    def in_flight(self, settings: Settings) -> int:
        """Return what may be in hand, and as much again, which waits for it."""
        return 2 * (settings.mailbox + settings.max_workers)

    def onlooker(self, servers: str) -> AbstractAsyncContextManager[Streams]:
        """Look at the server."""
        return streams_at(servers)

    def missing(self) -> str | None:
        """Say why there can be no node of our own; None if there can."""
        return None if program() else "there is no nats-server; make brokers-up makes one"

    @contextmanager
    def node_in(self, folder: Path) -> Generator[NatsNode]:
        """Run a node, and leave nothing of it."""
        node = NatsNode(folder)
        try:
            node.start()
            yield node
        finally:
            node.stop(SIGKILL)
            shutil.rmtree(folder / "data", ignore_errors=True)


KIND: Final = NatsKind()
_: Kind = KIND


class Streams:
    """Reads what the server knows, by words of its own."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def create(self, settings: Settings) -> None:
        """Make the stream before anybody publishes."""
        stream = KIND.stream(settings)
        config = {"name": stream.name, "subjects": [*stream.subjects], "storage": "file"}
        await self._server.ask(f"STREAM.CREATE.{stream.name}", config)

    async def lag(self, settings: Settings) -> int:
        """Return how much waits to be delivered or acknowledged."""
        known = await self._server.consumer(KIND.stream(settings).name, DURABLE)
        return int(known["num_pending"]) + int(known["num_ack_pending"])

    async def commits(self, settings: Settings, mark: object) -> Sequence[Commit]:
        """Return nothing: messages are acknowledged one by one."""
        del settings, mark
        return []

    async def dead_letters(self, settings: Settings) -> list[str]:
        """Return the ids of what is dead."""
        call, dead, position = f"STREAM.MSG.GET.{KIND.stream(settings).name}", list[str](), 1
        while True:
            words = {"seq": position, "next_by_subj": settings.dead_letters}
            found = (await self._server.ask(call, words)).get("message")
            if found is None:
                return dead
            body = b64decode(found["data"])
            dead.append(Letter.model_validate_json(body).id)
            position = found["seq"] + 1

    async def close(self, settings: Settings) -> None:
        """Delete the stream."""
        await self._server.delete(KIND.stream(settings).name)


@asynccontextmanager
async def streams_at(servers: str) -> AsyncGenerator[Streams]:
    """Look at the server of *servers*."""
    async with server_at(servers) as server:
        yield Streams(server)


class NatsNode(Daemon):
    """One server that keeps its streams on disk."""

    def __init__(self, folder: Path) -> None:
        (port,) = free_ports(1)
        self.address = f"127.0.0.1:{port}"
        store = ["-js", "-sd", str(folder / "data")]
        command = [program(), "-a", "127.0.0.1", "-p", str(port), *store]
        super().__init__(command, folder, lambda: listens(self.address))


def program() -> str:
    """Return the server that the script has made, or Debian's; empty: there is none."""
    made = sorted(ROOT.glob(".brokers/nats-*/nats-server"))
    return str(made[-1]) if made else shutil.which("nats-server") or ""
